//! Dates records by the wall clock, which may have been set since the capture began, and says when by the monotonic clock they ended and
//! were due.

use std::borrow::Cow;
use std::sync::Arc;

use ringtap_journal::{Moments, Totals};
use ringtap_record::{CallRecord, Explanation, ImplicitSet, Time};

use super::reader::Common;
use crate::sink::{RecordSink, SinkError};

/// A sink whose records are dated before they go on.
pub(super) struct Dated {
    pub(super) inner: Box<dyn RecordSink>,
    pub(super) common: Arc<Common>,
    /// When the verdicts were due that come now.
    pub(super) due: Option<Time>,
}

impl RecordSink for Dated {
    fn due(&mut self, due: Time) {
        self.due = Some(due);
    }

    fn open(&mut self) -> Result<(), SinkError> {
        self.inner.open()
    }

    fn room(&self) -> usize {
        self.inner.room()
    }

    fn put(&mut self, record: &CallRecord, explanation: &Explanation) -> Result<(), SinkError> {
        // All times of a call by what held when it began, so that what it lasted stays right.
        let begun = self.common.clock.dated(record.started);
        let ahead_us = begun - record.started;
        let dated = match ahead_us {
            0 => Cow::Borrowed(record),
            _ => Cow::Owned(shifted(record, ahead_us)),
        };
        let Some(due) = self.due else {
            return self.inner.put(&dated, explanation);
        };
        let moments = Moments {
            ended: self.common.clock.instant(record.ended),
            due: self.common.clock.instant(due),
        };
        self.inner.put_timed(&dated, explanation, moments)
    }

    fn put_set(&mut self, set: &ImplicitSet) -> Result<(), SinkError> {
        let seen = self.common.clock.dated(set.seen);
        self.inner.put_set(&ImplicitSet { seen, ..set.clone() })
    }

    fn finish(&mut self) -> Result<Option<Totals>, SinkError> {
        self.inner.finish()
    }
}

fn shifted(record: &CallRecord, ahead_us: i64) -> CallRecord {
    let mut record = record.clone();
    let shift = |time: &mut Time| *time = time.plus_us(ahead_us);
    shift(&mut record.started);
    shift(&mut record.ended);
    for target in &mut record.targets {
        shift(&mut target.started);
        shift(&mut target.ended);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap_record::{Outcome, Target};

    /// Catches a time of the record that is left as it was.
    #[test]
    fn every_time_of_a_record_is_shifted() {
        let at = Time::from_micros;
        let mut record: CallRecord = serde_json::from_str(
            r#"{"call":"c","started":"2024-05-06T02:23:41.000000Z","ended":"2024-05-06T02:24:06.050000Z",
                "caller":{"identity":null,"name":null,"name_source":"none","withheld":true},"dialled":null,
                "answered_by":null,"machine":false,"targets":[],"legs":1,"flags":[]}"#,
        )
        .unwrap();
        record.targets.push(Target {
            identity: "+1".into(),
            outcome: Outcome::Busy,
            base: None,
            alerted: false,
            ring_ms: 0,
            diverted_to: None,
            group: None,
            started: at(10),
            ended: at(20),
        });
        let shifted = shifted(&record, 7);
        assert_eq!(shifted.started - record.started, 7);
        assert_eq!(shifted.ended - record.ended, 7);
        assert_eq!(
            (shifted.targets[0].started, shifted.targets[0].ended),
            (at(17), at(27))
        );
    }
}
