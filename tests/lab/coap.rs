//! A thing's face for CoAP, to which a client of libcoap speaks.

use std::process::Command;

use grovemq_tests::{Broker, Program, SOON, peers};

/// A thing at a port of its own, and where its resources are.
fn thing(broker: &Broker) -> (Program, String) {
    let mut command = peers::ours("thing");
    let port = broker.port().to_string();
    let thing =
        Program::start(command.args(["-p", &port, "--board", "simulated", "--coap=127.0.0.1:0", "-v"]));
    let line = thing.wait_for_stderr("resources are at coap://", SOON);
    let url = line.split(' ').find(|word| word.starts_with("coap://")).unwrap().trim_end_matches('/');
    let url = url.to_owned();
    thing.wait_for_stderr("led1: 0 of 255", SOON);
    (thing, url)
}

/// Standard output and standard error of libcoap's client.
fn coap(arguments: &[&str], url: &str) -> (String, String) {
    let mut client = Command::new("coap-client-notls");
    let ended = Program::run(client.args(arguments).arg(url), b"", SOON);
    (ended.text().trim_end().to_owned(), ended.stderr.trim_end().to_owned())
}

#[test]
fn libcoap_reads_and_sets_what_a_thing_has() {
    let broker = Broker::ours();
    let (thing, url) = thing(&broker);
    let at = |path: &str| format!("{url}/{path}");
    assert_eq!(
        coap(&["-m", "get"], &at(".well-known/core")).0,
        "</sensors/button0>;rt=\"sensor\";ct=0;obs,</sensors/potentiometer0>;rt=\"sensor\";ct=0;obs,\
         </stuff/clock0>;rt=\"sensor\";ct=0;obs,</actuators/led0>;rt=\"actuator\";ct=0;obs,\
         </actuators/led1>;rt=\"actuator\";ct=0;obs"
    );
    assert_eq!(coap(&["-m", "get"], &at(".well-known/core?href=/stuff/*")).0.matches('<').count(), 1);
    assert_eq!(coap(&["-m", "get"], &at("sensors/button0")).0, "False");
    for (kind, path, payload, told) in
        [("-m", "actuators/led0", "True", "led0: on"), ("-N", "actuators/led1", "1023", "led1: 255 of 255")]
    {
        let arguments = if kind == "-N" {
            vec!["-N", "-m", "put", "-e", payload]
        } else {
            vec!["-m", "put", "-e", payload]
        };
        assert_eq!(coap(&arguments, &at(path)), (String::new(), String::new()));
        thing.wait_for_stderr(told, SOON);
        assert_eq!(coap(&["-m", "get"], &at(path)).0, payload);
    }
    // in blocks of 16 bytes
    assert_eq!(coap(&["-b", "0,16", "-m", "get"], &at("stuff/clock0")).0.len(), "2026-01-01 00:00:00".len());
}

#[test]
fn libcoap_is_told_why_not() {
    let broker = Broker::ours();
    let (thing, url) = thing(&broker);
    for (arguments, path, error) in [
        (&["-m", "put", "-e", "maybe"][..], "actuators/led0", "4.00 not `True` or `False`"),
        (&["-m", "put", "-e", "True"], "sensors/button0", "4.05"),
        (&["-m", "delete"], "actuators/led0", "4.05"),
        (&["-m", "get"], "actuators/led7", "4.04 no such resource; /.well-known/core has them all"),
    ] {
        let (_, said) = coap(arguments, &format!("{url}/{path}"));
        assert_eq!(said, error, "{arguments:?} {path}");
    }
    thing.wait_for_stderr("led0: ignores \"maybe\" by CoAP", SOON);
}

#[test]
fn libcoap_observes_what_comes_over_mqtt() {
    let broker = Broker::ours();
    let (thing, url) = thing(&broker);
    let mut client = Command::new("coap-client-notls");
    let path = format!("{url}/actuators/led0");
    let observer = Program::start(client.args(["-s", "60", "-w", "-m", "get", &path]));
    observer.wait_for_stdout("False", SOON);
    let topic = thing.wait_for_stderr("led0 follows ", SOON).rsplit(' ').next().unwrap().to_owned();
    let mut publish = peers::ours("mosquitto_pub");
    publish.args(["-p", &broker.port().to_string(), "-t", &topic, "-m", "True"]);
    Program::run(&mut publish, b"", SOON).success();
    observer.wait_for_stdout("True", SOON);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = peers::ours("thing");
    let ended = Program::run(command.args(["--board", "simulated", &format!("--coap={address}")]), b"", SOON);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains(&format!("cannot serve CoAP at {address}: Address already in use")));
}
