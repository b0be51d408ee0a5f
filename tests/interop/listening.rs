//! A subscriber of which is known when it has subscribed: it connects through a relay that sees the SUBACK.

use std::process::Command;
use std::time::Duration;

use grovemq_tests::{Finished, Program, Relay, SOON};

const SUBACK: u8 = 9;
/// What `mosquitto_sub` ends with when its time is over.
const TIMED_OUT: i32 = 27;

pub(crate) struct Listening {
    program: Program,
    relay: Relay,
}

impl Listening {
    /// Starts `mosquitto_sub`, whoever's, with these arguments, and waits until the broker has taken its subscriptions.
    #[track_caller]
    pub(crate) fn start(mut tool: Command, port: u16, args: &[&str]) -> Self {
        let relay = Relay::to(port);
        let program = Program::start(tool.args(["-p", &relay.port().to_string()]).args(args));
        assert!(relay.wait_for_answer(SUBACK, SOON), "no SUBACK for {args:?}\n{}", program.transcript());
        Listening { program, relay }
    }

    /// Its output, when it has ended by itself.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        self.program.finish(SOON).success().text()
    }

    /// Its output, when its `-W` seconds are over.
    #[track_caller]
    pub(crate) fn heard(self) -> String {
        let end = self.program.finish(SOON);
        assert_eq!(end.code, TIMED_OUT, "{}", end.stderr);
        end.text()
    }

    /// It dies without a DISCONNECT.
    pub(crate) fn kill(self) {
        self.program.kill();
        self.program.finish(SOON);
        self.relay.settle(SOON);
    }
}

/// Runs a tool to its end with these arguments.
#[track_caller]
pub(crate) fn run(mut tool: Command, port: u16, args: &[&str]) -> Finished {
    let command = tool.args(["-p", &port.to_string()]).args(args);
    Program::run(command, b"", SOON + Duration::from_secs(10))
}
