//! Non-blocking byte streams and listening sockets for the event loops.
//!
//! ```text
//! Listener ──accept──► Stream ──Guest──► Stream with the layers the listener asks for
//!                      tcp, unix         PROXY header taken off, TLS agreed on, WebSocket opened
//! ```
//!
//! A [`Stream`] reads and writes bytes, whatever lies below it. A [`Guest`] is a connection until its bytes are MQTT's.
//!
//! Invariant: knows nothing of packets.
#![forbid(unsafe_code)]

pub mod ciphers;
mod guest;
mod listener;
pub mod proxy;
mod stream;
mod tls;
pub mod websocket;

pub use guest::{Admitted, Entry, Guest, Refusal};
pub use listener::{Address, Inherited, Listener, listen, listen_unix};
pub use rustls;
pub use stream::Stream;
pub use tls::openssl_name;
