//! The broker itself, over real sockets: what it answers to every kind of bytes, what it promises between clients, how
//! it starts, reloads and stops.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod dialogue;
mod fairness;
mod faults;
mod half_open;
mod persistence;
mod reload;
mod scram;
mod security;
mod service;
mod shards;
mod shedding;
mod signals;
mod startup;

use grovemq_tests::{notation, peer};
