//! Messages by subscription: which of them go to which [`Messages`](crate::Messages).

use crate::{
    Received,
    mailbox::{Sink, Source, mailbox},
    topic,
};
use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// What a dropped reader leaves behind: its number, and whether there is a subscription to be ended.
pub(crate) type Dropped = (u64, bool);

/// The task's side of all streams.
#[derive(Debug)]
pub(crate) struct Streams {
    entries: HashMap<u64, Entry>,
    /// Numbers of those without wildcards, by their topic.
    exact: HashMap<String, Vec<u64>>,
    wild: Vec<u64>,
    /// Whose batches are not empty.
    touched: Vec<u64>,
    /// Who was full when last looked at.
    full: Vec<u64>,
    dropped: mpsc::UnboundedReceiver<Dropped>,
    leave: mpsc::UnboundedSender<Dropped>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    filter: String,
    sink: Sink<Received>,
    /// Messages of this turn, handed over together.
    batch: VecDeque<Received>,
}

/// The reader's side of one stream. Dropping it ends the subscription, unless another stream has the same filter.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) source: Source<Received>,
    id: u64,
    /// There is nothing to unsubscribe from, or it is to stay.
    pub(crate) keeps_subscription: bool,
    leave: mpsc::UnboundedSender<Dropped>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let (leave, dropped) = mpsc::unbounded_channel();
        Self {
            entries: HashMap::new(),
            exact: HashMap::new(),
            wild: Vec::new(),
            touched: Vec::new(),
            full: Vec::new(),
            dropped,
            leave,
            last: 0,
        }
    }

    /// A stream for what matches the filter. It begins at once: retained messages may come before SUBACK.
    pub(crate) fn open(&mut self, filter: &str, bytes_max: usize) -> Reader {
        self.last += 1;
        let id = self.last;
        let (sink, source) = mailbox(bytes_max);
        let pattern = pattern(filter);
        if topic::is_wildcard(pattern) {
            self.wild.push(id);
        } else {
            self.exact.entry(pattern.to_owned()).or_default().push(id);
        }
        self.entries.insert(id, Entry { filter: filter.to_owned(), sink, batch: VecDeque::new() });
        Reader { source, id, keeps_subscription: false, leave: self.leave.clone() }
    }

    /// Whether a stream with this filter takes messages with this topic.
    pub(crate) fn claims(filter: &str, name: &str) -> bool {
        topic::matches(pattern(filter), name)
    }

    /// Gives the message to all streams that it is for; back if there is none.
    pub(crate) fn route(&mut self, received: Received) -> Option<Received> {
        if self.entries.is_empty() {
            return Some(received);
        }
        let Self { entries, exact, wild, touched, .. } = self;
        let name = received.message.topic.as_str();
        let exact = exact.get(name).into_iter().flatten().copied();
        let matches = |id: &u64| entries.get(id).is_some_and(|e| topic::matches(pattern(&e.filter), name));
        let ids: Vec<u64> = exact.chain(wild.iter().copied().filter(matches)).collect();
        let Some((last, others)) = ids.split_last() else { return Some(received) };
        let mut give = |id: &u64, received: Received| {
            if let Some(entry) = entries.get_mut(id) {
                if entry.batch.is_empty() {
                    touched.push(*id);
                }
                entry.batch.push_back(received);
            }
        };
        for id in others {
            give(id, received.clone());
        }
        give(last, received);
        None
    }

    /// Hands over what this turn brought.
    pub(crate) fn flush(&mut self) {
        for id in self.touched.drain(..) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.sink.push(&mut entry.batch) && !self.full.contains(&id) {
                self.full.push(id);
            }
        }
    }

    /// Ready when every stream has room.
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        let entries = &self.entries;
        self.full.retain(|id| entries.get(id).is_some_and(|entry| entry.sink.poll_room(cx).is_pending()));
        if self.full.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready with a filter nobody reads any more; pending when there is none now.
    pub(crate) fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        while !self.entries.is_empty() {
            match self.dropped.poll_recv(cx) {
                Poll::Ready(Some((id, subscribed))) => {
                    let Some(filter) = self.remove(id) else { continue };
                    if subscribed && !self.entries.values().any(|entry| entry.filter == filter) {
                        return Poll::Ready(filter);
                    }
                }
                // never closed: a sender is kept here
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// The server has not renewed a subscription: its streams end.
    pub(crate) fn lost(&mut self, filter: &str) {
        self.flush();
        let ids: Vec<u64> =
            self.entries.iter().filter(|(_, e)| e.filter == filter).map(|(id, _)| *id).collect();
        for id in ids {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) -> Option<String> {
        let entry = self.entries.remove(&id)?;
        self.wild.retain(|other| *other != id);
        let name = pattern(&entry.filter);
        if let Some(ids) = self.exact.get_mut(name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.exact.remove(name);
            }
        }
        Some(entry.filter)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // the task may have ended before
        let _nobody_to_tell = self.leave.send((self.id, !self.keeps_subscription));
    }
}

/// What topics are compared with: a shared subscription's filter without its group.
fn pattern(filter: &str) -> &str {
    match topic::parse_shared(filter) {
        Ok(Some((_, pattern))) => pattern,
        _ => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use std::task::Waker;

    fn message(topic: &str) -> Received {
        Received { message: Message::new(topic, vec![0; 100]), dup: false, packet_id: None, ack: None }
    }

    fn read(reader: &Reader) -> Vec<String> {
        let mut taken = VecDeque::new();
        reader.source.take(&mut taken);
        taken.into_iter().map(|received| received.message.topic).collect()
    }

    #[test]
    fn each_stream_gets_what_matches_and_the_rest_is_given_back() {
        let mut streams = Streams::new();
        let readers: Vec<Reader> =
            ["a/b", "a/+", "$share/g/a/#", "c"].iter().map(|f| streams.open(f, 10_000)).collect();
        for topic in ["a/b", "a/c", "a/b/c", "d", "$SYS/a"] {
            let left = streams.route(message(topic));
            assert_eq!(left.is_some(), ["d", "$SYS/a"].contains(&topic), "{topic}");
        }
        streams.flush();
        let read: Vec<_> = readers.iter().map(read).collect();
        assert_eq!(read, [vec!["a/b"], vec!["a/b", "a/c"], vec!["a/b", "a/c", "a/b/c"], vec![]]);
    }

    #[test]
    fn one_full_stream_stops_all_until_it_is_read_or_dropped() {
        let mut streams = Streams::new();
        let (slow, gone) = (streams.open("a", 1), streams.open("b", 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(streams.poll_room(&cx).is_ready());
        for topic in ["a", "b"] {
            assert_eq!(streams.route(message(topic)), None);
        }
        streams.flush();
        assert!(streams.poll_room(&cx).is_pending());
        assert_eq!(read(&slow), ["a"]);
        assert!(streams.poll_room(&cx).is_pending());
        drop(gone);
        assert_eq!(streams.poll_abandoned(&mut cx), Poll::Ready("b".to_owned()));
        assert!(streams.poll_room(&cx).is_ready());
    }

    #[test]
    fn a_filter_is_abandoned_by_its_last_reader_unless_it_was_refused() {
        let mut streams = Streams::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (first, second, mut refused) = (streams.open("a", 1), streams.open("a", 1), streams.open("b", 1));
        drop(first);
        refused.keeps_subscription = true;
        drop(refused);
        assert!(streams.poll_abandoned(&mut cx).is_pending());
        drop(second);
        assert_eq!(streams.poll_abandoned(&mut cx), Poll::Ready("a".to_owned()));
        assert!(streams.entries.is_empty() && streams.exact.is_empty());
    }

    #[test]
    fn a_lost_subscription_ends_its_streams_after_what_came() {
        let mut streams = Streams::new();
        let reader = streams.open("a", 1);
        streams.route(message("a"));
        streams.lost("a");
        assert_eq!(read(&reader), ["a"]);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(reader.source.poll_take(&cx, &mut VecDeque::new()), Poll::Ready(false));
    }
}
