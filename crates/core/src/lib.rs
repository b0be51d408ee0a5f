//! The deterministic heart of GroveMQ: sessions, routing, flow control; no I/O, no clock.
#![forbid(unsafe_code)]
