//! Queues between the task and whoever reads ([`Events`](crate::Events), [`Messages`](crate::Messages)): handed over in
//! batches, bounded in bytes.

use crate::{Event, Received};
use std::{
    collections::VecDeque,
    fmt::Debug,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Parcels beyond this number make the queue full, however small they are.
const PARCELS_MAX: usize = 1 << 17;

pub(crate) fn mailbox<T: Parcel>(bytes_max: usize) -> (Sink<T>, Source<T>) {
    let shared = Arc::new(Mutex::new(Shared {
        parcels: VecDeque::new(),
        bytes: 0,
        open: true,
        listening: true,
        reader: None,
        writer: None,
    }));
    (Sink { shared: Arc::clone(&shared), bytes_max }, Source { shared })
}

/// What goes through a mailbox.
pub(crate) trait Parcel: Debug {
    /// Its weight beside what every parcel weighs; none: it is dropped where nobody reads.
    fn payload_bytes(&self) -> Option<usize>;

    fn bytes(&self) -> usize
    where
        Self: Sized,
    {
        self.payload_bytes().unwrap_or(0).saturating_add(size_of::<Self>())
    }
}

impl Parcel for Received {
    fn payload_bytes(&self) -> Option<usize> {
        Some(self.message.queue_bytes())
    }
}

impl Parcel for Event {
    fn payload_bytes(&self) -> Option<usize> {
        if let Self::Message(received) = self { received.payload_bytes() } else { None }
    }
}

#[derive(Debug)]
struct Shared<T> {
    parcels: VecDeque<T>,
    bytes: usize,
    /// The task may still bring more.
    open: bool,
    /// There is someone to read.
    listening: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct Sink<T> {
    shared: Arc<Mutex<Shared<T>>>,
    bytes_max: usize,
}

impl<T: Parcel> Sink<T> {
    /// Moves the whole batch over, or drops it where nobody listens. Messages always go in (the caller asks [`Self::poll_room`]
    /// before it reads more); the rest is dropped when nobody has taken any for so long that the queue is full.
    /// Says whether the queue is full now.
    pub(crate) fn push(&self, batch: &mut VecDeque<T>) -> bool {
        if batch.is_empty() {
            return false;
        }
        let mut shared = lock(&self.shared);
        if !shared.listening {
            batch.clear();
            return false;
        }
        for parcel in batch.drain(..) {
            if shared.parcels.len() >= PARCELS_MAX && parcel.payload_bytes().is_none() {
                continue;
            }
            shared.bytes = shared.bytes.saturating_add(parcel.bytes());
            shared.parcels.push_back(parcel);
        }
        let full = shared.is_full(self.bytes_max);
        let reader = shared.reader.take();
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
        full
    }

    /// Takes back those of a kind that nobody has taken yet, in their order.
    pub(crate) fn take_back(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut shared = lock(&self.shared);
        let mut taken = Vec::new();
        for parcel in mem::take(&mut shared.parcels) {
            if wanted(&parcel) {
                taken.push(parcel);
            } else {
                shared.parcels.push_back(parcel);
            }
        }
        let bytes: usize = taken.iter().map(Parcel::bytes).sum();
        shared.bytes = shared.bytes.saturating_sub(bytes);
        taken
    }

    /// Ready when there is room for more messages, or nobody to read them.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.shared);
        if !shared.listening || !shared.is_full(self.bytes_max) {
            return Poll::Ready(());
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Shared<T> {
    fn is_full(&self, bytes_max: usize) -> bool {
        self.bytes >= bytes_max || self.parcels.len() >= PARCELS_MAX
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.open = false;
        let reader = shared.reader.take();
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The user's end.
#[derive(Debug)]
pub(crate) struct Source<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

impl<T: Parcel> Source<T> {
    /// Puts back what was taken and not used, before all that has come since.
    pub(crate) fn give_back(&self, mut unused: VecDeque<T>) {
        let mut shared = lock(&self.shared);
        let bytes: usize = unused.iter().map(Parcel::bytes).sum();
        shared.bytes = shared.bytes.saturating_add(bytes);
        unused.append(&mut shared.parcels);
        shared.parcels = unused;
    }
}

impl<T> Source<T> {
    /// Takes everything there is into the empty `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<T>) {
        hand_over(lock(&self.shared), into);
    }

    /// `Ready(true)` with at least one parcel in `into`, `Ready(false)` when none will come any more.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut VecDeque<T>) -> Poll<bool> {
        let mut shared = lock(&self.shared);
        if shared.parcels.is_empty() {
            if !shared.open {
                return Poll::Ready(false);
            }
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        hand_over(shared, into);
        Poll::Ready(true)
    }
}

impl<T> Drop for Source<T> {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.listening = false;
        let unread = mem::take(&mut shared.parcels);
        let writer = shared.writer.take();
        drop(shared);
        drop(unread);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

/// Gives all there is and wakes a task that waits for room.
fn hand_over<T>(mut shared: MutexGuard<'_, Shared<T>>, into: &mut VecDeque<T>) {
    mem::swap(&mut shared.parcels, into);
    shared.bytes = 0;
    let writer = shared.writer.take();
    drop(shared);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// A panic elsewhere while the lock was held leaves the queue usable: nothing here breaks off half way.
fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Received};

    fn message(payload: usize) -> Event {
        let message = Message::new("t", vec![0; payload]);
        Event::Message(Received { message, dup: false, packet_id: None, ack: None })
    }

    fn lifecycle() -> Event {
        Event::Disconnected(crate::Error::ConnectionLost)
    }

    #[test]
    fn full_until_read() {
        let (sink, source) = mailbox(10_000);
        let cx = Context::from_waker(Waker::noop());
        sink.push(&mut VecDeque::from([message(5000)]));
        assert!(sink.poll_room(&cx).is_ready());
        assert!(sink.push(&mut VecDeque::from([message(5000)])));
        assert!(sink.poll_room(&cx).is_pending());
        let mut taken = VecDeque::new();
        source.take(&mut taken);
        assert_eq!(taken.len(), 2);
        assert!(sink.poll_room(&cx).is_ready());
    }

    #[test]
    fn what_nobody_has_taken_can_be_taken_back() {
        let (sink, source) = mailbox(6000);
        let cx = Context::from_waker(Waker::noop());
        sink.push(&mut VecDeque::from([message(1), lifecycle(), message(5900)]));
        let mut taken = VecDeque::new();
        source.take(&mut taken);
        assert_eq!(taken.pop_front(), Some(message(1)));
        sink.push(&mut VecDeque::from([message(2)]));
        source.give_back(taken);
        assert!(sink.poll_room(&cx).is_pending());
        assert_eq!(sink.take_back(|event| matches!(event, Event::Message(_))), [message(5900), message(2)]);
        assert!(sink.poll_room(&cx).is_ready());
        assert_eq!(source.poll_take(&cx, &mut VecDeque::new()), Poll::Ready(true));
    }

    #[test]
    fn nobody_reads_and_nothing_grows_without_bound() {
        let (sink, source) = mailbox(usize::MAX);
        for _ in 0..PARCELS_MAX + 10 {
            sink.push(&mut VecDeque::from([lifecycle()]));
        }
        assert!(sink.poll_room(&Context::from_waker(Waker::noop())).is_pending());
        let mut taken = VecDeque::new();
        source.take(&mut taken);
        assert_eq!(taken.len(), PARCELS_MAX);
    }

    #[test]
    fn ends_after_the_last_event() {
        let (sink, source) = mailbox(1);
        let cx = Context::from_waker(Waker::noop());
        let mut taken = VecDeque::new();
        assert!(source.poll_take(&cx, &mut taken).is_pending());
        sink.push(&mut VecDeque::from([lifecycle()]));
        drop(sink);
        assert_eq!(source.poll_take(&cx, &mut taken), Poll::Ready(true));
        taken.clear();
        assert_eq!(source.poll_take(&cx, &mut taken), Poll::Ready(false));
    }

    #[test]
    fn without_a_reader_everything_is_dropped() {
        let (sink, source) = mailbox(1);
        drop(source);
        let mut batch = VecDeque::from([message(5000)]);
        assert!(!sink.push(&mut batch));
        assert!(batch.is_empty());
        assert!(sink.poll_room(&Context::from_waker(Waker::noop())).is_ready());
    }
}
