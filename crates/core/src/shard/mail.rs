//! What one shard sends to another: a turn's messages as one batch, small ones as bytes, others by reference.

use super::commit::Wait;
use crate::journal::Record;
use crate::outbox::BY_REFERENCE_MIN;
use crate::router::Subscription;
use crate::slab::Key;
use crate::{Message, MessageRef, Time};
use grovemq_codec::Qos;
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
    bytes: Vec<u8>,
    items: Vec<Item>,
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

/// A message as the receiving shard sees it.
pub(crate) struct Arrived<'a> {
    pub(crate) publisher: Option<Key>,
    pub(crate) target: Target,
    /// See [`Item::joint`].
    pub(crate) joint: u64,
    pub(crate) message: MessageRef<'a>,
    pub(crate) shared: Option<&'a Arc<Message>>,
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
        topic: usize,
        properties: usize,
        payload: usize,
        qos: Qos,
        retain: bool,
        expires: Option<Time>,
    },
    Shared(Arc<Message>),
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
            self.bytes.extend_from_slice(m.topic.as_bytes());
            self.bytes.extend_from_slice(m.properties);
            self.bytes.extend_from_slice(m.payload);
            Body::Inline {
                topic: m.topic.len(),
                properties: m.properties.len(),
                payload: m.payload.len(),
                qos: m.qos,
                retain: m.retain,
                expires: m.expires,
            }
        };
        self.items.push(Item { publisher, target, joint: 0, body });
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

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Empties the batch but keeps its memory.
    pub fn clear(&mut self) {
        self.pressed.clear();
        (self.confirm, self.confirmed, self.settled) = (None, None, None);
        self.joined.clear();
        self.bytes.clear();
        self.items.clear();
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arrived<'_>> {
        let mut rest: &[u8] = &self.bytes;
        let arrived = |item: &Item, message, shared| {
            let Item { publisher, target, joint, .. } = *item;
            Some(Arrived { publisher, target, joint, message, shared })
        };
        self.items.iter().filter_map(move |item| match &item.body {
            Body::Shared(message) => arrived(item, message.view(), Some(message)),
            Body::Inline { topic, properties, payload, qos, retain, expires } => {
                let (name, after) = rest.split_at_checked(*topic)?;
                let (properties, after) = after.split_at_checked(*properties)?;
                let (payload, after) = after.split_at_checked(*payload)?;
                rest = after;
                let topic = core::str::from_utf8(name).ok()?;
                let m =
                    MessageRef { topic, properties, payload, qos: *qos, retain: *retain, expires: *expires };
                arrived(item, m, None)
            }
        })
    }
}
