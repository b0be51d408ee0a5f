//! What one shard sends to another: a turn's messages as one batch, small ones as bytes, others by reference.

use super::commit::Wait;
use crate::journal::Record;
use crate::outbox::BY_REFERENCE_MIN;
use crate::router::Subscription;
use crate::slab::Key;
use crate::{Message, MessageRef, Time};
use grovemq_codec::{PublishRun, Qos, RunShape};
use std::sync::Arc;

/// Messages from one shard to another, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The sending shard.
    pub(crate) from: u16,
    /// Sessions of the receiving shard whose messages fill a queue here.
    pub(crate) pressed: Vec<Key>,
    /// The sender wants to know when all up to this point of its own is safe.
    pub(crate) confirm: Option<u64>,
    /// All up to this point of the receiver's own is safe here.
    pub(crate) confirmed: Option<u64>,
    /// What the receiver has to store, by its points.
    pub(crate) joined: Vec<(u64, Vec<Record>)>,
    /// What the sender stores for the receiver, up to this point of its own, is safe.
    pub(crate) settled: Option<u64>,
    /// A topic that repeats the one before is not written again.
    topics: String,
    /// Where the last of them begins.
    topic: usize,
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// In all of them.
    messages: usize,
    /// Items dealt with, and what they had.
    done: usize,
    read: Place,
    /// What the sender has to store of those.
    pub(crate) parts: Vec<(u64, Vec<Record>)>,
}

/// Whom a message is for, at its new shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everyone whose subscriptions match.
    Matching,
    /// This member of a shared group.
    Member { session: Key, qos: Qos, retain_as_published: bool, id: u32 },
}

impl Target {
    pub(crate) fn member(s: &Subscription) -> Self {
        Self::Member {
            session: s.session.key,
            qos: s.qos,
            retain_as_published: s.retain_as_published,
            id: s.id,
        }
    }
}

/// What arrived, as the receiving shard sees it.
pub(crate) struct Arrived<'a> {
    pub(crate) publisher: Option<Key>,
    pub(crate) target: Target,
    /// See [`Item::joint`].
    pub(crate) joint: u64,
    pub(crate) content: Content<'a>,
}

pub(crate) enum Content<'a> {
    Message(MessageRef<'a>, Option<&'a Arc<Message>>),
    Run(PublishRun<'a>),
}

/// How far a batch has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Begin and end of the topic.
    topic: (usize, usize),
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    /// The session it came from.
    publisher: Option<Key>,
    target: Target,
    /// The sender's point that what becomes of it is stored with; 0 is none.
    joint: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// The next bytes of the batch.
    Inline {
        /// 0: the topic is the one before.
        topic: usize,
        properties: usize,
        payload: usize,
        qos: Qos,
        retain: bool,
        expires: Option<Time>,
    },
    Shared(Arc<Message>),
    /// The next bytes of the batch; 0: the topic is the one before.
    Run {
        topic: usize,
        bytes: usize,
        shape: RunShape,
    },
}

impl Batch {
    pub(crate) fn push(
        &mut self,
        publisher: Option<Key>,
        target: Target,
        m: &MessageRef<'_>,
        shared: &mut Option<Arc<Message>>,
    ) {
        if shared.is_none() && m.payload.len() >= BY_REFERENCE_MIN {
            *shared = Some(m.to_shared());
        }
        let body = if let Some(message) = shared {
            Body::Shared(message.clone())
        } else {
            let topic = self.push_topic(m.topic);
            self.bytes.extend_from_slice(m.properties);
            self.bytes.extend_from_slice(m.payload);
            Body::Inline {
                topic,
                properties: m.properties.len(),
                payload: m.payload.len(),
                qos: m.qos,
                retain: m.retain,
                expires: m.expires,
            }
        };
        self.items.push(Item { publisher, target, joint: 0, body });
        self.messages += 1;
    }

    pub(crate) fn push_run(&mut self, publisher: Option<Key>, target: Target, run: &PublishRun<'_>) {
        let topic = self.push_topic(run.topic());
        self.bytes.extend_from_slice(run.bytes());
        let body = Body::Run { topic, bytes: run.bytes().len(), shape: run.shape() };
        self.items.push(Item { publisher, target, joint: 0, body });
        self.messages += run.shape().packets as usize;
    }

    /// Its length; 0 where the one before is the same.
    fn push_topic(&mut self, topic: &str) -> usize {
        if self.topics.get(self.topic..) == Some(topic) {
            return 0;
        }
        self.topic = self.topics.len();
        self.topics.push_str(topic);
        topic.len()
    }

    /// What the sender has to hear about the message pushed last.
    pub(crate) fn wait(&mut self, wait: Wait) {
        match (wait, self.items.last_mut()) {
            (Wait::Confirmed(point), _) => self.confirm = Some(point),
            (Wait::Joined(point), Some(item)) => item.joint = point,
            (Wait::Joined(_), None) => {}
        }
    }

    /// Asks the other shard to let that session's connection wait a little.
    pub(crate) fn press(&mut self, publisher: Key) {
        if self.pressed.last() != Some(&publisher) {
            self.pressed.push(publisher);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
            && self.pressed.is_empty()
            && self.confirmed.is_none()
            && self.joined.is_empty()
            && self.settled.is_none()
    }

    /// Messages.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Empties the batch but keeps its memory.
    pub fn clear(&mut self) {
        self.pressed.clear();
        (self.confirm, self.confirmed, self.settled) = (None, None, None);
        self.joined.clear();
        self.topics.clear();
        self.bytes.clear();
        self.items.clear();
        (self.topic, self.messages, self.done, self.read) = (0, 0, 0, Place::default());
        self.parts.clear();
    }

    /// Bytes of memory it keeps when it is emptied.
    pub fn capacity(&self) -> usize {
        self.topics.capacity() + self.bytes.capacity() + self.items.capacity() * size_of::<Item>()
    }

    /// The shard that sent it.
    pub fn sender(&self) -> u16 {
        self.from
    }

    /// All of it has been dealt with.
    pub fn is_done(&self) -> bool {
        self.done == self.items.len()
    }

    /// Nobody has dealt with any of it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.done == 0
    }

    /// The first item that was not dealt with, and the place behind it.
    pub(crate) fn next(&self) -> Option<(Arrived<'_>, Place)> {
        let item = self.items.get(self.done)?;
        let Item { publisher, target, joint, .. } = *item;
        let arrived = |content| Arrived { publisher, target, joint, content };
        let rest = self.bytes.get(self.read.bytes..)?;
        let topic_at = |len| match self.read.topic {
            same if len == 0 => same,
            (_, end) => (end, end + len),
        };
        match &item.body {
            Body::Shared(message) => {
                Some((arrived(Content::Message(message.view(), Some(message))), self.read))
            }
            Body::Run { topic, bytes, shape } => {
                let (begin, end) = topic_at(*topic);
                let run = PublishRun::from_parts(self.topics.get(begin..end)?, rest.get(..*bytes)?, *shape);
                let read = Place { topic: (begin, end), bytes: self.read.bytes + bytes };
                Some((arrived(Content::Run(run)), read))
            }
            Body::Inline { topic, properties, payload, qos, retain, expires } => {
                let (begin, end) = topic_at(*topic);
                let (properties, after) = rest.split_at_checked(*properties)?;
                let (payload, after) = after.split_at_checked(*payload)?;
                let topic = self.topics.get(begin..end)?;
                let m =
                    MessageRef { topic, properties, payload, qos: *qos, retain: *retain, expires: *expires };
                let read = Place { topic: (begin, end), bytes: self.bytes.len() - after.len() };
                Some((arrived(Content::Message(m, None)), read))
            }
        }
    }

    /// The first item is dealt with; `read` is as [`Batch::next`] gave it.
    pub(crate) fn advance(&mut self, read: Place) {
        self.done += 1;
        self.read = read;
    }

    /// The beginning of the first item, a run, is dealt with.
    pub(crate) fn advance_within(&mut self, read: Place, bytes: usize, part: RunShape) {
        if let Some(Item { body: Body::Run { topic, bytes: rest, shape }, .. }) =
            self.items.get_mut(self.done)
        {
            *topic = 0; // what was read last
            *rest -= bytes;
            shape.packets -= part.packets;
            shape.payload_bytes -= part.payload_bytes;
            self.read = Place { topic: read.topic, bytes: self.read.bytes + bytes };
        }
    }

    /// Nothing of the rest can be read.
    pub(crate) fn give_up(&mut self) {
        self.done = self.items.len();
    }

    /// Adds to what the sender has to store once all is dealt with.
    pub(crate) fn gather(&mut self, parts: Vec<(u64, Vec<Record>)>) {
        for (point, mut records) in parts {
            match self.parts.last_mut() {
                Some((last, all)) if *last == point => all.append(&mut records),
                _ => self.parts.push((point, records)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Content, Target};
    use crate::observe::{Peer, Silent};
    use crate::outbox::BY_REFERENCE_MIN;
    use crate::{ListenerSettings, MessageRef, Router, Settings, Shard, Time};
    use grovemq_codec::Qos;
    use std::sync::Arc;

    #[test]
    fn every_message_keeps_its_topic_also_in_memory_used_before() {
        let large = vec![b'x'; BY_REFERENCE_MIN];
        let messages: [(&str, &[u8]); 7] =
            [("a", b"1"), ("a", b"2"), ("a/b", b"3"), ("l", &large), ("a/b", b""), ("a", b"5"), ("a", b"6")];
        let mut batch = Batch::default();
        for _ in 0..2 {
            for (topic, payload) in messages {
                let m = MessageRef {
                    topic,
                    properties: &[],
                    payload,
                    qos: Qos::AtMostOnce,
                    retain: false,
                    expires: None,
                };
                batch.push(None, Target::Matching, &m, &mut None);
            }
            for (topic, payload) in messages {
                let (arrived, read) = batch.next().unwrap();
                let Content::Message(message, _) = arrived.content else { panic!("a run") };
                assert_eq!((message.topic, message.payload), (topic, payload));
                batch.advance(read);
            }
            assert!(batch.is_done());
            batch.clear();
            assert!(batch.is_empty() && batch.capacity() > 0);
        }
    }

    #[test]
    fn a_large_fan_out_is_delivered_in_slices_and_in_order() {
        const SUBSCRIBERS: usize = 50;
        const MESSAGES: u8 = 20;
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Arc::new(Settings { listeners: vec![listener], ..Settings::default() });
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        let shard = |id| Shard::new(id, 2, router.clone(), settings.clone(), Box::new(Silent));
        let (mut from, mut to) = (shard(0), shard(1));
        let ids = (0..).map(|n| format!("{n:03}")).filter(|id| to.home(id) == 1);
        let ids: Vec<String> = ids.take(SUBSCRIBERS).collect();
        let mut keys = Vec::new();
        for id in &ids {
            let key = to.handle_open(Time(0), Peer { address: None, listener: 0, secured: None });
            let connect = [b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03".as_slice(), id.as_bytes()].concat();
            to.handle_input(Time(0), key, &connect);
            to.handle_input(Time(0), key, b"\x82\x06\0\x01\0\x01#\0");
            keys.push((key, to.outbox(key).unwrap().len()));
        }
        for n in 0..MESSAGES {
            from.handle_publish(Time(0), "t", &[n], Qos::AtMostOnce, false);
        }
        let mut batch = core::mem::take(from.poll_mail(1).unwrap());
        let (mut slices, mut messages) = (0, 0);
        while !batch.is_done() {
            let before = to.stats().publish_sent;
            // two messages, and the one that exceeds them
            messages += to.handle_mail(Time(0), &mut batch, &mut 110);
            assert!(to.stats().publish_sent - before <= 3 * SUBSCRIBERS as u64, "a slice is too large");
            slices += 1;
        }
        assert_eq!((slices, messages), (7, usize::from(MESSAGES)));
        let expected: Vec<u8> = (0..MESSAGES).flat_map(|n| [0x30, 4, 0, 1, b't', n]).collect();
        for (key, greeting) in keys {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let n = to.outbox(key).unwrap().slices(&mut slices);
            let sent: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
            assert_eq!(sent.get(greeting..), Some(&expected[..]));
        }
    }
}
