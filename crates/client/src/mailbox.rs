//! The queue of events between the task and [`Events`](crate::Events): handed over in batches, bounded in bytes.

use crate::Event;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Events beyond this number make the queue full, however small they are.
const EVENTS_MAX: usize = 1 << 17;

/// What an event weighs beside the message in it.
const EVENT_BYTES: usize = size_of::<Event>();

pub(crate) fn mailbox(bytes_max: usize) -> (EventSink, EventSource) {
    let shared = Arc::new(Mutex::new(Shared { open: true, listening: true, ..Shared::default() }));
    (EventSink { shared: Arc::clone(&shared), bytes_max }, EventSource { shared })
}

#[derive(Debug, Default)]
struct Shared {
    events: VecDeque<Event>,
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
pub(crate) struct EventSink {
    shared: Arc<Mutex<Shared>>,
    bytes_max: usize,
}

impl EventSink {
    /// Moves the whole batch over. Messages always go in (the caller asks [`Self::poll_room`] before it reads more);
    /// other events are dropped when nobody has taken any for so long that the queue is full.
    pub(crate) fn push(&self, batch: &mut VecDeque<Event>) {
        if batch.is_empty() {
            return;
        }
        let mut shared = lock(&self.shared);
        if !shared.listening {
            batch.clear();
            return;
        }
        for event in batch.drain(..) {
            let bytes = match &event {
                Event::Message(received) => EVENT_BYTES + received.message.queue_bytes(),
                _ if shared.events.len() >= EVENTS_MAX => continue,
                _ => EVENT_BYTES,
            };
            shared.bytes = shared.bytes.saturating_add(bytes);
            shared.events.push_back(event);
        }
        let reader = shared.reader.take();
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Ready when there is room for more messages.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.shared);
        if !shared.listening || (shared.bytes < self.bytes_max && shared.events.len() < EVENTS_MAX) {
            return Poll::Ready(());
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for EventSink {
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
pub(crate) struct EventSource {
    shared: Arc<Mutex<Shared>>,
}

impl EventSource {
    /// Takes everything there is into the empty `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<Event>) {
        hand_over(lock(&self.shared), into);
    }

    /// `Ready(true)` with at least one event in `into`, `Ready(false)` when none will come any more.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut VecDeque<Event>) -> Poll<bool> {
        let mut shared = lock(&self.shared);
        if shared.events.is_empty() {
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

impl Drop for EventSource {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.listening = false;
        shared.events.clear();
        let writer = shared.writer.take();
        drop(shared);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

/// Gives all there is and wakes a task that waits for room.
fn hand_over(mut shared: MutexGuard<'_, Shared>, into: &mut VecDeque<Event>) {
    std::mem::swap(&mut shared.events, into);
    shared.bytes = 0;
    let writer = shared.writer.take();
    drop(shared);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// A panic elsewhere while the lock was held leaves the queue usable: nothing here breaks off half way.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
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
        sink.push(&mut VecDeque::from([message(5000)]));
        assert!(sink.poll_room(&cx).is_pending());
        let mut taken = VecDeque::new();
        source.take(&mut taken);
        assert_eq!(taken.len(), 2);
        assert!(sink.poll_room(&cx).is_ready());
    }

    #[test]
    fn nobody_reads_and_nothing_grows_without_bound() {
        let (sink, source) = mailbox(usize::MAX);
        for _ in 0..EVENTS_MAX + 10 {
            sink.push(&mut VecDeque::from([lifecycle()]));
        }
        assert!(sink.poll_room(&Context::from_waker(Waker::noop())).is_pending());
        let mut taken = VecDeque::new();
        source.take(&mut taken);
        assert_eq!(taken.len(), EVENTS_MAX);
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
        sink.push(&mut batch);
        assert!(batch.is_empty());
        assert!(sink.poll_room(&Context::from_waker(Waker::noop())).is_ready());
    }
}
