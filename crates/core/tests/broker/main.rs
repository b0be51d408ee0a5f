//! The broker's brain, fed packet by packet, and what it answers.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod auth;
mod bench;
mod bulk;
mod connect;
mod delivery;
mod disk;
mod durable;
mod limits;
mod qos;
mod session;
mod shedding;
mod subscriptions;
mod will;
