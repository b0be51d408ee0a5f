//! `probe`: what it finds out about brokers of which it is known.

use grovemq_tests::certificates::Authority;
use grovemq_tests::{Broker, Kind, Program, SOON, free_port, peers};
use serde_json::{Value, json};

fn probe(port: u16, args: &[&str]) -> (i32, Value) {
    let mut command = peers::ours("probe");
    command.args(["127.0.0.1", "-p", &port.to_string(), "--json"]).args(args);
    let end = Program::run(&mut command, b"", SOON * 2);
    (end.code, serde_json::from_slice(&end.stdout).unwrap_or_else(|_| panic!("{end:?}")))
}

/// These members, whatever else there is.
#[track_caller]
fn assert_has(found: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} in {found}");
    }
}

/// What both brokers do without any configuration.
fn usual() -> Value {
    json!({
        "MQTT_3_1": true, "MQTT_3_1_1": true, "MQTT_5": true, "TLS": false, "anonymous": true, "maximum_QoS": 2,
        "retained_messages": true, "wildcard_subscriptions": true, "shared_subscriptions": true,
        "subscription_ids": true, "topic_alias": true, "large_message": true,
    })
}

#[test]
fn our_broker() {
    let broker = Broker::ours();
    let (code, found) = probe(broker.port(), &[]);
    assert_has(&found, &usual());
    assert_eq!(code, 0);
    assert!(found["version"].as_str().is_some_and(|version| !version.is_empty()), "{found}");
    // nothing is left behind
    let mut sub = peers::ours("sub");
    sub.args(["-p", &broker.port().to_string(), "-t", "#", "-W", "1", "--retained-only", "-v"]);
    assert_eq!(Program::run(&mut sub, b"", SOON).text(), "");
}

#[test]
fn debian_broker() {
    let broker = Broker::debian();
    let (code, found) = probe(broker.port(), &[]);
    assert_has(&found, &usual());
    assert_eq!(code, 0);
    assert!(found["version"].as_str().is_some_and(|version| version.starts_with("mosquitto version")));
}

#[test]
fn debian_broker_with_limits() {
    let lines = "allow_anonymous true\nmax_keepalive 100\nmax_qos 1\nretain_available false\n\
                 max_packet_size 5000\nmax_topic_alias 3\n";
    for kind in [Kind::Debian, Kind::Ours] {
        let broker = Broker::start(kind, lines);
        let (_, found) = probe(broker.port(), &[]);
        assert_has(
            &found,
            &json!({
                "keep-alive_maximum": 100, "maximum_QoS": 1, "retained_messages": false,
                "maximum_packet_size": 5000, "topic_alias_maximum": 3, "large_message": true,
            }),
        );
    }
}

#[test]
fn a_broker_that_wants_a_password() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous false\n");
    let (code, found) = probe(broker.port(), &[]);
    assert_has(&found, &json!({"MQTT_3_1_1": false, "MQTT_5": false, "anonymous": false, "TLS": false}));
    assert_ne!(code, 0);
}

#[test]
fn a_port_that_speaks_tls() {
    let authority = Authority::new("Test");
    let server = authority.server("localhost");
    let files = [("cert.pem", &*server.certificate), ("key.pem", &*server.key)];
    let lines = "allow_anonymous true\ncertfile {dir}/cert.pem\nkeyfile {dir}/key.pem\n";
    let broker = Broker::start_with_files(Kind::Ours, lines, &files);
    let (code, found) = probe(broker.port(), &[]);
    assert_has(&found, &json!({"MQTT_3_1_1": false, "MQTT_5": false, "TLS": true}));
    assert_ne!(code, 0);
}

#[test]
fn nobody_is_there() {
    let (code, found) = probe(free_port(), &[]);
    assert_has(&found, &json!({"MQTT_3_1_1": false, "MQTT_5": false, "TLS": null}));
    assert_eq!(code, 1);
}

#[test]
fn the_report_for_people() {
    let broker = Broker::ours();
    let mut command = peers::ours("probe");
    let end =
        Program::run(command.args(["127.0.0.1", "-p", &broker.port().to_string()]), b"", SOON).success();
    let text = end.text();
    assert!(
        text.starts_with(&format!("127.0.0.1:{}\n  MQTT 3.1                yes\n", broker.port())),
        "{text}"
    );
    assert!(text.contains("  maximum QoS             2  (tried)\n"), "{text}");
}
