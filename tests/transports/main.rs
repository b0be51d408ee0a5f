//! What lies between a socket and MQTT: TLS, WebSocket, Unix sockets, the PROXY protocol; and
//! CoAP, which lies beside it.
//!
//! A test that needs a peer carries its name (`debian`, `paho`, `mqttjs`, `openssl`, `libcoap`).

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod client_certificates;
mod coap;
mod doors;
mod dripping;
mod frames;
mod mount;
mod peers;
mod proxy;
mod tls;
mod websocket;

use grovemq_tests::certificates;
