//! Links that break: nothing of QoS 1 is lost, nothing of QoS 2 comes twice.

use crate::cable::Cable;
use crate::ears::{Ears, Mouth};
use crate::{bridge, wait_until_up};
use grovemq_tests::{Broker, Kind};

/// Messages of each quality while the cable is cut again and again.
#[track_caller]
fn cut_again_and_again(here: Kind, there: Kind, version: &str) {
    const MESSAGES: usize = 150;
    let there_broker =
        Broker::start(there, "allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0");
    let cable = Cable::to(there_broker.port());
    let lines =
        format!("topic # both 2\nbridge_protocol_version {version}\nbridge_session_expiry_interval 600");
    let lines = format!("{lines}\nmax_queued_messages 0");
    let here_broker = bridge(here, cable.port(), &lines);
    wait_until_up(here, &here_broker, &there_broker);
    for (from, to) in [(&here_broker, &there_broker), (&there_broker, &here_broker)] {
        let mut ears = Ears::on(to.port(), &["one/+", "two/+", "end"]);
        let mut mouth = Mouth::at(from.port());
        for n in 0..MESSAGES {
            mouth.say(1, &format!("one/{n}"), "x");
            mouth.say(2, &format!("two/{n}"), "x");
            if n % 30 == 15 {
                cable.cut();
            }
        }
        mouth.say(2, "end", "end");
        let mut heard = ears.until("end");
        let twice = heard.iter().filter(|line| line.starts_with("two/")).count();
        assert_eq!(twice, MESSAGES, "{here:?} {there:?} {version}");
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), 2 * MESSAGES, "{here:?} {there:?} {version}");
    }
}

#[test]
fn cut_between_ours() {
    cut_again_and_again(Kind::Ours, Kind::Ours, "mqttv311");
    cut_again_and_again(Kind::Ours, Kind::Ours, "mqttv50");
}

#[test]
fn cut_from_ours_to_debian() {
    cut_again_and_again(Kind::Ours, Kind::Debian, "mqttv311");
    cut_again_and_again(Kind::Ours, Kind::Debian, "mqttv50");
}

/// What is published while the other broker is away is there when it has come back.
#[track_caller]
fn away(there: Kind) {
    let there_broker = Broker::start(there, "allow_anonymous true");
    let here_broker = bridge(Kind::Ours, there_broker.port(), "topic kept/# out 1");
    wait_until_up_out(&here_broker, &there_broker);
    let mut mouth = Mouth::at(here_broker.port());
    there_broker.program().terminate();
    here_broker.wait_for_log("Bridge bridge disconnected from 127.0.0.1:");
    for n in 0..50 {
        mouth.keep(&format!("kept/{n}"), "x");
    }
    let there_broker = there_broker.restart(there);
    there_broker.wait_for_log("'kept/49'");
    let mut ears = Ears::on(there_broker.port(), &["kept/+", "t"]);
    Mouth::at(there_broker.port()).say(1, "t", "end");
    // retained messages are sent once more whenever a bridge connects
    let mut heard: Vec<String> =
        ears.until("end").iter().map(|line| line.trim_start_matches('!').to_owned()).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 50, "{heard:?}");
}

#[track_caller]
fn wait_until_up_out(here: &Broker, there: &Broker) {
    there.wait_for_log("Received PUBLISH from bridge");
    here.wait_for_log("Sending SUBACK to local.bridge");
}

#[test]
fn away_ours() {
    away(Kind::Ours);
}

#[test]
fn away_debian() {
    away(Kind::Debian);
}

/// What has been acknowledged here and not there outlives our own process.
#[test]
fn what_waits_outlives_the_broker() {
    let there = Broker::ours();
    let cable = Cable::to(there.port());
    cable.pull();
    let lines = "topic # out 2\nuser root\npersistence true\npersistence_location {dir}";
    let here = bridge(Kind::Ours, cable.port(), lines);
    here.wait_for_log("Sending SUBACK to local.bridge");
    let mut mouth = Mouth::at(here.port());
    for n in 0..30 {
        mouth.say(1 + n % 2, "t", &n.to_string());
    }
    let mut ears = Ears::on(there.port(), &["#"]);
    let here = here.restart(Kind::Ours);
    cable.put_in();
    let mut heard = ears.until("29");
    // what was on its way may overtake nothing, and comes once
    heard.retain(|line| line.starts_with("t "));
    assert_eq!(heard, (0..29).map(|n| format!("t {n}")).collect::<Vec<_>>());
    drop(here);
}

/// What waits has the bounds of any session's queue; of QoS 0 nothing waits.
#[test]
fn e17_the_queue_is_bounded() {
    let there = Broker::ours();
    let cable = Cable::to(there.port());
    let lines = "topic # out 1\nmax_inflight_messages 3\nmax_queued_messages 5";
    let here = bridge(Kind::Ours, cable.port(), lines);
    wait_until_up_out(&here, &there);
    let mut ears = Ears::on(there.port(), &["#"]);
    cable.pull();
    here.wait_for_log("Bridge bridge disconnected from 127.0.0.1:");
    let mut mouth = Mouth::at(here.port());
    for n in 0..20 {
        mouth.say(0, "zero", &n.to_string());
        mouth.say(1, "one", &n.to_string());
    }
    here.wait_for_log("Outgoing messages are being dropped for client local.bridge.");
    cable.put_in();
    assert_eq!(ears.until("7"), (0..7).map(|n| format!("one {n}")).collect::<Vec<_>>());
    mouth.say(1, "one", "end");
    assert!(ears.until("end").is_empty());
}

#[test]
fn a_clean_session_here_keeps_nothing() {
    let there = Broker::ours();
    let cable = Cable::to(there.port());
    let here = bridge(Kind::Ours, cable.port(), "topic # out 1\nlocal_cleansession true");
    wait_until_up_out(&here, &there);
    let mut ears = Ears::on(there.port(), &["#"]);
    cable.pull();
    here.wait_for_log("Bridge bridge disconnected from 127.0.0.1:");
    Mouth::at(here.port()).say(1, "lost", "x");
    let before = there.program().stderr_lines().len();
    cable.put_in();
    while !there.program().stderr_lines()[before..].iter().any(|line| line.contains("connected from")) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Mouth::at(here.port()).say(1, "t", "end");
    here.wait_for_log("'t', ... (3 bytes)");
    // what is published after the bridge is up again arrives; how soon it knows is its own affair
    loop {
        Mouth::at(here.port()).say(1, "t", "again");
        if there.program().transcript().contains("'t', ... (5 bytes)") {
            break;
        }
    }
    let heard = ears.until("again");
    assert!(!heard.iter().any(|line| line.starts_with("lost")), "{heard:?}");
}

/// A broker that takes one message at a time gets one at a time.
#[test]
fn the_receive_maximum_of_debian_is_kept() {
    let there = Broker::start(Kind::Debian, "allow_anonymous true\nmax_inflight_messages 1");
    let here = bridge(Kind::Ours, there.port(), "topic # out 2\nbridge_protocol_version mqttv50");
    there.wait_for_log("Received PUBLISH from bridge");
    here.wait_for_log("Sending SUBACK to local.bridge");
    let mut ears = Ears::on(there.port(), &["#"]);
    let mut mouth = Mouth::at(here.port());
    for n in 0..60 {
        mouth.say(2, "t", &n.to_string());
    }
    mouth.say(2, "t", "end");
    assert_eq!(ears.until("end"), (0..60).map(|n| format!("t {n}")).collect::<Vec<_>>());
    assert!(!there.program().transcript().contains("bridge disconnected"));
}
