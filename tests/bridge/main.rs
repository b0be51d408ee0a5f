//! Bridges: between two brokers of ours, and between ours and Debian's in both roles.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod cable;
mod ears;
mod faults;
mod hostile;
mod links;
mod reload;
mod state;
mod topics;

use grovemq_tests::{Broker, Kind};

/// A broker with a bridge called `bridge` to this port, which is known to both by its client id `bridge`.
#[track_caller]
fn bridge(kind: Kind, port: u16, lines: &str) -> Broker {
    Broker::start(kind, &format!("allow_anonymous true\n{}", bridge_lines(port, lines)))
}

fn bridge_lines(port: u16, lines: &str) -> String {
    format!(
        "connection bridge\naddress 127.0.0.1:{port}\nremote_clientid bridge\nrestart_timeout 1\n{lines}\n"
    )
}

/// Waits until messages pass both ways.
#[track_caller]
fn wait_until_up(kind: Kind, here: &Broker, there: &Broker) {
    there.wait_for_log("Sending SUBACK to bridge");
    if kind == Kind::Ours {
        here.wait_for_log("Sending SUBACK to local.bridge");
    }
}
