//! The broker as a process: command line, lines of its log, exit codes, signals.

use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, free_port, peers, scratch, wait_until_listening};

use crate::peer::Peer;

/// A broker that is started with these arguments, and how it ends.
#[track_caller]
fn run(args: &[&str]) -> Finished {
    Program::run(peers::ours("broker").args(args), b"", SOON)
}

/// A running broker, awaited.
#[track_caller]
fn start(mut command: Command) -> Program {
    let program = Program::start(&mut command);
    program.wait_for_stderr(&format!("{VERSION} running"), SOON);
    program
}

/// A folder with this configuration; everybody may write there, as the broker gives up root's rights.
fn folder(configuration: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = scratch();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = dir.path().join("mosquitto.conf");
    std::fs::write(&file, configuration.replace("{dir}", dir.path().to_str().unwrap())).unwrap();
    (dir, file)
}

/// Log lines without their time, and without the one that only root's broker has.
#[track_caller]
fn lines(all: &[String]) -> Vec<String> {
    let without_time = |line: &String| {
        let (time, text) = line.split_once(": ").unwrap_or_else(|| panic!("no time in {line:?}"));
        assert!(time.parse::<u64>().is_ok(), "no seconds in front of {line:?}");
        text.to_string()
    };
    all.iter().map(without_time).filter(|line| !line.starts_with("Info: running as user")).collect()
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn it_says_what_it_is_then_what_it_opens() {
    let port = free_port();
    let (_dir, file) = folder(&format!("listener {port}\nallow_anonymous true\n"));
    let mut command = peers::ours("broker");
    command.arg("-c").arg(&file);
    let program = start(command);
    let expected = [
        format!("grovemq version {VERSION} starting"),
        format!("Config loaded from {}.", file.display()),
        format!("Opening ipv4 listen socket on port {port}."),
        format!("Opening ipv6 listen socket on port {port}."),
        format!("grovemq version {VERSION} running"),
    ];
    let said = lines(&program.stderr_lines());
    assert_eq!(said.get(..5), Some(&expected[..]), "{said:?}");
    program.terminate();
    let end = program.finish(SOON).success();
    assert!(end.stderr.contains(&format!("grovemq version {VERSION} terminating")), "{end:?}");
    assert_eq!(end.text(), "");
}

#[test]
fn without_a_configuration_it_serves_this_machine_only() {
    let port = free_port();
    let mut command = peers::ours("mosquitto");
    command.args(["-p", &port.to_string()]);
    let program = start(command);
    let said = lines(&program.stderr_lines());
    let expected = [
        &*format!("mosquitto version {VERSION} starting"),
        "Using default config.",
        "Starting in local only mode. Connections will only be possible from clients running on this machine.",
        "Create a configuration file which defines a listener to allow remote access.",
        "For more details see https://mosquitto.org/documentation/authentication-methods/",
        &*format!("Opening ipv4 listen socket on port {port}."),
        &*format!("Opening ipv6 listen socket on port {port}."),
        &*format!("mosquitto version {VERSION} running"),
    ];
    assert_eq!(said.get(..8).unwrap(), expected, "{said:?}");
    Peer::v3(port, "anybody").ping();
    let mut v6 = Peer::open((Ipv6Addr::LOCALHOST, port).into());
    v6.send("CONNECT{\"MQTT\" 04 02 003c \"six\"}");
    v6.expect("CONNACK{0000}");
    // another address of this machine stands for the outside
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err(), "it listens on more than 127.0.0.1");
}

#[test]
fn several_ports() {
    let ports = [free_port(), free_port()];
    let mut command = peers::ours("broker");
    for port in ports {
        command.args(["-p", &port.to_string()]);
    }
    let _program = start(command);
    for port in ports {
        Peer::v3(port, "a").ping();
    }
}

#[test]
fn a_configuration_that_names_its_listener_is_obeyed_instead_of_the_port() {
    let (named, other) = (free_port(), free_port());
    let (_dir, file) = folder(&format!("listener {named} 127.0.0.1\nallow_anonymous true\n"));
    let mut command = peers::ours("broker");
    command.args(["-p", &other.to_string(), "-c"]).arg(file);
    let _program = start(command);
    assert!(TcpStream::connect(("127.0.0.1", other)).is_err());
}

#[test]
fn quiet_and_verbose() {
    let port = free_port();
    let program = Program::start(peers::ours("broker").args(["-q", "-p", &port.to_string()]));
    wait_until_listening(port, SOON);
    Peer::v3(port, "a").ping();
    program.terminate();
    assert_eq!(program.finish(SOON).success().stderr, "");

    let port = free_port();
    let (_dir, file) = folder(&format!("listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"));
    let program = Program::start(peers::ours("broker").arg("-c").arg(&file));
    wait_until_listening(port, SOON);
    Peer::v3(port, "a").ping();
    program.terminate();
    assert_eq!(program.finish(SOON).success().stderr, "");

    let program = Program::start(peers::ours("broker").arg("-v").arg("-c").arg(&file));
    wait_until_listening(port, SOON);
    Peer::v3(port, "a").ping();
    program.wait_for_stderr(": Received PINGREQ from a", SOON);
    program.wait_for_stderr(": Sending PINGRESP to a", SOON);
}

#[test]
fn help_and_version() {
    for args in [["-h"], ["--help"]] {
        let end = Program::run(peers::ours("mosquitto").args(args), b"", SOON).success();
        let first = end.text().lines().next().unwrap_or_default().to_string();
        assert_eq!(first, "Usage: mosquitto [-c config_file] [-d] [-h] [-p port] [-v]");
        assert_eq!(end.stderr, "");
    }
    let end = Program::run(peers::ours("mosquitto").arg("--version"), b"", SOON).success();
    assert!(end.text().starts_with(&format!("mosquitto {VERSION}\n")), "{end:?}");
    assert!(run(&["--version"]).success().text().starts_with(&format!("grovemq {VERSION}\n")));
}

#[test]
fn a_wrong_command_line_ends_with_3() {
    for (args, text) in [
        (&["-p"][..], "Error: -p argument given, but no port specified."),
        (&["-p", "0"], "Error: Invalid port specified (0)."),
        (&["-p", "65536"], "Error: Invalid port specified (65536)."),
        (&["-c"], "Error: -c argument given, but no config file specified."),
        (&["--tls"], "Error: Unknown option '--tls'."),
        (&["-c", "/nowhere/at/all.conf"], "Error: Unable to open config file '/nowhere/at/all.conf'."),
    ] {
        let end = run(args);
        assert_eq!(end.code, 3, "{args:?}: {end:?}");
        assert!(end.stderr.starts_with(text), "{args:?}: {end:?}");
    }
}

#[test]
fn a_port_in_use_ends_with_1() {
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        let taken = TcpListener::bind(address).unwrap();
        let port = taken.local_addr().unwrap().port();
        let end = run(&["-p", &port.to_string()]);
        assert_eq!(end.code, 1, "{end:?}");
        let last = end.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(": Error: Address already in use"), "{end:?}");
        assert!(last.contains(&port.to_string()), "the line does not name the port: {end:?}");
    }
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_place() {
    let (_dir, file) = folder("listener 1 127.0.0.1\nalow_anonymous true\n\nmax_qos 7\n");
    for test in [false, true] {
        let mut command = peers::ours("broker");
        command.arg("-c").arg(&file);
        if test {
            command.arg("--test-config");
        }
        let end = Program::run(&mut command, b"", SOON);
        assert_eq!(end.code, 3, "{end:?}");
        let path = file.display();
        for text in [
            "Error: Unknown configuration variable 'alow_anonymous'.",
            "Did you mean 'allow_anonymous'?",
            &format!("{path}:2"),
            "'max_qos' must be between 0 and 2 inclusive.",
            &format!("{path}:4"),
        ] {
            assert!(end.stderr.contains(text), "{text:?} is missing in {}", end.stderr);
        }
    }
}

#[test]
fn a_configuration_is_tested_without_being_used() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (dir, file) = folder(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npid_file {{dir}}/pid\nlog_dest file {{dir}}/log\n"
    ));
    let end = run(&["-c", file.to_str().unwrap(), "--test-config"]).success();
    assert!(end.stderr.ends_with("Configuration file is OK.\n"), "{end:?}");
    let made: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(made, ["mosquitto.conf"], "testing wrote files");
}

#[test]
fn the_process_id_is_in_its_file_while_it_runs() {
    let port = free_port();
    let (dir, file) =
        folder(&format!("listener {port} 127.0.0.1\nallow_anonymous true\npid_file {{dir}}/pid\n"));
    let mut command = peers::ours("broker");
    command.arg("-c").arg(file);
    let program = start(command);
    let pid = dir.path().join("pid");
    assert_eq!(std::fs::read_to_string(&pid).unwrap(), format!("{}\n", program.pid()));
    program.interrupt();
    program.finish(SOON).success();
    assert!(!pid.exists(), "the file outlives the process");
}

#[test]
fn a_log_file_is_opened_anew_at_sighup() {
    let port = free_port();
    let (dir, file) = folder(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest file {{dir}}/log\nlog_timestamp_format %Y-%m-%dT%H:%M:%S\n"
    ));
    let program = Program::start(peers::ours("broker").arg("-c").arg(file));
    let (log, old) = (dir.path().join("log"), dir.path().join("log.1"));
    wait_for_text(&log, &format!("{VERSION} running"));
    Peer::v3(port, "before").ping();
    wait_for_text(&log, " as before ");
    let first = std::fs::read_to_string(&log).unwrap();
    let (time, _) = first.split_once(": ").unwrap();
    assert!(time.len() == 19 && time.starts_with("20") && time.as_bytes()[10] == b'T', "{time:?}");
    std::fs::rename(&log, &old).unwrap();
    program.hang_up();
    let deadline = Instant::now() + SOON;
    while !log.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    Peer::v3(port, "after").ping();
    wait_for_text(&log, " as after ");
    assert!(!std::fs::read_to_string(&old).unwrap().contains(" as after "));
    program.terminate();
    assert_eq!(program.finish(SOON).success().stderr, "");
}

#[track_caller]
fn wait_for_text(file: &Path, text: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let content = std::fs::read_to_string(file).unwrap_or_default();
        if content.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "no {text:?} in {}:\n{content}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_daemon_leaves_the_terminal_and_obeys_signals() {
    let port = free_port();
    let (dir, file) = folder(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npid_file {{dir}}/pid\nlog_dest file {{dir}}/log\n"
    ));
    let daemon = Daemon(file.clone());
    let end = Program::run(peers::ours("mosquitto").arg("-d").arg("-c").arg(&file), b"", SOON).success();
    assert_eq!((end.text(), &*end.stderr), (String::new(), ""));
    wait_until_listening(port, SOON);
    Peer::v3(port, "a").ping();
    wait_for_text(&dir.path().join("log"), &format!("{VERSION} running"));
    wait_for_text(&dir.path().join("log"), "mosquitto version");
    let pids = daemon.pids();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let noted = std::fs::read_to_string(dir.path().join("pid")).unwrap();
    assert_eq!(noted.trim().parse(), Ok(pids[0]));
    signal(pids[0], rustix::process::Signal::TERM);
    wait_for_text(&dir.path().join("log"), " terminating");
}

/// Processes that run with this configuration; none outlives the test.
struct Daemon(PathBuf);

impl Daemon {
    fn pids(&self) -> Vec<i32> {
        let wanted = self.0.to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let runs_it = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(wanted)
        };
        pids.filter(runs_it).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for pid in self.pids() {
            signal(pid, rustix::process::Signal::KILL);
        }
    }
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).ok();
}

#[test]
fn sigterm_tells_the_clients_and_ends_with_0() {
    let broker = Broker::ours();
    let mut old = Peer::v3(broker.port(), "old");
    // one on each shard, whichever they are
    let mut new: Vec<Peer> = (0..8).map(|i| Peer::v5(broker.port(), &format!("new{i}"))).collect();
    broker.program().terminate();
    for peer in &mut new {
        peer.closed_with(0x8b);
    }
    old.closed();
    broker.restart(Kind::Ours);
}

#[test]
fn connection_lines_are_the_originals() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\n");
    let port = broker.port();
    let mut peer = Peer::connect(port, "\"MQTT\" 05 82 002a {} \"five\" \"name\"", "CONNACK{0000 *}");
    broker.wait_for_log(": New connection from 127.0.0.1:");
    let line = broker.wait_for_log(" as five ");
    let (_, line) = line.split_once(": ").unwrap();
    assert!(line.starts_with("New client connected from 127.0.0.1:"), "{line}");
    assert!(line.ends_with(" as five (p5, c1, k42, u'name')."), "{line}");
    peer.send("DISCONNECT{}");
    peer.closed();
    let line = broker.wait_for_log("Client five [127.0.0.1:");
    assert!(line.ends_with("] disconnected."), "{line}");

    drop(Peer::connect(port, "\"MQTT\" 04 00 0000 \"four\"", "CONNACK{0000}"));
    assert!(broker.wait_for_log(" as four ").ends_with(" as four (p4, c0, k0)."));
    assert!(broker.wait_for_log("Client four [").ends_with("] disconnected: connection closed by client."));

    let mut peer = Peer::v5(port, "bad");
    peer.send("PUBLISH{\"\" {} 'x'}");
    peer.closed_with(0x82);
    assert!(broker.wait_for_log("Client bad [").ends_with("] disconnected: protocol error."));

    let mut peer = Peer::open(crate::peer::local(port));
    peer.send("PINGREQ{}");
    peer.closed();
    // it has no name yet: its address stands in its place
    let line =
        wait_for_line(&broker, |line| line.contains(": Client 127.0.0.1:") && line.contains("protocol"));
    assert!(line.ends_with(" disconnected: protocol error."), "{line}");
}

#[track_caller]
fn wait_for_line(broker: &Broker, is_it: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let lines = broker.program().stderr_lines();
        if let Some(line) = lines.iter().find(|line| is_it(line)) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "{lines:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_line_for_each_client_that_misbehaves() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\n");
    for i in 0..5 {
        let mut peer = Peer::v5(broker.port(), &format!("bad{i}"));
        peer.send("PUBLISH{\"a/#\" {} 'x'}");
        peer.closed_with(0x90);
    }
    broker.wait_for_log("Client bad4 [");
    let lines = broker.program().stderr_lines();
    for i in 0..5 {
        let about = lines.iter().filter(|line| line.contains(&format!("Client bad{i} [")));
        assert_eq!(about.count(), 1, "{lines:#?}");
    }
}

/// A25: who speaks TLS to a plain listener is closed, and the log says what it looks like.
#[test]
fn a25_tls_on_a_plain_listener_is_named() {
    let broker = Broker::ours();
    let mut peer = Peer::open(crate::peer::local(broker.port()));
    peer.send("1603010200010001fc0303");
    peer.closed();
    let line = broker.wait_for_log(" appears to be using TLS to connect to a non-TLS listener.");
    assert!(line.contains(": Client from 127.0.0.1:"), "{line}");
}

/// E11: asked to reload again and again, it goes on, and ends when told.
#[test]
fn e11_many_reloads() {
    let broker = Broker::ours();
    let mut peer = Peer::v3(broker.port(), "a");
    peer.subscribe_v3("t", 1);
    for _ in 0..100 {
        broker.program().hang_up();
        peer.send("PUBLISH{\"t\" 'x'}");
        peer.expect("PUBLISH{\"t\" 'x'}");
    }
    broker.restart(Kind::Ours);
}

#[test]
fn without_connection_messages_nobody_is_named() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nconnection_messages false\n");
    let mut peer = Peer::v3(broker.port(), "shy");
    peer.send("DISCONNECT{}");
    peer.closed();
    Peer::v3(broker.port(), "other").ping();
    broker.wait_for_log("Received PINGREQ from other");
    let lines = broker.program().stderr_lines();
    assert!(!lines.iter().any(|line| line.contains("New c") || line.contains("disconnected")), "{lines:#?}");
}

#[test]
fn no_more_connections_than_allowed() {
    for directive in ["max_connections 2", "global_max_connections 2"] {
        let broker = Broker::start(Kind::Ours, &format!("allow_anonymous true\n{directive}\n"));
        // the test's own look whether it listens must be over; its place is free a moment after the line
        broker.wait_for_log("disconnected: connection closed by client");
        std::thread::sleep(crate::peer::QUIET);
        let mut first = Peer::v3(broker.port(), "first");
        let mut second = Peer::v5(broker.port(), "second");
        let mut third = Peer::open(crate::peer::local(broker.port()));
        third.closed();
        broker.wait_for_log("Client connection from 127.0.0.1 denied: max_connections exceeded.");
        first.ping();
        second.send("DISCONNECT{}");
        second.closed();
        // the place is free a moment after the connection is closed
        let deadline = Instant::now() + SOON;
        let enters = || {
            let mut third = Peer::open(crate::peer::local(broker.port()));
            third.send_anyway("CONNECT{\"MQTT\" 04 02 003c \"third\"}");
            third.try_packet().is_some()
        };
        while !enters() {
            assert!(Instant::now() < deadline, "nobody gets the free place");
        }
    }
}

/// D23: no two brokers, and no two starts of one, have the same seed: the ids they make up of it differ.
#[test]
fn d23_every_start_has_a_seed_of_its_own() {
    let assigned = |broker: &Broker| {
        let mut peer = Peer::open(crate::peer::local(broker.port()));
        peer.send("CONNECT{\"MQTT\" 05 02 003c {} \"\"}");
        String::from_utf8_lossy(&peer.packet()).into_owned()
    };
    let (one, two) = (Broker::ours(), Broker::ours());
    let mut ids = vec![assigned(&one), assigned(&two)];
    ids.push(assigned(&one.restart(Kind::Ours)));
    assert!(ids.iter().all(|id| id.contains("auto-")), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}
