//! `top`, by eyes and keys.

use std::process::Command;

use grovemq_tests::{Broker, Program, SOON, Terminal, peers};

fn top(port: u16, args: &[&str]) -> Command {
    let mut command = peers::ours("top");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args).env("TERM", "xterm");
    command
}

fn publish(broker: &Broker, topic: &str, payload: &str) {
    let mut command = peers::ours("pub");
    command.args(["-p", &broker.port().to_string(), "-t", topic, "-m", payload]);
    Program::run(&mut command, b"", SOON).success();
}

/// Only what changes is written, so that what stood there before is not waited for again.
#[test]
fn messages_are_seen_and_keys_obeyed() {
    let broker = Broker::ours();
    let mut terminal = Terminal::start_sized(&top(broker.port(), &[]), 100, 20);
    broker.wait_for_log("Sending SUBACK");
    terminal.shows(&format!("127.0.0.1:{}", broker.port()));
    publish(&broker, "plant/first", "dangerous\u{1b}[31mred");
    terminal.shows("first");
    terminal.shows("dangerous");
    terminal.shows("[31mred");
    assert!(!terminal.text().contains("\u{1b}[31mred"), "{:?}", terminal.text());
    // what the broker tells of itself
    terminal.shows("clients");
    // the tree is closed: what comes below is not shown any more
    terminal.type_keys("\r");
    terminal.shows("▸");
    publish(&broker, "plant/hidden", "unseen");
    publish(&broker, "other", "seen");
    terminal.shows("seen");
    assert!(!terminal.text().contains("unseen"), "{}", terminal.text());
    // by rate every topic has its full name
    terminal.type_keys("s");
    terminal.shows("/hidden");
    terminal.type_keys("q");
    let (code, shown) = terminal.finish();
    assert_eq!(code, 0, "{shown}");
    // the terminal is given back as it was
    assert!(shown.contains("\u{1b}[?1049l"), "{shown:?}");
}

#[test]
fn a_broker_that_goes_away_is_told() {
    let broker = Broker::ours();
    let mut terminal = Terminal::start_sized(&top(broker.port(), &["-t", "a"]), 100, 10);
    broker.wait_for_log("Sending SUBACK");
    drop(broker);
    terminal.shows("trying again");
    // Ctrl+C is a key like any other there
    terminal.type_keys("\u{3}");
    assert_eq!(terminal.finish().0, 0);
}

#[test]
fn without_a_terminal_there_is_nothing_to_see() {
    let broker = Broker::ours();
    let end = Program::run(&mut top(broker.port(), &[]), b"", SOON);
    let text = "Error: top needs a terminal; sub --count-by topic does without.\n";
    assert_eq!((end.code, &*end.stderr), (1, text));
}
