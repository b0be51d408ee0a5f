//! What bridges tell of themselves.

use crate::cable::Cable;
use crate::ears::{Ears, Mouth};
use crate::{bridge, wait_until_up};
use grovemq_tests::{Broker, Kind};

const STATE: &str = "$SYS/broker/connection/bridge/state";

/// Both sides learn that the bridge is up and down: told, by its will, and when it ends.
#[track_caller]
fn told(here: Kind, there: Kind) {
    let there_broker = Broker::start(there, "allow_anonymous true");
    let cable = Cable::to(there_broker.port());
    let here_broker = bridge(here, cable.port(), "topic a out 1");
    there_broker.wait_for_log("New bridge connected from 127.0.0.1:");
    there_broker.wait_for_log("Received PUBLISH from bridge");
    let mut near = Ears::on(here_broker.port(), &[STATE]);
    let mut far = Ears::on(there_broker.port(), &[STATE]);
    for ears in [&mut near, &mut far] {
        ears.until("1");
    }
    cable.cut();
    for ears in [&mut near, &mut far] {
        ears.until("0");
    }
    // it comes back
    for ears in [&mut near, &mut far] {
        ears.until("1");
    }
    here_broker.program().terminate();
    far.until("0");
}

#[test]
fn between_ours() {
    told(Kind::Ours, Kind::Ours);
}

#[test]
fn from_ours_to_debian() {
    told(Kind::Ours, Kind::Debian);
}

#[test]
fn from_debian_to_ours() {
    told(Kind::Debian, Kind::Ours);
}

#[test]
fn on_a_topic_of_its_own_and_only_here() {
    let there = Broker::ours();
    let lines = "topic # both 1\nnotification_topic told/bridge\nnotifications_local_only true";
    let here = bridge(Kind::Ours, there.port(), lines);
    wait_until_up(Kind::Ours, &here, &there);
    let mut near = Ears::on(here.port(), &["told/#"]);
    let heard = near.until("1");
    // the state before it is seen by whoever is quick enough
    assert!(heard.iter().all(|line| line.ends_with("told/bridge 0")), "{heard:?}");
    let mut far = Ears::on(there.port(), &["#", "$SYS/broker/connection/#"]);
    Mouth::at(here.port()).say(1, "t", "end");
    assert!(far.until("end").is_empty());
    assert!(there.program().transcript().contains("No will message specified."));
}

#[test]
fn not_at_all() {
    let there = Broker::ours();
    let here = bridge(Kind::Ours, there.port(), "topic # both 1\nnotifications false");
    wait_until_up(Kind::Ours, &here, &there);
    for broker in [&here, &there] {
        let mut ears = Ears::on(broker.port(), &["#", "$SYS/broker/connection/#"]);
        Mouth::at(broker.port()).say(1, "t", "end");
        assert!(ears.until("end").is_empty());
    }
}
