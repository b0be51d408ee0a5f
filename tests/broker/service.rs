//! What the broker tells the service manager that started it: a socket of the test's takes the manager's place.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use grovemq_tests::{Program, SOON, free_port, peers, scratch};

use crate::peer::Peer;

/// The manager's side, in a folder of its own.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = scratch();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        // the broker may have given up root's rights by then, so everybody may write, as to the real one
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.path().join("notify"), everybody).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, dir }
    }

    /// A broker started as the manager would, with these words of the environment besides.
    fn start(&self, configuration: &str, environment: &[(&str, &str)]) -> Program {
        self.configure(configuration);
        let mut command = peers::ours("mosquitto");
        command
            .arg("-c")
            .arg(self.dir.path().join("conf"))
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        Program::start(command.envs(environment.iter().copied()))
    }

    fn configure(&self, configuration: &str) {
        std::fs::write(self.dir.path().join("conf"), configuration).unwrap();
    }

    /// The next message, as lines.
    #[track_caller]
    fn hears(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let n = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..n]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_manager_hears_of_start_reload_and_end() {
    let manager = Manager::new();
    let (first, second) = (free_port(), free_port());
    let lines = |port: u16| format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
    let broker = manager.start(&lines(first), &[]);
    assert_eq!(manager.hears(), ["READY=1".to_owned(), format!("STATUS=Listening on 127.0.0.1:{first}.")]);
    // whoever is ready serves
    Peer::v5(first, "a").ping();

    manager.configure(&lines(second));
    broker.hang_up();
    let reloading = manager.hears();
    assert_eq!(reloading[0], "RELOADING=1");
    // systemd tells by the time which of two reloads this belongs to
    let time = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0, "{reloading:?}");
    assert_eq!(manager.hears(), ["READY=1".to_owned(), format!("STATUS=Listening on 127.0.0.1:{second}.")]);
    Peer::v5(second, "b").ping();

    let mut wrong = lines(second);
    writeln!(wrong, "no_such_directive 1").unwrap();
    manager.configure(&wrong);
    broker.hang_up();
    assert_eq!(manager.hears()[0], "RELOADING=1");
    let unchanged = manager.hears();
    assert_eq!(unchanged[0], "READY=1");
    assert!(unchanged[1].starts_with("STATUS=The last reload found mistakes"), "{unchanged:?}");

    broker.terminate();
    assert_eq!(manager.hears()[0], "STOPPING=1");
    broker.finish(SOON).success();
}

#[test]
fn the_watchdog_hears_of_life() {
    let manager = Manager::new();
    let lines = format!("listener {} 127.0.0.1\nallow_anonymous true\n", free_port());
    let broker = manager.start(&lines, &[("WATCHDOG_USEC", "200000")]);
    assert_eq!(manager.hears()[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.hears(), ["WATCHDOG=1"]);
    }
    broker.terminate();
    while manager.hears()[0] == "WATCHDOG=1" {}
    broker.finish(SOON).success();
}

#[test]
fn a_watchdog_of_another_process_hears_nothing() {
    let manager = Manager::new();
    let lines = format!("listener {} 127.0.0.1\nallow_anonymous true\n", free_port());
    let broker = manager.start(&lines, &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    assert_eq!(manager.hears()[0], "READY=1");
    broker.hang_up();
    assert_eq!(manager.hears()[0], "RELOADING=1");
    assert_eq!(manager.hears()[0], "READY=1");
    broker.terminate();
    assert_eq!(manager.hears()[0], "STOPPING=1");
    broker.finish(SOON).success();
}
