//! A broker on a free port, ours or Debian's, told apart by nothing else.

use std::path::Path;
use std::process::Command;

use crate::program::Program;
use crate::{SOON, free_port, peers, port, scratch};

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `grovemq broker`, the debug build.
    Ours,
    /// Debian's mosquitto.
    Debian,
}

/// A running broker with a folder of its own. Dropping it kills it and removes the folder.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    port: u16,
    dir: tempfile::TempDir,
    /// With the log's debug lines.
    verbose: bool,
}

impl Broker {
    /// Our broker on a free port of 127.0.0.1, open to everybody.
    #[track_caller]
    pub fn ours() -> Self {
        Broker::start(Kind::Ours, "allow_anonymous true\n")
    }

    /// Debian's broker likewise.
    #[track_caller]
    pub fn debian() -> Self {
        Broker::start(Kind::Debian, "allow_anonymous true\n")
    }

    /// A broker with a `listener` on a free port of 127.0.0.1, followed by these lines of configuration. `{dir}` in them is
    /// the broker's folder, `{port}` its port.
    #[track_caller]
    pub fn start(kind: Kind, configuration: &str) -> Self {
        Broker::start_with_files(kind, configuration, &[])
    }

    /// The same without the log's debug lines, for tests with very many messages.
    #[track_caller]
    pub fn start_quietly(kind: Kind, configuration: &str) -> Self {
        let (port, dir) = prepare(configuration, &[]);
        Broker::run(kind, port, dir, false)
    }

    /// The same, with files (name, content) put into the broker's folder first.
    #[track_caller]
    pub fn start_with_files(kind: Kind, configuration: &str, files: &[(&str, &str)]) -> Self {
        let (port, dir) = prepare(configuration, files);
        Broker::run(kind, port, dir, true)
    }

    #[track_caller]
    fn run(kind: Kind, port: u16, dir: tempfile::TempDir, verbose: bool) -> Self {
        let mut command = command(kind);
        command.arg("-c").arg(dir.path().join(FILE)).current_dir(dir.path());
        if verbose {
            command.arg("-v");
        }
        let program = Program::start(&mut command);
        assert!(
            port::listens_within(port, SOON),
            "the broker does not listen on {port}\n{}",
            program.transcript()
        );
        Broker { program, port, dir, verbose }
    }

    /// Stops it with SIGTERM and starts it again on the same port, with the same folder and configuration.
    #[track_caller]
    pub fn restart(self, kind: Kind) -> Self {
        let Broker { program, port, dir, verbose } = self;
        program.terminate();
        program.finish(SOON).success();
        Broker::run(kind, port, dir, verbose)
    }

    /// Kills it with SIGKILL and starts it again, likewise.
    #[track_caller]
    pub fn kill_and_restart(self, kind: Kind) -> Self {
        self.kill_and_restart_after(kind, |_| ())
    }

    /// The same; in between something happens to its folder.
    #[track_caller]
    pub fn kill_and_restart_after(self, kind: Kind, between: impl FnOnce(&Path)) -> Self {
        let Broker { program, port, dir, verbose } = self;
        program.kill();
        drop(program);
        between(dir.path());
        Broker::run(kind, port, dir, verbose)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process: log lines, signals.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Waits for a log line with this text, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.program.wait_for_stderr(text, SOON)
    }
}

/// The configuration in the broker's folder.
const FILE: &str = "mosquitto.conf";

/// A folder with these files and this configuration, and the port in it.
fn prepare(configuration: &str, files: &[(&str, &str)]) -> (u16, tempfile::TempDir) {
    let dir = scratch();
    let port = free_port();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let lines =
        configuration.replace("{dir}", dir.path().to_str().unwrap()).replace("{port}", &port.to_string());
    std::fs::write(dir.path().join(FILE), format!("listener {port} 127.0.0.1\n{lines}")).unwrap();
    (port, dir)
}

/// The bare command of a broker, without arguments.
fn command(kind: Kind) -> Command {
    match kind {
        Kind::Ours if !peers::instead() => peers::ours("broker"),
        Kind::Ours | Kind::Debian => peers::debian("mosquitto"),
    }
}
