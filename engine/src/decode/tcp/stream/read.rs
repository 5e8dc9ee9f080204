//! Octets in order, and what the framer says of them: messages, read out of the frame where they are whole there, else put
//! together; and what a hole does to one.

use ringtap_record::Time;
use ringtap_sip::framing::{Framer, Step};
use ringtap_sip::limits::MESSAGE_BYTES_MAX;
use ringtap_sip::parse;

use super::{Desk, State, Stream};
use crate::decode::Payload;

/// A stream without SIP in so many octets speaks something else: it may have been picked up within a body, but not
/// within one that long.
const FOREIGN_BYTES: usize = 2 * MESSAGE_BYTES_MAX;

impl Stream {
    /// Takes octets that come next, and as many behind them that the capture cut off.
    pub(super) fn take<S: FnMut(&Payload<'_>)>(
        &mut self,
        time: Time,
        octets: &[u8],
        absent: usize,
        desk: &mut Desk<'_, S>,
    ) {
        self.next = self
            .next
            .wrapping_add(u32::try_from(octets.len()).unwrap_or_default());
        if self.state == State::Open {
            if self.pass == 0 && self.framer.begins(octets) {
                self.tail.clear(desk.spare);
            }
            self.read(time, octets, desk);
        }
        if absent > 0 {
            self.lose(absent, time, desk);
        }
    }

    /// Reads messages: out of the frame where they are whole there, else out of the tail.
    fn read<S: FnMut(&Payload<'_>)>(&mut self, time: Time, mut octets: &[u8], desk: &mut Desk<'_, S>) {
        self.silence = self.silence.saturating_add(octets.len());
        // How many of them are in the tail as well: it grows only when what it holds says nothing more, for whatever is
        // added to it moves the rest.
        let mut copied = 0;
        while !(octets.is_empty() && self.tail.is_empty()) {
            if self.pass > 0 {
                // Nothing is kept of what is passed over.
                let passed = self.pass.min(octets.len());
                self.pass -= passed;
                octets = octets.get(passed..).unwrap_or_default();
                if octets.is_empty() {
                    return;
                }
                continue;
            }
            let held = self.tail.len();
            let (view, time_of_view) = match held {
                0 => (octets, time),
                _ => (self.tail.octets(), self.tail.time()),
            };
            let messages = &mut desk.counters.messages;
            let is_known = self.framer.extent().is_some();
            let done = match self.framer.look(view) {
                Step::More => None,
                Step::Message(extent) => {
                    self.is_sip = true;
                    self.silence = 0;
                    if !(self.is_usable || is_known) {
                        self.is_usable = parse(view.get(..extent.head).unwrap_or(view)).is_ok();
                    }
                    if extent.len > MESSAGE_BYTES_MAX {
                        messages.truncated += 1;
                        desk.hand_on(time_of_view, view.get(..extent.head).unwrap_or(view), true);
                        self.framer.next();
                        let there = extent.len.min(view.len());
                        self.pass = extent.len - there;
                        Some(there)
                    } else if let Some(message) = view.get(..extent.len) {
                        *(if held == 0 {
                            &mut messages.in_place
                        } else {
                            &mut messages.joined
                        }) += 1;
                        desk.hand_on(time_of_view, message, false);
                        self.framer.next();
                        Some(extent.len)
                    } else {
                        None
                    }
                }
                Step::KeepAlive(octets) => {
                    messages.keep_alives += 1;
                    Some(octets)
                }
                Step::Pass(octets) => {
                    let there = octets.min(view.len());
                    self.pass = octets - there;
                    Some(there)
                }
                Step::Lost => {
                    desk.counters.streams.out_of_step += 1;
                    Some(0)
                }
            };
            let Some(done) = done else {
                if held == 0 {
                    self.tail.begin(octets, time, desk.spare);
                    return;
                }
                octets = octets.get(copied..).unwrap_or_default();
                let wanted = match self.framer.extent() {
                    Some(extent) => extent.len.saturating_sub(held),
                    // One more than a message may have shows that it is none.
                    None => (MESSAGE_BYTES_MAX + 1).saturating_sub(held),
                };
                copied = wanted.min(octets.len());
                if copied == 0 {
                    return;
                }
                self.tail.extend(octets.get(..copied).unwrap_or_default());
                continue;
            };
            let own = held.saturating_sub(copied);
            if done >= own {
                self.tail.clear(desk.spare);
                octets = octets.get(done - own..).unwrap_or_default();
                copied = 0;
            } else {
                self.tail.drop_first(done);
            }
            if self.framer.is_out_of_step() && self.is_foreign() {
                desk.counters.streams.foreign += 1;
                self.stop_listening(State::Foreign, desk);
                return;
            }
        }
    }

    /// Whether a stream in which no message begins where one should speaks another protocol: one seen from its beginning
    /// on at once, another once it cannot be the body that it was picked up in.
    const fn is_foreign(&self) -> bool {
        !self.is_sip && (self.is_unbroken || self.silence > FOREIGN_BYTES)
    }

    /// So many octets of what comes next are lost; `time` is that of what follows.
    pub(super) fn lose<S: FnMut(&Payload<'_>)>(&mut self, len: usize, time: Time, desk: &mut Desk<'_, S>) {
        let to = self.next.wrapping_add(u32::try_from(len).unwrap_or_default());
        if self.state != State::Open {
            self.skip_to(to);
            return;
        }
        self.is_unbroken = false;
        desk.counters.streams.holes += 1;
        desk.counters.streams.hole_octets += len as u64;
        if let Some(extent) = self.framer.extent() {
            // Where the next message begins is known though the body is lost.
            self.pass = extent.len.saturating_sub(self.tail.len());
            self.hand_on_beginning(desk);
            self.framer.next();
        } else {
            self.hand_on_beginning(desk);
        }
        self.tail.clear(desk.spare);
        // What belongs to a body is none of its own, though it may read like a message.
        let of_body = u32::try_from(self.pass.min(len)).unwrap_or_default();
        self.next = self.next.wrapping_add(of_body);
        self.skip_to(to);
        if len <= self.pass {
            self.pass -= len;
            return;
        }
        self.pass = 0;
        if !self.framer.is_out_of_step() {
            desk.counters.streams.out_of_step += 1;
        }
        self.framer = Framer::out_of_step();
        if self.is_usable {
            desk.missed.push(time);
        }
    }

    /// Hands on the beginning of a message whose rest does not come.
    pub(super) fn hand_on_beginning<S: FnMut(&Payload<'_>)>(&mut self, desk: &mut Desk<'_, S>) {
        if self.state == State::Open && self.framer.is_within_message() && !self.tail.is_empty() {
            desk.counters.messages.truncated += 1;
            desk.hand_on(self.tail.time(), self.tail.octets(), true);
        }
    }
}
