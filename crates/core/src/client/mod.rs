//! The client's side of MQTT as a deterministic machine: bytes, commands and `now` go in, bytes and events come out.
//!
//! Nothing here opens a socket, reads a clock or draws a random number. The driver around it (the client library, a
//! bridge, a simulator) gives the time as a [`Time`]: milliseconds since an epoch of its own choosing, which only
//! grow. See [`Protocol`] for the order of calls.

mod config;
mod event;
mod handshake;
mod incoming;
mod journal;
mod liveness;
mod message;
mod outgoing;
mod outlet;
mod protocol;
mod requests;
#[cfg(test)]
mod tests;

pub use crate::time::Time;
pub use config::{Config, Credentials};
pub use event::{ConnAckInfo, Direction, Error, Event, PacketNote, PublishAck, Refusal};
pub use journal::Change;
pub use message::{
    AckToken, Disconnect, Message, Properties, Received, Subscribe, Subscription, Unsubscribe, Will,
};
pub use protocol::Protocol;
