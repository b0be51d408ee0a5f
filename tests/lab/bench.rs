//! The bench the exercises are done on: our programs or Debian's under the original names, and ears that hear what passes.

use std::path::PathBuf;
use std::process::Command;

pub(crate) use grovemq_tests::eventually;
use grovemq_tests::{Finished, Program, Relay, SOON, peers, scratch};

const SUBACK: u8 = 9;
const TOOLS: [&str; 4] = ["mosquitto", "mosquitto_pub", "mosquitto_sub", "mosquitto_passwd"];

/// Whose programs stand on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Debian,
}

/// A folder to work in, and a path on which the original names are one maker's programs.
pub(crate) struct Bench {
    names: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl Bench {
    #[track_caller]
    pub(crate) fn new(whose: Whose) -> Self {
        let names = scratch();
        for tool in TOOLS {
            let program = match whose {
                Whose::Ours => peers::grovemq().to_owned(),
                Whose::Debian => peers::debian(tool).get_program().into(),
            };
            std::os::unix::fs::symlink(program, names.path().join(tool)).unwrap();
        }
        Self { names, home: scratch() }
    }

    /// One more name for a program.
    pub(crate) fn link(&self, name: &str, program: impl AsRef<std::path::Path>) {
        std::os::unix::fs::symlink(program, self.names.path().join(name)).unwrap();
    }

    /// A shell at work on this line.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(self.names.path().to_owned()).chain(std::env::split_paths(&path));
        shell
            .args(["-c", line])
            .env("PATH", std::env::join_paths(dirs).unwrap())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.home.path());
        shell
    }

    /// The line as somebody types it, until it has ended.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Finished {
        Program::run(&mut self.shell(line), b"", SOON * 2)
    }

    /// The line as somebody types it in a terminal of its own. `exec`, so that signals reach the program.
    #[track_caller]
    pub(crate) fn start(&self, line: &str) -> Program {
        Program::start(&mut self.shell(&format!("exec {line}")))
    }

    /// A `mosquitto_sub` with these arguments that has subscribed.
    #[track_caller]
    pub(crate) fn listen(&self, port: u16, args: &str) -> Ear {
        let relay = Relay::to(port);
        Ear::new(self.start(&format!("mosquitto_sub -h 127.0.0.1 -p {} {args}", relay.port())), &relay)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(name)).unwrap()
    }
}

/// A subscriber whose subscriptions the broker has taken.
pub(crate) struct Ear {
    program: Program,
}

impl Ear {
    #[track_caller]
    fn new(program: Program, relay: &Relay) -> Self {
        assert!(relay.wait_for_answer(SUBACK, SOON), "no SUBACK\n{}", program.transcript());
        Self { program }
    }

    /// `mosquitto_sub`, whoever's, with these arguments.
    #[track_caller]
    pub(crate) fn of(mut tool: Command, port: u16, args: &[&str]) -> Self {
        let relay = Relay::to(port);
        let program = Program::start(tool.args(["-p", &relay.port().to_string()]).args(args));
        Self::new(program, &relay)
    }

    /// Waits for a line that is exactly this.
    #[track_caller]
    pub(crate) fn hears(&self, line: &str) {
        eventually(
            || self.lines().iter().any(|heard| heard == line),
            || format!("{line:?} is not heard\n{}", self.program.transcript()),
        );
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.program.stdout_lines()
    }

    #[track_caller]
    pub(crate) fn finish(self) -> Finished {
        self.program.finish(SOON)
    }
}
