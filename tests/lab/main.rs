//! The laboratory: what its sheet has people do, with the real programs on free ports.
//!
//! `GROVEMQ_PEERS_INSTEAD` has no meaning here: where Debian's programs are to do the same, a test says so by its name.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod access;
mod bench;
mod coap;
mod commands;
mod lab;
mod paho_thing;
mod passwords;
mod scenarios;
mod soak;
mod speed;
mod thing;
mod tutorial;
mod up;
