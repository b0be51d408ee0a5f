//! Bridges that come, change and go with a reload, and encrypted ones.

use crate::ears::{Ears, Mouth};
use crate::{bridge, bridge_lines, wait_until_up};
use grovemq_tests::{Broker, Kind, SOON};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::time::{Duration, Instant};

/// Other lines below the listener; waits until they are in force, or turned down.
#[track_caller]
fn reload(broker: &Broker, lines: &str) {
    let text = format!("listener {} 127.0.0.1\nallow_anonymous true\n{lines}\n", broker.port());
    std::fs::write(broker.dir().join("mosquitto.conf"), text).unwrap();
    let done = || {
        let lines = broker.program().stderr_lines();
        let end = |line: &&String| {
            line.contains("Configuration reloaded.") || line.contains("Nothing was reloaded")
        };
        lines.iter().filter(end).count()
    };
    let (before, deadline) = (done(), Instant::now() + SOON);
    broker.program().hang_up();
    while done() == before {
        assert!(Instant::now() < deadline, "{}", broker.program().transcript());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_bridge_comes_changes_and_goes() {
    let there = Broker::ours();
    let here = Broker::ours();
    reload(&here, &bridge_lines(there.port(), "topic a both 1"));
    wait_until_up(Kind::Ours, &here, &there);
    let mut ears = Ears::on(there.port(), &["#", "$SYS/broker/connection/#"]);
    ears.until("1");
    let mut mouth = Mouth::at(here.port());
    mouth.say(1, "a", "end");
    ears.until("end");
    // changed at once: told so, other topics
    reload(&here, &bridge_lines(there.port(), "topic b both 1\nbridge_reload_type immediate"));
    ears.until("0");
    ears.until("1");
    mouth.say(1, "a", "not this");
    mouth.say(1, "b", "but this");
    assert!(ears.until("but this").iter().all(|line| !line.contains("not this")));
    // gone for good: nothing waits for it
    reload(&here, "");
    ears.until("0");
    mouth.say(1, "b", "lost");
    reload(&here, &bridge_lines(there.port(), "topic b both 1"));
    ears.until("1");
    mouth.say(1, "b", "end");
    assert_eq!(ears.until("end"), [""; 0]);
}

#[test]
fn what_stays_the_same_stays_connected_and_what_changes_lazily_waits() {
    let there = Broker::ours();
    let lines = bridge_lines(there.port(), "topic a both 1");
    let here = Broker::start(Kind::Ours, &format!("allow_anonymous true\n{lines}"));
    wait_until_up(Kind::Ours, &here, &there);
    reload(&here, &lines);
    reload(&here, &bridge_lines(there.port(), "topic b both 1"));
    let mut ears = Ears::on(there.port(), &["#"]);
    let mut mouth = Mouth::at(here.port());
    mouth.say(1, "b", "x");
    mouth.say(1, "a", "end");
    assert_eq!(ears.until("end"), [""; 0]);
    assert_eq!(there.program().transcript().matches("New bridge connected").count(), 1);
}

#[test]
fn a_bridge_that_cannot_be_changes_nothing() {
    let there = Broker::ours();
    let here = bridge(Kind::Ours, there.port(), "topic a both 1");
    wait_until_up(Kind::Ours, &here, &there);
    reload(&here, &bridge_lines(there.port(), "topic b both 1\nbridge_cafile {dir}/none"));
    here.wait_for_log("Error: Bridge bridge: ");
    let mut ears = Ears::on(there.port(), &["#"]);
    Mouth::at(here.port()).say(1, "a", "end");
    ears.until("end");
}

/// A broker with a certificate for `localhost`, and the authority that signed it.
fn encrypted(kind: Kind) -> (Broker, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let (certificate, key) = (server.pem(), own.serialize_pem());
    let files = [("s.crt", &*certificate), ("s.key", &*key)];
    let lines = "allow_anonymous true\ncertfile {dir}/s.crt\nkeyfile {dir}/s.key";
    (Broker::start_with_files(kind, lines, &files), authority)
}

#[track_caller]
fn over_tls(kind: Kind) {
    let (there, authority) = encrypted(kind);
    let start = |address: &str, lines: &str| {
        let lines = format!(
            "allow_anonymous true\nconnection bridge\naddress {address}:{}\nremote_clientid bridge\nrestart_timeout 1\n\
             topic # both 1\nbridge_cafile {{dir}}/ca.crt\n{lines}",
            there.port()
        );
        Broker::start_with_files(Kind::Ours, &lines, &[("ca.crt", &authority)])
    };
    // a certificate for another name
    let wrong = start("127.0.0.1", "");
    wrong.wait_for_log("Error creating bridge: TLS: ");
    drop(wrong);
    for (address, lines) in
        [("localhost", "bridge_tls_version tlsv1.3"), ("127.0.0.1", "bridge_insecure true")]
    {
        let here = start(address, lines);
        wait_until_up(Kind::Ours, &here, &there);
        let mut ears = Ears::on(here.port(), &["$SYS/broker/connection/bridge/state"]);
        ears.until("1");
    }
}

#[test]
fn encrypted_to_ours() {
    over_tls(Kind::Ours);
}

#[test]
fn encrypted_to_debian() {
    over_tls(Kind::Debian);
}
