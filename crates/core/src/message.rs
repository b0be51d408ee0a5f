//! An application message that outlives the turn it arrived in: queued, in flight, retained or large.

use crate::{Time, held};
use grovemq_codec::Qos;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of an application message, borrowed; the way messages travel while nobody keeps them.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    pub topic: &'a str,
    /// MQTT 5 properties as on the wire, without topic alias, expiry and subscription identifiers.
    pub properties: &'a [u8],
    pub payload: &'a [u8],
    pub qos: Qos,
    pub retain: bool,
    /// When the message is no longer worth delivering.
    pub expires: Option<Time>,
}

impl MessageRef<'_> {
    pub fn to_shared(self) -> Arc<Message> {
        let mut bytes = Vec::with_capacity(self.properties.len() + self.payload.len());
        bytes.extend_from_slice(self.properties);
        bytes.extend_from_slice(self.payload);
        let message = Message {
            topic: self.topic.into(),
            bytes: bytes.into_boxed_slice(),
            properties_len: self.properties.len(),
            qos: self.qos,
            retain: self.retain,
            expires: self.expires,
            stored: AtomicU64::new(0),
        };
        held::grow(message.weight());
        Arc::new(message)
    }
}

/// What a message takes beside its bytes, near enough: itself, its counters, and three allocations.
const OVERHEAD: usize = 128;

/// A message kept, shared by all who wait for it.
#[derive(Debug)]
pub struct Message {
    topic: Box<str>,
    /// Properties, then payload.
    bytes: Box<[u8]>,
    properties_len: usize,
    qos: Qos,
    retain: bool,
    expires: Option<Time>,
    /// The store's name for it; 0 before it is stored.
    stored: AtomicU64,
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let parts = |m: &Self| (m.properties_len, m.qos, m.retain, m.expires);
        parts(self) == parts(other) && self.topic == other.topic && self.bytes == other.bytes
    }
}

impl Eq for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        held::shrink(self.weight());
    }
}

impl Message {
    pub fn view(&self) -> MessageRef<'_> {
        let (properties, payload) =
            self.bytes.split_at_checked(self.properties_len).unwrap_or((&[], &self.bytes));
        MessageRef {
            topic: &self.topic,
            properties,
            payload,
            qos: self.qos,
            retain: self.retain,
            expires: self.expires,
        }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn payload(&self) -> &[u8] {
        self.view().payload
    }

    pub fn qos(&self) -> Qos {
        self.qos
    }

    pub fn expires(&self) -> Option<Time> {
        self.expires
    }

    pub fn is_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|t| t <= now)
    }

    /// Topic, properties and payload, in bytes.
    pub fn size(&self) -> usize {
        self.topic.len() + self.bytes.len()
    }

    fn weight(&self) -> usize {
        self.size() + OVERHEAD
    }

    /// What [`Message::set_stored`] was told; 0 before. A store keeps here under which name it knows the message, so that
    /// a message for many sessions is written once.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// For the one store there is, on its one thread.
    pub fn set_stored(&self, id: u64) {
        self.stored.store(id, Ordering::Relaxed);
    }
}
