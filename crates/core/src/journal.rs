//! What has to survive a restart: the changes a shard makes, in order, and what a store gives back of them.
//!
//! A session that outlives its connection is *stored*: it has a [`StoredId`], and every change of it becomes a
//! [`Record`]. The driver hands a turn's records to the store and tells the shard when they are safe.

use crate::Message;
use grovemq_codec::{Qos, SubscribeOptions};
use std::sync::Arc;

/// Names a stored session, in one store, for ever. Never 0.
pub type StoredId = u64;

/// One change. Applying a record twice changes nothing more.
#[derive(Clone, Debug)]
pub enum Record {
    /// A session is new, or its description changed.
    Session(Box<SessionImage>),
    /// It is gone, with its subscriptions and messages.
    Ended(StoredId),
    /// A subscription is new, or its options changed.
    Subscribed(StoredId, Box<SubscriptionImage>),
    /// A subscription of that filter and shared group is gone.
    Unsubscribed(StoredId, Box<str>, Option<Box<str>>),
    /// A message is on its way to a session.
    Queued(StoredId, QueuedImage),
    /// Its receiver owns it (PUBREC); only its place, which is its packet id, is still in use.
    Owned { session: StoredId, seq: u64 },
    /// It was delivered, has expired or was dropped.
    Finished { session: StoredId, seq: u64 },
    /// A packet id of QoS 2 was received from the session's client and not released yet.
    Received { session: StoredId, packet_id: u16 },
    /// It was released.
    Completed { session: StoredId, packet_id: u16 },
    /// A message is the retained one of its topic; with an empty payload: there is none any more.
    Retained(Arc<Message>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionImage {
    pub id: StoredId,
    pub client_id: Box<str>,
    pub username: Option<Box<str>>,
    /// What its client does not see of its topics.
    pub mount: Option<Box<str>>,
    /// Seconds it lives on without a connection; `u32::MAX` is for ever.
    pub expiry: u32,
    /// When it ends, in milliseconds of the wall clock since 1970; `None` while its client is connected, or never.
    pub expires: Option<u64>,
    /// A will that still waits for its delay.
    pub will: Option<WillImage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillImage {
    pub message: Arc<Message>,
    /// When it goes out, in milliseconds of the wall clock since 1970.
    pub due: u64,
    /// Seconds the message is worth delivering, counted from then.
    pub expiry: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionImage {
    /// With the mount point, without `$share` and group.
    pub filter: Box<str>,
    pub group: Option<Box<str>>,
    pub options: SubscribeOptions,
    /// Subscription identifier; 0 is none.
    pub id: u32,
}

/// A message on its way to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedImage {
    /// Place in the session's order, from 1 on; two messages stored at a time never have the same. It decides the packet
    /// id.
    pub seq: u64,
    pub message: Arc<Message>,
    pub qos: Qos,
    pub retain: bool,
    /// Subscription identifiers.
    pub ids: Option<Box<[u32]>>,
}

/// A session as a store gives it back.
#[derive(Clone, Debug)]
pub struct SavedSession {
    pub image: SessionImage,
    pub subscriptions: Vec<SubscriptionImage>,
    /// By `seq`; `None` where the receiver owns the message.
    pub queue: Vec<(u64, Option<QueuedImage>)>,
    /// Packet ids of QoS 2 received and not released.
    pub received: Vec<u16>,
}

/// What a store gives back after a restart.
#[derive(Clone, Debug)]
pub enum Saved {
    Retained(Arc<Message>),
    Session(Box<SavedSession>),
}
