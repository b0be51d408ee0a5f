//! The deterministic heart of GroveMQ.
//!
//! Bytes, events and the time go in; bytes and actions come out. Everything about MQTT is decided here; sockets,
//! clocks, threads and files belong to the driver around it. The broker's brain is [`Shard`], one per event loop;
//! the shards of a broker share a [`Router`].
#![forbid(unsafe_code)]

pub mod access;
pub mod client;
pub mod journal;
pub mod observe;
pub mod qos;
pub mod router;

mod connection;
mod encode;
mod exchange;
mod held;
mod limits;
mod message;
mod meter;
mod outbox;
mod outgoing;
mod session;
mod shard;
mod slab;
mod time;
mod timers;

pub use held::take_held;
pub use limits::{Limits, ListenerLimits, QueuePolicy};
pub use message::{Message, MessageRef};
pub use meter::PublishRate;
pub use outbox::Outbox;
pub use router::Router;
pub use shard::{
    Action, Batch, Commit, ListenerSettings, Next, Progress, Request, Revoked, Settings, Shard, Verdict,
};
pub use slab::{Key, Slab};
pub use time::Time;
