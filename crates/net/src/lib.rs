//! Non-blocking byte streams and listening sockets for the event loops.
//!
//! Invariant: knows nothing of packets.
#![forbid(unsafe_code)]

mod listener;
mod stream;

pub use listener::{Listener, listen};
pub use stream::Stream;
