//! Our tools and Debian's, side by side: the same arguments, the same broker, the same output, exit code and packets.
//!
//! Each case of the tables runs twice, with Debian's tool and with ours, against a fresh Debian broker each time. Compared
//! are standard output to the byte, the exit code, the first line of standard error, and the packets on the wire. With
//! `GROVEMQ_PEERS_INSTEAD=1` Debian's tool takes both parts: then every case must agree, or it is the case that is wrong.
//!
//! What only ours can do has modules of its own, without a peer in their names.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod bench;
mod beyond;
mod capture;
mod case;
mod completions;
mod debian_control;
mod debian_defaults;
mod debian_publisher;
mod debian_requester;
mod debian_sessions;
mod debian_subscriber;
mod debian_transports;
mod probe;
mod recordings;
mod runner;
mod store;
mod top;
