//! Who holds which frame. Each frame of the memory is in exactly one of three places: free, with the kernel (in
//! the fill ring, being written, or in the rx ring), or held by a batch that is being read. What is not in a batch is not
//! readable, and a batch gives its frames back when it goes, whichever way that happens.

/// Frames that are taken from the rx ring at once.
pub(crate) const BATCH_FRAMES: usize = 64;
/// Longest packet that is put together out of several frames; longer ones are counted and dropped.
const PACKET_BYTES_MAX: usize = 65_535 + 22;

/// Rings through which frames go to the kernel and come back.
///
/// # Safety
/// [`consume`](Self::consume) gives a frame only if it was given to [`produce`](Self::produce) before and has not
/// come back since, and the kernel leaves the frame alone from then on.
pub(crate) unsafe trait Exchange {
    /// A descriptor; says where a frame is, but not who holds it.
    type Frame: Copy + std::fmt::Debug;

    /// Takes frames out of the rx ring; how many, from the beginning of `out`.
    fn consume(&mut self, out: &mut [Self::Frame]) -> usize;

    /// Puts frames into the fill ring; how many, from the beginning of `frames`.
    ///
    /// # Safety
    /// Each is a frame of this memory that nobody reads any more and that is not in the kernel's hands. Those that were put are
    /// the kernel's from now on.
    unsafe fn produce(&mut self, frames: &[Self::Frame]) -> usize;

    /// What is in a frame.
    ///
    /// # Safety
    /// The frame came out of [`consume`](Self::consume) and was not given back since.
    unsafe fn segment(&self, frame: &Self::Frame) -> Segment<'_>;
}

/// What one frame holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    /// The packet goes on in the next frame.
    pub(crate) continues: bool,
}

/// Proof that its owner holds a frame. Neither copied nor cloned: giving the frame away takes it.
#[derive(Debug)]
struct Held<F>(F);

/// Where the frames of one memory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// All of them.
    pub frames: usize,
    /// Free: neither with the kernel nor being read.
    pub free: usize,
    /// With the kernel: in the fill ring, being written, or in the rx ring.
    pub kernel: usize,
    /// In the batch that is being read.
    pub held: usize,
}

/// All frames of one memory.
#[derive(Debug)]
pub(crate) struct Pool<E: Exchange> {
    exchange: E,
    free: Vec<Held<E::Frame>>,
    held: Vec<Held<E::Frame>>,
    kernel: usize,
    frames: usize,
    /// Packets that came whole.
    packets: u64,
    /// Descriptors on their way into or out of a ring.
    passing: Vec<E::Frame>,
    long: Long,
}

/// Packets that lie in several frames, put together.
#[derive(Debug, Default)]
struct Long {
    bytes: Vec<u8>,
    /// Where those that are whole begin and end.
    whole: Vec<(usize, usize)>,
    /// Where the one begins that is not whole yet.
    open: Option<usize>,
    /// One began in a batch before the present one.
    began_before: bool,
    /// The one that is not whole yet is too long already.
    is_too_long: bool,
    oversize: u64,
}

impl<E: Exchange> Pool<E> {
    /// Takes over all frames of a memory; the kernel has none of them yet.
    pub(crate) fn new(exchange: E, frames: Vec<E::Frame>) -> Self {
        let passing = frames.iter().copied().take(BATCH_FRAMES).collect();
        Self {
            exchange,
            frames: frames.len(),
            free: frames.into_iter().map(Held).collect(),
            held: Vec::with_capacity(BATCH_FRAMES),
            kernel: 0,
            packets: 0,
            passing,
            long: Long::default(),
        }
    }

    pub(crate) const fn exchange(&self) -> &E {
        &self.exchange
    }

    pub(crate) const fn exchange_mut(&mut self) -> &mut E {
        &mut self.exchange
    }

    pub(crate) fn account(&self) -> Account {
        Account {
            frames: self.frames,
            free: self.free.len(),
            kernel: self.kernel,
            held: self.held.len(),
        }
    }

    /// Packets that came whole, however many frames they took.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets that were dropped because they were too long.
    pub(crate) const fn oversize(&self) -> u64 {
        self.long.oversize
    }

    /// Gives the kernel as many frames as its fill ring takes.
    pub(crate) fn refill(&mut self) {
        loop {
            let mut offered = 0;
            for (to, from) in self.passing.iter_mut().zip(self.free.iter().rev()) {
                *to = from.0;
                offered += 1;
            }
            let Some(passing) = self.passing.get(..offered).filter(|passing| !passing.is_empty()) else {
                return;
            };
            // SAFETY: what is in `free` is ours and in no batch; what is put leaves `free` below.
            let put = unsafe { self.exchange.produce(passing) };
            self.free.truncate(self.free.len() - put);
            self.kernel += put;
            if put < offered {
                return;
            }
        }
    }

    /// Takes what has come, up to [`BATCH_FRAMES`] frames.
    #[inline]
    pub(crate) fn receive(&mut self) -> Batch<'_, E> {
        let came = self.exchange.consume(&mut self.passing);
        let came = self.passing.get(..came).unwrap_or_default();
        self.kernel -= came.len();
        self.held.extend(came.iter().copied().map(Held));
        self.join();
        Batch { pool: self }
    }

    /// Puts packets together that lie in several frames. They are copied, because the rest of one may come only with
    /// the next batch, and no frame is kept that long.
    #[inline]
    fn join(&mut self) {
        let Self {
            exchange,
            held,
            long,
            packets,
            ..
        } = self;
        // SAFETY: frames in `held` came out of `consume` and have not been given back.
        let segments = held.iter().map(|held| unsafe { exchange.segment(&held.0) });
        long.began_before = long.open.is_some();
        if !long.began_before && !segments.clone().any(|segment| segment.continues) {
            *packets += held.len() as u64;
            return;
        }
        let oversize_before = long.oversize;
        for segment in segments {
            *packets += u64::from(!segment.continues);
            long.add(segment);
        }
        *packets -= long.oversize - oversize_before;
    }
}

impl Long {
    fn add(&mut self, segment: Segment<'_>) {
        if self.open.is_none() && !segment.continues {
            return;
        }
        let begin = *self.open.get_or_insert(self.bytes.len());
        if self.bytes.len() - begin + segment.bytes.len() > PACKET_BYTES_MAX {
            self.is_too_long = true;
        }
        if !self.is_too_long {
            self.bytes.extend_from_slice(segment.bytes);
        }
        if segment.continues {
            return;
        }
        self.open = None;
        if std::mem::take(&mut self.is_too_long) {
            self.bytes.truncate(begin);
            self.oversize += 1;
        } else {
            self.whole.push((begin, self.bytes.len()));
        }
    }

    /// Forgets what is whole.
    fn clear(&mut self) {
        if self.whole.is_empty() {
            return;
        }
        self.whole.clear();
        let open = self.open.unwrap_or(self.bytes.len());
        self.bytes.drain(..open);
        self.open = self.open.map(|_| 0);
    }
}

/// Packets that came. They are readable in place, and their frames go back to the kernel when this is dropped.
#[derive(Debug)]
pub(crate) struct Batch<'p, E: Exchange> {
    pool: &'p mut Pool<E>,
}

impl<E: Exchange> Batch<'_, E> {
    /// How many frames it holds; a long packet takes several.
    pub(crate) fn len(&self) -> usize {
        self.pool.held.len()
    }

    /// The packets, as they came from the wire: those of one frame each, then those of several.
    #[inline]
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let Pool {
            exchange, held, long, ..
        } = &*self.pool;
        let mut is_inside = long.began_before;
        let short = held.iter().filter_map(move |held| {
            // SAFETY: the batch holds the frame; dropping it, which gives the frame back, ends the borrow.
            let segment = unsafe { exchange.segment(&held.0) };
            let is_alone = !is_inside && !segment.continues;
            is_inside = segment.continues;
            is_alone.then_some(segment.bytes)
        });
        short.chain(
            long.whole
                .iter()
                .filter_map(|(from, until)| long.bytes.get(*from..*until)),
        )
    }
}

impl<E: Exchange> Drop for Batch<'_, E> {
    fn drop(&mut self) {
        let pool = &mut *self.pool;
        pool.free.append(&mut pool.held);
        pool.long.clear();
        pool.refill();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A kernel of a few lines: two queues, and what was written into each frame.
    #[derive(Debug, Default)]
    struct Model {
        fill: VecDeque<usize>,
        rx: VecDeque<usize>,
        fill_room: usize,
        contents: Vec<(Vec<u8>, bool)>,
        /// Frames that user space may read.
        ours: Vec<bool>,
    }

    impl Model {
        fn new(frames: usize, fill_room: usize) -> Self {
            Self {
                fill_room,
                contents: vec![(Vec::new(), false); frames],
                ours: vec![true; frames],
                ..Self::default()
            }
        }

        /// A packet comes from the wire, in pieces of at most `piece` octets. Without room for all of it, none comes.
        fn arrive(&mut self, packet: &[u8], piece: usize) -> bool {
            let pieces: Vec<&[u8]> = packet.chunks(piece).collect();
            if self.fill.len() < pieces.len() {
                return false;
            }
            for (at, bytes) in pieces.iter().enumerate() {
                let frame = self.fill.pop_front().unwrap();
                self.contents[frame] = (bytes.to_vec(), at + 1 < pieces.len());
                self.rx.push_back(frame);
            }
            true
        }
    }

    // SAFETY: a frame leaves `rx` only after it was moved there from `fill`; nothing is written to it after that.
    unsafe impl Exchange for Model {
        type Frame = usize;

        fn consume(&mut self, out: &mut [usize]) -> usize {
            let came = self.rx.len().min(out.len());
            for (to, frame) in out.iter_mut().zip(self.rx.drain(..came)) {
                assert!(!self.ours[frame], "frame {frame} comes twice");
                self.ours[frame] = true;
                *to = frame;
            }
            came
        }

        unsafe fn produce(&mut self, frames: &[usize]) -> usize {
            let put = frames.len().min(self.fill_room - self.fill.len());
            for frame in &frames[..put] {
                assert!(self.ours[*frame], "frame {frame} is given twice");
                self.ours[*frame] = false;
                self.fill.push_back(*frame);
            }
            put
        }

        unsafe fn segment(&self, frame: &usize) -> Segment<'_> {
            assert!(self.ours[*frame], "frame {frame} is read while the kernel has it");
            let (bytes, continues) = &self.contents[*frame];
            Segment {
                bytes,
                continues: *continues,
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(usize),
        Receive,
        Refill,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1_usize..400).prop_map(Step::Arrive),
            2 => Just(Step::Receive),
            1 => Just(Step::Refill),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Catches a frame that is leaked, held by both sides, or given twice, and a packet that is lost, comes twice or
        /// is put together wrongly: any sequence of arrivals and batches, for any ring and memory size.
        #[test]
        fn every_frame_has_one_holder_and_every_packet_comes_out(
            frames in 1_usize..200,
            fill_room in 1_usize..200,
            piece in 1_usize..300,
            steps in steps(),
        ) {
            let mut pool = Pool::new(Model::new(frames, fill_room), (0..frames).collect());
            let (mut wire, mut read) = (Vec::new(), Vec::new());
            let check = |pool: &Pool<Model>| {
                let account = pool.account();
                assert_eq!(account.frames, account.free + account.kernel + account.held);
                assert_eq!(account.kernel, pool.exchange.fill.len() + pool.exchange.rx.len());
                assert_eq!(account.free + account.held, pool.exchange.ours.iter().filter(|ours| **ours).count());
            };
            pool.refill();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Arrive(len) => {
                        let mut packet = vec![0_u8; len];
                        for (octet, at) in packet.iter_mut().zip(number..) {
                            *octet = u8::try_from(at % 251).unwrap();
                        }
                        if pool.exchange.arrive(&packet, piece) {
                            wire.push(packet);
                        }
                    }
                    Step::Receive => {
                        let batch = pool.receive();
                        assert_eq!(batch.pool.account().held, batch.len());
                        read.extend(batch.packets().map(<[u8]>::to_vec));
                    }
                    Step::Refill => pool.refill(),
                }
                check(&pool);
            }
            while !pool.exchange.rx.is_empty() {
                let batch = pool.receive();
                read.extend(batch.packets().map(<[u8]>::to_vec));
            }
            check(&pool);
            assert_eq!(pool.packets(), read.len() as u64);
            wire.sort();
            read.sort();
            assert_eq!(read, wire);
        }
    }

    /// Catches a batch whose frames are lost when its reader panics.
    #[test]
    fn a_panic_leaks_nothing() {
        let mut pool = Pool::new(Model::new(8, 8), (0..8).collect());
        pool.refill();
        assert!(pool.exchange.arrive(b"packet", 100));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let batch = pool.receive();
            assert_eq!(batch.packets().count(), 0, "panics here: there is one");
        }));
        assert!(caught.is_err());
        let account = pool.account();
        assert_eq!((account.free, account.held, account.kernel), (0, 0, 8));
    }

    /// Catches a packet of endless pieces that takes all memory, and what follows it being lost with it.
    #[test]
    fn a_packet_too_long_is_counted_and_dropped() {
        let mut pool = Pool::new(Model::new(64, 64), (0..64).collect());
        pool.refill();
        for _ in 0..2 {
            assert!(pool.exchange.arrive(&vec![7; 70_000], 4096));
            assert!(pool.exchange.arrive(b"short", 4096));
            assert!(pool.exchange.arrive(&vec![8; 9000], 4096));
        }
        let batch = pool.receive();
        let lens: Vec<usize> = batch.packets().map(<[u8]>::len).collect();
        assert_eq!(lens, [5, 5, 9000, 9000]);
        drop(batch);
        assert_eq!((pool.oversize(), pool.packets()), (2, 4));
        assert_eq!(pool.long.bytes.len(), 0);
    }
}
