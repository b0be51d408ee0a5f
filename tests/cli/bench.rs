//! `bench`: that the load is what was asked for, and that the result says what came of it.

use std::process::Command;

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, Terminal, free_port, peers};
use serde_json::Value;

fn command(port: u16, line: &str) -> Command {
    let mut command = peers::ours("bench");
    command.args(line.split(' ')).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    command
}

fn bench(port: u16, line: &str) -> Finished {
    Program::run(&mut command(port, line), b"", SOON * 4)
}

fn result(end: &Finished) -> Value {
    serde_json::from_slice(&end.stdout).unwrap_or_else(|error| panic!("{error}: {end:?}"))
}

#[test]
fn connections_come_at_the_rate_asked_for_and_stay() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let begun = std::time::Instant::now();
    let end = bench(broker.port(), "conn --clients 300 --ramp 200 --duration 0.2 --json").success();
    assert!(begun.elapsed().as_secs_f64() > 1.4, "{:?}", begun.elapsed());
    let found = result(&end);
    assert_eq!(found["mode"], "conn");
    assert_eq!(found["clients"]["connected"], 300);
    assert_eq!(found["clients"]["lost"], 0);
    assert_eq!(found["connect_us"]["count"], 300);
    assert!(found["connect_us"]["p50"].as_u64() <= found["connect_us"]["p99"].as_u64());
    assert!(found["publish_us"].is_null());
}

#[test]
fn messages_go_at_the_rate_asked_for() {
    for qos in ["0", "1", "2"] {
        let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
        let line = format!("pub --clients 20 --rate 500 --duration 1 --size 100 --json -q {qos}");
        let found = result(&bench(broker.port(), &line).success());
        let sent = found["messages"]["sent"].as_u64().unwrap();
        // 500, but for the last ones that a busy machine makes late
        assert!((400..=501).contains(&sent), "{found}");
        assert_eq!(found["messages"]["acknowledged"], sent);
        assert_eq!(found["publish_us"]["count"], sent);
    }
}

#[test]
fn subscribers_get_each_message_and_tell_how_long_it_took() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let line = "sub --clients 10 --publishers 3 --rate 300 --duration 1 -q 1 --json";
    let found = result(&bench(broker.port(), line).success());
    let sent = found["messages"]["sent"].as_u64().unwrap();
    assert!(sent > 200, "{found}");
    assert_eq!(found["messages"]["received"], sent, "{found}");
    assert_eq!(found["delivery_us"]["count"], sent, "{found}");
    // one topic for all: each message goes to each subscriber
    let line = "sub --clients 10 -t same --rate 50 --duration 1 -q 1 --json";
    let found = result(&bench(broker.port(), line).success());
    let sent = found["messages"]["sent"].as_u64().unwrap();
    assert_eq!(found["messages"]["received"], sent * 10, "{found}");
}

#[test]
fn messages_have_the_properties_asked_for() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let mut ear = peers::ours("sub");
    ear.args(["-V", "5", "-p", &broker.port().to_string(), "-t", "a/1", "-d", "-F", "%C %P %D"]);
    let ear = Program::start(&mut ear);
    ear.wait_for_stdout("Subscribed (mid", SOON);
    let line = "pub --clients 2 -t a/%i --rate 100 --duration 1 --json -D publish content-type text/plain \
                -D publish user-property unit celsius -D publish correlation-data 17 -D publish topic-alias 1";
    let found = result(&bench(broker.port(), line).success());
    assert_eq!(found["messages"]["refused"], 0, "{found}");
    ear.wait_for_stdout("text/plain unit:celsius 17", SOON);

    // aliases both ways, more topics than the server allows aliases for
    let line = "sub --clients 20 --publishers 2 --rate 300 --duration 1 -q 1 --json \
                -D publish topic-alias 1 -D connect topic-alias-maximum 5";
    let found = result(&bench(broker.port(), line).success());
    assert_eq!(found["messages"]["received"], found["messages"]["sent"], "{found}");
    assert_eq!(found["delivery_us"]["count"], found["messages"]["sent"], "{found}");
}

#[test]
fn as_fast_as_it_goes() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let found =
        result(&bench(broker.port(), "pub --clients 4 --rate max --duration 1 -q 1 --json").success());
    assert!(found["messages"]["sent"].as_u64() > Some(1000), "{found}");
    assert_eq!(found["messages"]["acknowledged"], found["messages"]["sent"]);
}

#[test]
fn failures_are_counted_and_named() {
    let end = bench(free_port(), "conn --clients 3 --duration 0 --json");
    let found = result(&end);
    assert_eq!((end.code, &found["clients"]["failed"]), (1, &3.into()));
    assert!(found["first_error"].as_str().is_some_and(|text| text.contains("refused")), "{found}");

    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nmax_connections 5\n");
    let end = bench(broker.port(), "conn --clients 8 --duration 0 --json");
    assert_eq!((end.code, &result(&end)["clients"]["connected"]), (1, &5.into()));
}

#[test]
fn a_broker_that_goes_away_is_noticed() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let bench = Program::start(&mut command(broker.port(), "conn --clients 5 --duration 30 --json"));
    let mut sub = peers::ours("sub");
    // the number of clients that the broker itself tells: the five and the one that asks
    sub.args(["-p", &broker.port().to_string(), "-t", "$SYS/broker/clients/connected"]);
    let mut sub = Program::start(sub.args(["-F", "clients: %p"]));
    sub.wait_for_stdout("clients: 6", SOON);
    assert!(sub.is_running());
    drop(broker);
    // an end like any other for those who listen; the rest of the time is waited for nobody
    bench.interrupt();
    let end = bench.finish(SOON);
    assert_eq!((end.code, &result(&end)["clients"]["lost"]), (1, &5.into()));
}

#[test]
fn a_terminal_shows_how_it_goes() {
    let broker = Broker::start_quietly(Kind::Ours, "allow_anonymous true\n");
    let mut command = command(broker.port(), "conn --clients 5 --duration 1.5");
    let (code, shown) = Terminal::start(command.env("TERM", "xterm")).finish();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("s  5 connected  0 failed"), "{shown}");
    assert!(shown.contains("\nconnect   min "), "{shown}");
    assert!(shown.contains("clients   5 of 5 connected, 0 failed, 0 lost\n"), "{shown}");
}

#[test]
fn what_is_wrong_is_told() {
    for (line, text) in [
        ("--json", "Error: You must specify what to do: conn, pub or sub."),
        ("nonsense", "Error: You must specify what to do: conn, pub or sub."),
        ("pub --clients 0", "Error: Invalid number \"0\" for --clients."),
        ("pub --rate -1", "Error: Invalid rate \"-1\"."),
        ("pub --size 300000000", "Error: Invalid number \"300000000\" for --size."),
        ("sub -D subscribe user-property a b", "Error: Only CONNECT and PUBLISH have properties here."),
    ] {
        let end = bench(free_port(), line);
        assert_eq!((end.code, end.stderr.lines().next()), (1, Some(text)), "{line}");
    }
}
