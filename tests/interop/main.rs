//! Real peers: what other people wrote talks to our broker, and our tools talk to their broker.
//!
//! The name of each module says which peer it needs. With `GROVEMQ_PEERS_INSTEAD=1` Debian's broker and tools stand in for
//! ours, which shows a mistake of a test itself.

#![forbid(unsafe_code)]

mod debian_broker;
mod debian_tools;
mod listening;
mod paho_client;
mod scram_client;
mod tshark_capture;
