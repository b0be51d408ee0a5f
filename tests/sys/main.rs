//! What the broker tells about itself: the `$SYS` tree, answers on `$CONTROL`, its log, and `grovemq check`.

#![forbid(unsafe_code)]

mod check;
mod debian_control;
mod debian_log;
mod debian_tree;

use grovemq_tests::{Broker, Finished, Program, SOON, peers};

/// Debian's `mosquitto_sub` to its end, which `-C` or `-W` among the arguments brings about.
#[track_caller]
fn subscribe(broker: &Broker, args: &[&str]) -> Finished {
    let port = broker.port().to_string();
    Program::run(peers::debian("mosquitto_sub").args(["-p", &port]).args(args), b"", SOON)
}

/// Debian's `mosquitto_pub`.
#[track_caller]
fn publish(broker: &Broker, args: &[&str]) -> Finished {
    let port = broker.port().to_string();
    Program::run(peers::debian("mosquitto_pub").args(["-p", &port]).args(args), b"", SOON)
}

/// A subscriber of Debian's that has subscribed when this returns.
#[track_caller]
fn listen(broker: &Broker, id: &str, args: &[&str]) -> Program {
    let port = broker.port().to_string();
    let program = Program::start(peers::debian("mosquitto_sub").args(["-p", &port, "-i", id]).args(args));
    broker.wait_for_log(&format!("Sending SUBACK to {id}"));
    program
}
