//! Topics as resources of CoAP, to which a client of libcoap speaks.

use std::process::Command;
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Kind, Program, SOON, free_port, peers};

/// A broker that speaks CoAP at a second port, and where its topics are.
fn gateway(lines: &str, files: &[(&str, &str)]) -> (Broker, String) {
    let port = free_port();
    let broker = Broker::start_with_files(
        Kind::Ours,
        &format!("{lines}listener {port} 127.0.0.1\nprotocol coap\n"),
        files,
    );
    (broker, format!("coap://127.0.0.1:{port}/ps"))
}

fn open() -> (Broker, String) {
    gateway("allow_anonymous true\n", &[])
}

/// A broker with one user, who may read and write below `own/`.
fn guarded() -> (Broker, String) {
    let passwords = peers::repository().join("examples/lab/passwords");
    let passwords = std::fs::read_to_string(passwords).unwrap();
    let files = [("passwords", passwords.as_str()), ("rules", "user user1\ntopic readwrite own/#\n")];
    gateway("login_delay 0\npassword_file {dir}/passwords\nacl_file {dir}/rules\n", &files)
}

/// Standard output and standard error of libcoap's client.
fn coap(arguments: &[&str], url: &str) -> (String, String) {
    let mut client = Command::new("coap-client-notls");
    let ended = Program::run(client.args(arguments).arg(url), b"", SOON);
    (ended.text().trim_end().to_owned(), ended.stderr.trim_end().to_owned())
}

fn observer(url: &str) -> Program {
    let mut client = Command::new("coap-client-notls");
    Program::start(client.args(["-s", "60", "-w", "-m", "get", url]))
}

fn publish(broker: &Broker, arguments: &[&str]) {
    let mut publish = peers::ours("mosquitto_pub");
    publish.args(["-p", &broker.port().to_string()]).args(arguments);
    Program::run(&mut publish, b"", SOON).success();
}

fn nothing() -> (String, String) {
    (String::new(), String::new())
}

fn text(said: &str) -> (String, String) {
    (said.to_owned(), String::new())
}

fn error(said: &str) -> (String, String) {
    (String::new(), said.to_owned())
}

#[test]
fn libcoap_publishes_what_mqtt_receives() {
    let (broker, url) = open();
    let mut receiver = peers::ours("mosquitto_sub");
    receiver.args(["-p", &broker.port().to_string(), "-t", "a/#", "-q", "1", "-F", "%t %q %p"]);
    let receiver = Program::start(&mut receiver);
    broker.wait_for_log("Sending SUBACK");
    assert_eq!(coap(&["-m", "put", "-e", "one"], &format!("{url}/a/b")), nothing());
    receiver.wait_for_stdout("a/b 1 one", SOON);
    assert_eq!(coap(&["-N", "-m", "post", "-e", "two"], &format!("{url}/a/c")), nothing());
    receiver.wait_for_stdout("a/c 0 two", SOON);
    // in blocks
    let long = "x".repeat(5000);
    assert_eq!(coap(&["-m", "put", "-e", &long], &format!("{url}/a/d")), nothing());
    receiver.wait_for_stdout(&format!("a/d 1 {long}"), SOON);
    broker.wait_for_log("as coap-127.0.0.1:");
}

#[test]
fn libcoap_keeps_reads_and_deletes() {
    let (broker, url) = open();
    let topic = format!("{url}/kept");
    assert_eq!(coap(&["-m", "get"], &topic), error("4.04 no message is retained for this topic"));
    assert_eq!(coap(&["-m", "put", "-e", "new"], &format!("{topic}?retain=1")), nothing());
    assert_eq!(coap(&["-m", "get"], &topic), text("new"));
    publish(&broker, &["-t", "kept", "-r", "-m", "newer"]);
    assert_eq!(coap(&["-m", "get"], &topic), text("newer"));
    assert_eq!(coap(&["-m", "delete"], &topic), nothing());
    assert_eq!(coap(&["-m", "get"], &topic).1, "4.04 no message is retained for this topic");
}

#[test]
fn libcoap_observes_a_topic() {
    let (broker, url) = open();
    publish(&broker, &["-t", "seen", "-r", "-m", "first"]);
    let first = observer(&format!("{url}/seen"));
    first.wait_for_stdout("first", SOON);
    // and one that nothing is retained for
    let second = observer(&format!("{url}/unseen"));
    broker.wait_for_log("\tunseen (QoS 1)");
    for news in ["second", "third"] {
        publish(&broker, &["-t", "seen", "-m", news]);
        first.wait_for_stdout(news, SOON);
        publish(&broker, &["-t", "unseen", "-m", news]);
        second.wait_for_stdout(news, SOON);
    }
}

#[test]
fn libcoap_ends_an_observation() {
    let (broker, url) = open();
    let mut client = Command::new("coap-client-notls");
    let topic = format!("{url}/seen");
    // it says so after a second
    Program::run(client.args(["-s", "1", "-m", "get", &topic]), b"", SOON);
    broker.wait_for_log("Received UNSUBSCRIBE from coap-");
}

#[test]
fn libcoap_is_told_why_not() {
    let (_broker, url) = open();
    for (method, path, why) in [
        ("put", "a/+", "4.00 one topic, not a filter"),
        ("get", "%23", "4.00 one topic, not a filter"),
        ("get", "$share/g/t", "4.00 one topic, not a filter"),
        ("put", "a%2Fb", "4.00 not a level of a topic"),
        ("fetch", "a", "4.05"),
    ] {
        assert_eq!(coap(&["-m", method], &format!("{url}/{path}")).1, why, "{method} {path}");
    }
    let mut client = Command::new("coap-client-notls");
    let refused = Program::start(client.args(["-s", "60", "-m", "get", &format!("{url}/a/%23")]));
    refused.wait_for_stderr("4.00", SOON);
    let top = url.trim_end_matches("/ps");
    assert_eq!(coap(&["-m", "get"], &format!("{top}/x")).1, "4.04 topics are at /ps/");
    assert_eq!(coap(&["-m", "get"], &format!("{top}/.well-known/core")), text("</ps>;rt=\"core.ps\""));
}

#[test]
fn libcoap_needs_the_password() {
    let (broker, url) = guarded();
    let own = format!("{url}/own/t");
    for login in ["", "?u=user1&p=wrong", "?u=user1", "?u=nobody&p=iotlab"] {
        for method in ["get", "put", "delete"] {
            let (_, said) = coap(&["-m", method], &format!("{own}{login}"));
            assert!(said.starts_with("4.01 "), "{method} {login:?}: {said}");
        }
    }
    assert_eq!(coap(&["-m", "put", "-e", "x"], &format!("{own}?u=user1&p=iotlab&retain=1")), nothing());
    assert_eq!(coap(&["-m", "get"], &format!("{own}?u=user1&p=iotlab")), text("x"));
    broker.wait_for_log("u'user1'");
}

#[test]
fn libcoap_is_bound_by_the_rules() {
    let (_broker, url) = guarded();
    let said = "4.03 the rules do not allow it";
    for arguments in [
        &["-m", "put", "-e", "x"][..],
        &["-N", "-m", "put", "-e", "x"],
        &["-m", "delete"],
        &["-m", "get"],
        &["-s", "1", "-m", "get"],
    ] {
        assert_eq!(coap(arguments, &format!("{url}/other?u=user1&p=iotlab")).1, said, "{arguments:?}");
    }
}

#[test]
fn libcoap_is_told_when_the_broker_has_it_for_good() {
    let (broker, url) = gateway(
        "allow_anonymous true\nuser root\npersistence true\npersistence_location {dir}\npersistence_mode durable\n",
        &[],
    );
    let topic = format!("{url}/kept");
    assert_eq!(coap(&["-m", "put", "-e", "safe"], &format!("{topic}?retain=1")), nothing());
    let _broker = broker.kill_and_restart(Kind::Ours);
    assert_eq!(coap(&["-m", "get"], &topic), text("safe"));
}

#[test]
fn libcoap_finds_the_gateway_of_a_new_configuration() {
    let broker = Broker::ours();
    let file = broker.dir().join("mosquitto.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    let port = free_port();
    let url = format!("coap://127.0.0.1:{port}/ps");
    let lines = |mount: &str| format!("{before}listener {port} 127.0.0.1\nprotocol coap\n{mount}");
    publish(&broker, &["-t", "m/t", "-r", "-m", "x"]);
    let change = |text: &str, count: usize| {
        std::fs::write(&file, text).unwrap();
        broker.program().hang_up();
        let deadline = Instant::now() + SOON;
        let done = |line: &String| line.ends_with(": Configuration reloaded.");
        while broker.program().stderr_lines().iter().filter(|line| done(line)).count() < count {
            assert!(Instant::now() < deadline, "no reload\n{}", broker.program().transcript());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    for (count, mount, path) in [(1, "", "m/t"), (2, "mount_point m/\n", "t"), (3, "", "m/t")] {
        change(&lines(mount), count);
        assert_eq!(coap(&["-m", "get"], &format!("{url}/{path}")), text("x"), "{mount}");
    }
    change(&before, 4);
    broker.program().wait_for_stderr(&format!("Closing socket for CoAP on port {port}."), SOON);
    std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn libcoap_is_told_that_there_is_no_room() {
    let port = free_port();
    let broker = Broker::start(
        Kind::Ours,
        &format!("allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol coap\nmax_connections 1\n"),
    );
    let url = format!("coap://127.0.0.1:{port}/ps/t");
    publish(&broker, &["-t", "t", "-r", "-m", "x"]);
    let observer = observer(&url);
    observer.wait_for_stdout("x", SOON);
    assert_eq!(coap(&["-m", "get"], &url).1, "5.03 too many peers");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = grovemq_tests::scratch();
    let file = dir.path().join("c.conf");
    std::fs::write(&file, format!("listener {port} 127.0.0.1\nprotocol coap\n")).unwrap();
    let ended = Program::run(peers::ours("broker").arg("-c").arg(&file), b"", SOON);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains(&format!("Address already in use (CoAP, port {port})")),
        "{}",
        ended.stderr
    );
}
