//! An application message that outlives the turn it arrived in: queued, in flight, retained or large.

use crate::Time;
use grovemq_codec::Qos;
use std::sync::Arc;

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
        let mut bytes = Vec::with_capacity(self.topic.len() + self.properties.len() + self.payload.len());
        bytes.extend_from_slice(self.properties);
        bytes.extend_from_slice(self.payload);
        Arc::new(Message {
            topic: self.topic.into(),
            bytes: bytes.into_boxed_slice(),
            properties_len: self.properties.len(),
            qos: self.qos,
            retain: self.retain,
            expires: self.expires,
        })
    }
}

/// A message kept, shared by all who wait for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    topic: Box<str>,
    /// Properties, then payload.
    bytes: Box<[u8]>,
    properties_len: usize,
    qos: Qos,
    retain: bool,
    expires: Option<Time>,
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
}
