//! What is exchanged, and under which names.

use crate::ears::{Ears, Mouth};
use crate::{bridge, wait_until_up};
use grovemq_tests::{Broker, Kind};

/// Messages of both sides reach both sides once, retained ones as such, whoever speaks which version.
#[track_caller]
fn no_echo(here: Kind, there: Kind, version: &str) {
    let there_broker = Broker::start(there, "allow_anonymous true");
    let lines = format!("topic # both 2\nbridge_protocol_version {version}");
    let here_broker = bridge(here, there_broker.port(), &lines);
    wait_until_up(here, &here_broker, &there_broker);
    let ports = [here_broker.port(), there_broker.port()];
    let [mut near, mut far] = ports.map(|port| Ears::on(port, &["t"]));
    let [mut mouth, mut other] = ports.map(Mouth::at);
    let lines = |payloads: &[&str]| payloads.iter().map(|p| format!("t {p}")).collect::<Vec<_>>();
    for qos in 0..3 {
        mouth.say(qos, "t", &format!("a{qos}"));
    }
    mouth.say(2, "t", "pass");
    assert_eq!(far.until("pass"), lines(&["a0", "a1", "a2"]), "{here:?} {there:?} {version}");
    for qos in 0..3 {
        other.say(qos, "t", &format!("b{qos}"));
    }
    other.say(2, "t", "return");
    // an echo would come before it
    let heard = near.until("return");
    assert_eq!(heard, lines(&["a0", "a1", "a2", "pass", "b0", "b1", "b2"]), "{here:?} {there:?} {version}");
    mouth.keep("kept", "1");
    mouth.say(2, "t", "over");
    assert_eq!(far.until("over"), lines(&["b0", "b1", "b2", "return"]), "{here:?} {there:?} {version}");
    for port in ports {
        let mut ears = Ears::on(port, &["kept", "t"]);
        Mouth::at(port).say(2, "t", "end");
        assert_eq!(ears.until("end"), ["!kept 1"], "{version}");
    }
}

#[test]
fn e15_nothing_echoes_between_ours() {
    for version in ["mqttv31", "mqttv311", "mqttv50"] {
        no_echo(Kind::Ours, Kind::Ours, version);
    }
}

#[test]
fn nothing_echoes_from_ours_to_debian() {
    for version in ["mqttv31", "mqttv311", "mqttv50"] {
        no_echo(Kind::Ours, Kind::Debian, version);
    }
}

#[test]
fn nothing_echoes_from_debian_to_ours() {
    for version in ["mqttv31", "mqttv311", "mqttv50"] {
        no_echo(Kind::Debian, Kind::Ours, version);
    }
}

/// Prefixes, directions and qualities are the original's.
#[track_caller]
fn renamed(here: Kind, there: Kind) {
    let there_broker = Broker::start(there, "allow_anonymous true");
    let lines = "topic # both 1 local/ remote/\ntopic # out 0 up/ from-up/\ntopic sensor/+ in 2\n\
                 topic \"\" out 1 one/topic another";
    let here_broker = bridge(here, there_broker.port(), lines);
    wait_until_up(here, &here_broker, &there_broker);
    let mut there_ears = Ears::on(there_broker.port(), &["#"]);
    let mut mouth = Mouth::at(here_broker.port());
    for topic in ["local/a", "up/b", "sensor/c", "one/topic", "elsewhere"] {
        mouth.say(2, topic, "x");
    }
    mouth.say(2, "local/end", "end");
    let heard = there_ears.until("end");
    assert_eq!(heard, ["remote/a x", "from-up/b x", "another x"], "{here:?} {there:?}");
    let mut here_ears = Ears::on(here_broker.port(), &["#"]);
    let mut mouth = Mouth::at(there_broker.port());
    for topic in ["remote/a/b", "from-up/c", "sensor/d", "sensor/d/e", "another"] {
        mouth.say(2, topic, "y");
    }
    mouth.say(2, "remote/end", "end");
    assert_eq!(here_ears.until("end"), ["local/a/b y", "sensor/d y"], "{here:?} {there:?}");
}

#[test]
fn names_between_ours() {
    renamed(Kind::Ours, Kind::Ours);
}

#[test]
fn names_from_ours_to_debian() {
    renamed(Kind::Ours, Kind::Debian);
}

/// Debian's broker is the measure.
#[test]
fn names_from_debian_to_ours() {
    renamed(Kind::Debian, Kind::Ours);
}

#[test]
fn retained_messages_of_both_sides_are_there_after_connecting() {
    let there = Broker::ours();
    Mouth::at(there.port()).keep("there", "1");
    let here = bridge(Kind::Ours, there.port(), "topic # both 1\nbridge_outgoing_retain false");
    wait_until_up(Kind::Ours, &here, &there);
    Mouth::at(here.port()).keep("here", "1");
    Mouth::at(here.port()).say(1, "t", "end");
    let mut ears = Ears::on(there.port(), &["#"]);
    Mouth::at(here.port()).say(1, "t", "end");
    let heard = ears.until("end");
    assert!(heard.contains(&"!there 1".to_owned()), "{heard:?}");
    // which outgoing ones are not, if so configured
    assert!(!heard.iter().any(|line| line.starts_with("!here")), "{heard:?}");
    let mut ears = Ears::on(here.port(), &["#"]);
    Mouth::at(here.port()).say(1, "t", "end");
    let heard = ears.until("end");
    assert!(heard.contains(&"!there 1".to_owned()) && heard.contains(&"!here 1".to_owned()), "{heard:?}");
}

/// Rules bind the clients of a broker, not its bridges.
#[test]
fn rules_do_not_bind_the_bridge() {
    let there = Broker::ours();
    let lines = format!(
        "allow_anonymous true\nacl_file {{dir}}/acl\n{}",
        crate::bridge_lines(there.port(), "topic # both 1\nlocal_username nobody")
    );
    let acl = "topic readwrite open/#\n";
    let here = Broker::start_with_files(Kind::Ours, &lines, &[("acl", acl)]);
    wait_until_up(Kind::Ours, &here, &there);
    let mut there_ears = Ears::on(there.port(), &["#"]);
    Mouth::at(here.port()).say(1, "open/a", "end");
    assert!(there_ears.until("end").is_empty());
    Mouth::at(there.port()).keep("closed", "x");
    Mouth::at(there.port()).say(1, "open/a", "end");
    let mut here_ears = Ears::on(here.port(), &["#"]);
    Mouth::at(there.port()).say(1, "open/a", "end");
    let heard = here_ears.until("end");
    assert!(!heard.iter().any(|line| line.contains("closed")), "{heard:?}");
    here.wait_for_log("Received PUBLISH from local.bridge (d0, q1, r1, m");
    assert!(!here.program().transcript().contains("Denied PUBLISH from local.bridge"));
}
