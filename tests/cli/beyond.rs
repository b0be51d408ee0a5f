//! Options of `pub` and `sub` that the original does not have.

use std::process::Command;
use std::time::Duration;

use grovemq_tests::{Broker, Program, SOON, Terminal, free_port, peers};

/// Our tool, with the broker's port before these arguments.
fn tool(name: &str, port: u16, args: &[&str]) -> Command {
    let mut command = peers::ours(name);
    command.args(["-p", &port.to_string()]).args(args);
    command
}

fn publish(port: u16, args: &[&str]) {
    Program::run(&mut tool("pub", port, args), b"", SOON).success();
}

#[test]
fn topics_are_coloured_on_a_terminal_only() {
    let broker = Broker::ours();
    publish(broker.port(), &["-t", "kept", "-m", "x", "-r"]);
    let args = ["-t", "kept", "-v", "-C", "1"];
    let sub = || tool("sub", broker.port(), &args);
    assert_eq!(Program::run(&mut sub(), b"", SOON).success().text(), "kept x\n");
    let on_terminal = |vars: &[(&str, &str)]| {
        let mut command = sub();
        command.env("TERM", "xterm").env("NO_COLOR", "").envs(vars.iter().copied());
        Terminal::start(&command).finish()
    };
    assert_eq!(on_terminal(&[]), (0, "\x1b[35mkept\x1b[0m x\n".to_owned()));
    assert_eq!(on_terminal(&[("NO_COLOR", "1")]), (0, "kept x\n".to_owned()));
    assert_eq!(on_terminal(&[("TERM", "dumb")]), (0, "kept x\n".to_owned()));
    let mut by_original_name = peers::ours("mosquitto_sub");
    by_original_name.args(["-p", &broker.port().to_string()]).args(args).env("TERM", "xterm");
    assert_eq!(Terminal::start(&by_original_name).finish(), (0, "kept x\n".to_owned()));
    let end = Program::run(sub().args(["--color", "always"]), b"", SOON).success();
    assert_eq!(end.text(), "\x1b[35mkept\x1b[0m x\n");
}

#[test]
fn each_message_is_a_line_of_json() {
    let broker = Broker::ours();
    let sub = Program::start(&mut tool("sub", broker.port(), &["-t", "a/#", "--json", "-C", "3"]));
    broker.wait_for_log("Sending SUBACK");
    publish(broker.port(), &["-t", "a/json", "-m", "{\n \"x\": [1, true]\n}"]);
    publish(broker.port(), &["-t", "a/text", "-m", "two\nlines"]);
    let mut bytes = Program::start(&mut tool("pub", broker.port(), &["-t", "a/bytes", "-s"]));
    bytes.type_bytes(&[0xff, 0]);
    bytes.close_stdin();
    bytes.finish(SOON).success();
    let end = sub.finish(SOON).success();
    let payloads: Vec<serde_json::Value> = end
        .text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].clone())
        .collect();
    let expected = [
        serde_json::json!({"x": [1, true]}),
        serde_json::json!("two\nlines"),
        serde_json::json!({"base64": "/wA="}),
    ];
    assert_eq!(payloads, expected);
}

#[test]
fn messages_are_counted_by_topic() {
    let broker = Broker::ours();
    let args = ["-t", "#", "--count-by", "topic", "-C", "4"];
    let sub = Program::start(&mut tool("sub", broker.port(), &args));
    broker.wait_for_log("Sending SUBACK");
    publish(broker.port(), &["-t", "a/1", "-m", "x"]);
    publish(broker.port(), &["-t", "a/2", "-m", "x", "--repeat", "3"]);
    assert_eq!(sub.finish(SOON).success().text(), "       3 a/2\n       1 a/1\n");
}

#[test]
fn a_count_that_is_interrupted_is_printed() {
    let broker = Broker::ours();
    let mut command = tool("sub", broker.port(), &["-t", "#", "-d", "--count-by", "first-level"]);
    let sub = Program::start(&mut command);
    broker.wait_for_log("Sending SUBACK");
    publish(broker.port(), &["-t", "a/1", "-m", "x"]);
    sub.wait_for_stdout("received PUBLISH", SOON);
    sub.interrupt();
    let end = sub.finish(SOON).success();
    assert!(end.text().contains("\n       1 a\n"), "{end:?}");
}

#[test]
fn a_publisher_waits_for_a_server_that_is_not_there_yet() {
    let port = free_port();
    let args = ["-t", "a", "-m", "patient", "-r", "--retry-connect", "15"];
    let mut publisher = Program::start(&mut tool("pub", port, &args));
    std::thread::sleep(Duration::from_millis(300));
    assert!(publisher.is_running(), "{}", publisher.transcript());
    let mut server = peers::ours("broker");
    let server = Program::start(server.args(["-p", &port.to_string()]));
    publisher.finish(SOON).success();
    let end = Program::run(&mut tool("sub", port, &["-t", "a", "-C", "1"]), b"", SOON).success();
    assert_eq!(end.text(), "patient\n");
    server.terminate();
    server.finish(SOON).success();
}

#[test]
fn patience_ends() {
    let args = ["-t", "a", "-m", "x", "--retry-connect", "0.3"];
    let end = Program::run(&mut tool("pub", free_port(), &args), b"", SOON);
    assert_eq!((end.code, &*end.stderr), (1, "Error: Connection refused\n"));
}

#[test]
fn a_wrong_password_is_not_tried_again() {
    let broker = Broker::start(grovemq_tests::Kind::Ours, "allow_anonymous false\n");
    let args = ["-t", "a", "-m", "x", "--retry-connect", "60"];
    let end = Program::run(&mut tool("pub", broker.port(), &args), b"", SOON);
    assert_eq!(end.code, 5, "{end:?}");
}

/// Debian's 2.0 has not these yet; they are of the original's 2.1.
#[test]
fn the_rate_and_a_watched_screen_and_chance() {
    let broker = Broker::ours();
    let start = |args: &[&str]| Program::start(&mut tool("sub", broker.port(), args));
    let rate = start(&["-t", "#", "--message-rate"]);
    broker.wait_for_log("Sending SUBACK");
    publish(broker.port(), &["-t", "a/1", "-m", "x"]);
    rate.wait_for_stdout("1 messages/s", SOON);
    for topic in ["k/1", "k/2"] {
        publish(broker.port(), &["-t", topic, "-m", "kept", "-r"]);
    }
    let watched = start(&["-t", "k/+", "-w", "-v", "-C", "2"]).finish(SOON).success().text();
    assert!(watched.starts_with("\x1b[2J\x1b[1;1Hk/") && watched.contains("\x1b[2;1Hk/"), "{watched:?}");
    let all = start(&["-t", "k/+", "--random-filter", "100", "-C", "2"]).finish(SOON).success().text();
    assert_eq!(all, "kept\nkept\n");
    let args = ["-t", "many", "--random-filter", "50", "-C", "200"];
    let some = start(&args);
    broker.wait_for_log("many (QoS 0)");
    publish(broker.port(), &["-t", "many", "-m", "x", "--repeat", "200"]);
    let printed = some.finish(SOON).success().text().lines().count();
    // outside of this once in 10^18 runs
    assert!((35..165).contains(&printed), "{printed}");
}
