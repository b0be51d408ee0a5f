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
    /// Topic, properties and payload, in bytes.
    pub fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }

    pub fn to_shared(self) -> Arc<Message> {
        let message = Message {
            bytes: [self.topic.as_bytes(), self.properties, self.payload].concat().into_boxed_slice(),
            shape: Shape::of(&self),
            expires: self.expires.unwrap_or(NEVER),
            stored: AtomicU64::new(0),
        };
        held::grow(message.weight());
        Arc::new(message)
    }
}

/// What a message takes beside its bytes, near enough: itself, its counters, and two allocations.
const OVERHEAD: usize = 80;

const NEVER: Time = Time(u64::MAX);

/// A message kept, shared by all who wait for it. There may be millions: with its counters it has 56 bytes, which an
/// allocator rounds up to no more than 64.
#[derive(Debug)]
pub struct Message {
    /// Topic, properties, payload.
    bytes: Box<[u8]>,
    shape: Shape,
    expires: Time,
    /// The store's name for it; 0 before it is stored.
    stored: AtomicU64,
}

/// Where the parts are, and the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    topic_len: u32,
    /// Length of the properties, which a packet bounds to 28 bits; then RETAIN, then two bits of QoS.
    rest: u32,
}

impl Shape {
    fn of(m: &MessageRef<'_>) -> Self {
        let len = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let rest = (len(m.properties.len()) << 3) | (u32::from(m.retain) << 2) | m.qos as u32;
        Self { topic_len: len(m.topic.len()), rest }
    }

    fn properties_len(self) -> usize {
        (self.rest >> 3) as usize
    }

    fn retain(self) -> bool {
        self.rest & 4 != 0
    }

    fn qos(self) -> Qos {
        match self.rest & 3 {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        (self.shape, self.expires) == (other.shape, other.expires) && self.bytes == other.bytes
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
        let (topic, rest) = self.parts();
        let (properties, payload) = rest.split_at_checked(self.shape.properties_len()).unwrap_or((&[], rest));
        MessageRef {
            topic: text(topic),
            properties,
            payload,
            qos: self.qos(),
            retain: self.shape.retain(),
            expires: self.expires(),
        }
    }

    pub fn topic(&self) -> &str {
        text(self.topic_bytes())
    }

    /// They have the order that the topics have as text.
    pub fn topic_bytes(&self) -> &[u8] {
        self.parts().0
    }

    pub fn payload(&self) -> &[u8] {
        let rest = self.parts().1;
        rest.get(self.shape.properties_len()..).unwrap_or(rest)
    }

    pub fn qos(&self) -> Qos {
        self.shape.qos()
    }

    pub fn expires(&self) -> Option<Time> {
        (self.expires != NEVER).then_some(self.expires)
    }

    pub fn is_expired(&self, now: Time) -> bool {
        self.expires().is_some_and(|t| t <= now)
    }

    /// Topic, properties and payload, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at_checked(self.shape.topic_len as usize).unwrap_or((&self.bytes, &[]))
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
/// What was a topic when it was taken in.
fn text(topic: &[u8]) -> &str {
    core::str::from_utf8(topic).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_it_was_made_of() {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        for (n, qos) in qos.into_iter().enumerate() {
            for expires in [None, Some(Time(0)), Some(Time(7))] {
                let retain = n == 1;
                let parts =
                    MessageRef { topic: "a/ü", properties: b"pq", payload: b"xyz", qos, retain, expires };
                let message = parts.to_shared();
                assert_eq!(format!("{:?}", message.view()), format!("{parts:?}"));
                assert_eq!((message.topic(), message.payload(), message.qos()), ("a/ü", &b"xyz"[..], qos));
                assert_eq!((message.size(), message.expires()), (9, expires));
            }
        }
        let empty = MessageRef {
            topic: "t",
            properties: b"",
            payload: b"",
            qos: Qos::AtMostOnce,
            retain: true,
            expires: None,
        };
        assert_eq!(format!("{:?}", empty.to_shared().view()), format!("{empty:?}"));
    }

    #[test]
    fn its_head_is_small() {
        assert!(size_of::<Message>() + 2 * size_of::<usize>() <= 56);
    }
}
