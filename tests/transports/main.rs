//! What lies between a socket and MQTT: TLS, WebSocket, Unix sockets, the PROXY protocol.
//!
//! A test that needs a peer carries its name (`debian`, `paho`, `mqttjs`, `openssl`).

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod client_certificates;
mod doors;
mod dripping;
mod frames;
mod mount;
mod peers;
mod proxy;
mod tls;
mod websocket;

use grovemq_tests::certificates;
