//! What a user of the client hands over and gets: owned, without a trace of the wire.

use core::num::NonZeroU16;
use grovemq_codec::{
    Publish, PublishProperties, Qos, ReasonCode, RetainHandling, SubscribeOptions, SubscriptionIds,
    UserProperties, topic,
};

/// An application message: to be published, received, or left as a will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: Qos,
    pub retain: bool,
    /// MQTT 5 only; dropped where the connection speaks 3.x.
    pub properties: Properties,
}

impl Message {
    /// A message with `QoS` 0, not retained, without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), ..Self::default() }
    }

    #[must_use]
    pub fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    #[must_use]
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    pub(super) fn from_wire(topic: String, publish: &Publish<'_>) -> Self {
        Self {
            topic,
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            properties: Properties::from_wire(&publish.properties),
        }
    }

    /// What the message weighs in a queue, in bytes.
    pub fn queue_bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.topic.len())
            .saturating_add(self.payload.len())
            .saturating_add(self.properties.heap_bytes())
    }
}

/// The properties of a message (MQTT 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// `Some(true)`: the payload is UTF-8 text.
    pub payload_format: Option<bool>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    /// On sending: the alias for the topic, which travels with the first message only. On receipt: what the server used.
    pub topic_alias: Option<u16>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    /// On receipt only: the identifiers of the subscriptions that matched.
    pub subscription_ids: Vec<u32>,
    pub content_type: Option<String>,
    pub user: Vec<(String, String)>,
}

impl Properties {
    fn from_wire(wire: &PublishProperties<'_>) -> Self {
        Self {
            payload_format: wire.payload_format,
            message_expiry: wire.message_expiry,
            topic_alias: wire.topic_alias,
            response_topic: wire.response_topic.map(ToOwned::to_owned),
            correlation_data: wire.correlation_data.map(ToOwned::to_owned),
            subscription_ids: wire.subscription_ids.iter().collect(),
            content_type: wire.content_type.map(ToOwned::to_owned),
            user: wire.user.to_vec(),
        }
    }

    pub(super) fn as_wire(&self) -> PublishProperties<'_> {
        PublishProperties {
            payload_format: self.payload_format,
            message_expiry: self.message_expiry,
            topic_alias: self.topic_alias,
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            // A client never sends subscription identifiers. [MQTT-3.3.4-6]
            subscription_ids: SubscriptionIds::List(&[]),
            content_type: self.content_type.as_deref(),
            user: UserProperties::List(&self.user),
        }
    }

    fn heap_bytes(&self) -> usize {
        let user: usize = self.user.iter().map(|(k, v)| k.len() + v.len() + 2 * size_of::<String>()).sum();
        self.response_topic.as_ref().map_or(0, String::len)
            + self.correlation_data.as_ref().map_or(0, Vec::len)
            + self.content_type.as_ref().map_or(0, String::len)
            + self.subscription_ids.len() * size_of::<u32>()
            + user
    }
}

/// What the server publishes when this client goes without saying so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Will {
    /// `properties.topic_alias` and `properties.subscription_ids` do not travel in a will.
    pub message: Message,
    /// How long the server waits before it publishes, in seconds (MQTT 5).
    pub delay: Option<u32>,
}

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub message: Message,
    /// The server sent it before, perhaps on an earlier connection.
    pub dup: bool,
    /// Present exactly where `QoS` > 0.
    pub packet_id: Option<NonZeroU16>,
    /// Present where the user has to acknowledge: manual acknowledgement is on and `QoS` > 0.
    pub ack: Option<AckToken>,
}

impl Received {
    /// The message that answers this one, if it is a request (MQTT 5): to the topic it names, with its correlation data
    /// and `QoS`. None where it names none that can be published to.
    pub fn response(&self, payload: impl Into<Vec<u8>>) -> Option<Message> {
        let request = &self.message.properties;
        let topic = request.response_topic.as_deref().filter(|t| topic::validate_name(t).is_ok())?;
        let correlation_data = request.correlation_data.clone();
        let properties = Properties { correlation_data, ..Properties::default() };
        Some(Message::new(topic, payload).qos(self.message.qos).properties(properties))
    }
}

/// Permission to acknowledge one received message, once. Good as long as the server keeps the session: after a new
/// connection the server sends the message again, which is recognized and answered without a second delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckToken {
    pub(super) serial: u64,
    pub(super) packet_id: NonZeroU16,
}

/// One filter and how to subscribe to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    pub filter: String,
    /// In 3.x only the `QoS` travels.
    pub options: SubscribeOptions,
}

impl Subscription {
    pub fn new(filter: impl Into<String>, qos: Qos) -> Self {
        Self { filter: filter.into(), options: SubscribeOptions { qos, ..SubscribeOptions::default() } }
    }

    #[must_use]
    pub fn no_local(mut self, on: bool) -> Self {
        self.options.no_local = on;
        self
    }

    #[must_use]
    pub fn retain_as_published(mut self, on: bool) -> Self {
        self.options.retain_as_published = on;
        self
    }

    #[must_use]
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }
}

/// One SUBSCRIBE packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    pub subscriptions: Vec<Subscription>,
    /// Comes back with each message that matches (MQTT 5); 1 to 268,435,455.
    pub id: Option<u32>,
    pub user: Vec<(String, String)>,
}

impl From<&[Subscription]> for Subscribe {
    fn from(subscriptions: &[Subscription]) -> Self {
        Self { subscriptions: subscriptions.to_vec(), ..Self::default() }
    }
}

/// One UNSUBSCRIBE packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    pub filters: Vec<String>,
    pub user: Vec<(String, String)>,
}

/// How to say good-bye. In 3.x nothing of it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// [`ReasonCode::Success`] for a normal end, [`ReasonCode::DisconnectWithWill`] to have the will published.
    pub reason: ReasonCode,
    /// A new session expiry, in seconds.
    pub session_expiry: Option<u32>,
    pub reason_string: Option<String>,
    pub user: Vec<(String, String)>,
}

impl Default for Disconnect {
    fn default() -> Self {
        Self { reason: ReasonCode::Success, session_expiry: None, reason_string: None, user: Vec::new() }
    }
}
