//! What a running broker is told from outside: `grovemq signal`, `mosquitto_signal`, and the signals behind them.

use std::time::Instant;

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, peers};

use crate::peer::Peer;

fn tell(tool: &str, broker: &Broker, what: &str) -> Finished {
    let pid = broker.program().pid().to_string();
    Program::run(peers::ours(tool).args(["-p", &pid, what]), b"", SOON).success()
}

#[test]
fn a_reload_and_the_end_by_both_names() {
    for tool in ["signal", "mosquitto_signal"] {
        let broker = Broker::ours();
        let mut peer = Peer::v5(broker.port(), "a");
        assert_eq!(tell(tool, &broker, "config-reload").stderr, "");
        broker.wait_for_log(": Configuration reloaded.");
        peer.ping();
        tell(tool, &broker, "shutdown");
        peer.closed_with(0x8b);
        broker.wait_for_log(" terminating");
    }
}

#[test]
fn the_tree_of_subscriptions_is_printed() {
    let broker = Broker::ours();
    let mut clients: Vec<Peer> = (0..3).map(|i| Peer::v5(broker.port(), &format!("c{i}"))).collect();
    for client in &mut clients {
        client.subscribe_v5("house/+/lamp", 1);
    }
    clients[1].subscribe_v5("house", 0);
    clients[2].subscribe_v5("$share/g/house/#", 2);
    tell("signal", &broker, "tree-print");
    for line in [
        "    $share",
        "          # (c2, 2)",
        "    house (c1, 0)",
        "      +",
        "        lamp (c0, 1) (c1, 1) (c2, 1)",
    ] {
        let printed = broker.program().wait_for_stdout(line, SOON);
        assert_eq!(printed, line);
    }
}

/// The log's file is opened anew by either signal; only one of them reads the configuration again.
#[test]
fn logs_are_rotated_without_a_reload() {
    let lines = "allow_anonymous true\nlog_dest stderr\nlog_dest file {dir}/log\nuser root\n";
    let broker = Broker::start(Kind::Ours, lines);
    let mut peer = Peer::v5(broker.port(), "a");
    for (what, reloads) in [("xtreport", 0), ("log-rotate", 1)] {
        let (log, old) = (broker.dir().join("log"), broker.dir().join("log.1"));
        std::fs::rename(&log, &old).unwrap();
        tell("signal", &broker, what);
        let deadline = Instant::now() + SOON;
        while !log.exists() {
            assert!(Instant::now() < deadline, "{what} does not open the file again");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        peer.ping();
        let reloading = |line: &&String| line.ends_with(": Reloading config.");
        assert_eq!(broker.program().stderr_lines().iter().filter(reloading).count(), reloads, "{what}");
    }
}

#[test]
fn saving_is_harmless() {
    let broker = Broker::ours();
    let mut peer = Peer::v5(broker.port(), "a");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(broker.program().pid().cast_signed()).unwrap(),
        rustix::process::Signal::USR1,
    )
    .unwrap();
    peer.ping();
    tell("signal", &broker, "config-reload");
    broker.wait_for_log(": Configuration reloaded.");
}

#[test]
fn the_tools_mistakes_are_the_originals() {
    for (args, code, text) in [
        (&[][..], 1, ""),
        (&["--help"], 1, ""),
        (&["--invalid"], 1, "Error: One of -a or -p must be used."),
        (&["-p"], 1, "Error: -p argument given but process ID missing."),
        (&["-p", "0"], 1, "Error: Process ID must be >0."),
        (&["-a"], 1, "Error: No signal given."),
        (&["-p", "1", "invalid"], 1, "Error: Unknown signal 'invalid'."),
        // nobody has this number; the original has done its part
        (&["-p", "2000000000", "config-reload"], 0, "Error sending signal to process 2000000000: "),
    ] {
        let end = Program::run(peers::ours("mosquitto_signal").args(args), b"", SOON);
        assert_eq!(end.code, code, "{args:?}: {end:?}");
        assert!(end.stderr.starts_with(text), "{args:?}: {end:?}");
    }
    let end = Program::run(peers::ours("signal").args(["-p", "2000000000", "shutdown"]), b"", SOON);
    assert_eq!(end.code, 1, "{end:?}");
    assert_eq!(Program::run(peers::ours("signal").arg("--help"), b"", SOON).code, 0);
}
