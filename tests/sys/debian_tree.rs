//! The `$SYS` tree as Debian's subscriber sees it, beside that of Debian's broker.

use std::collections::BTreeMap;

use grovemq_tests::{Broker, Kind, Wire};

use crate::{publish, subscribe};

const QUICK: &str = "allow_anonymous true\nsys_interval 1\n";

/// Retained topics and values.
fn tree(broker: &Broker) -> BTreeMap<String, String> {
    let told = subscribe(broker, &["-t", "$SYS/#", "-v", "--retained-only", "-F", "%t=%p", "-W", "3"]);
    told.text().lines().filter_map(|l| l.split_once('=')).map(|(t, p)| (t.into(), p.into())).collect()
}

/// Waits for this value on a topic below `$SYS/broker/`.
#[track_caller]
fn wait_for(broker: &Broker, topic: &str, value: &str) {
    for _ in 0..10 {
        let topic = format!("$SYS/broker/{topic}");
        let told = subscribe(broker, &["-t", &topic, "-C", "1", "-W", "5"]);
        if told.text().trim_end() == value {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("no {value} on {topic}: {:#?}", tree(broker));
}

#[test]
fn every_topic_of_debian_s_broker_is_there_in_its_form() {
    let theirs = tree(&Broker::start(Kind::Debian, QUICK));
    let ours = tree(&Broker::start(Kind::Ours, QUICK));
    assert!(theirs.len() > 40, "{theirs:#?}");
    // a word or a number, with decimals or without
    let form = |value: &str| value.split_once(' ').map_or(value, |(_, unit)| unit).contains('.');
    for (topic, value) in &theirs {
        let own = ours.get(topic).unwrap_or_else(|| panic!("{topic} is missing: {ours:#?}"));
        if !topic.ends_with("version") {
            assert_eq!(form(own), form(value), "{topic}: {own}, theirs {value}");
        }
    }
    assert!(ours["$SYS/broker/version"].starts_with("grovemq version "));
    assert!(ours["$SYS/broker/uptime"].ends_with(" seconds"));
    assert!(ours.contains_key("$SYS/broker/process/cpu"));
}

#[test]
fn the_numbers_are_those_of_what_happened() {
    let broker = Broker::start(Kind::Ours, QUICK);
    // three sessions that stay, one of them with two messages waiting
    for id in ["a", "b", "c"] {
        subscribe(&broker, &["-i", id, "-c", "-q", "1", "-t", id, "-t", "$share/g/s", "-E"]).success();
    }
    publish(&broker, &["-t", "a", "-q", "1", "-m", "12345", "--repeat", "2"]).success();
    publish(&broker, &["-t", "kept", "-r", "-m", "x"]).success();
    wait_for(&broker, "clients/disconnected", "3");
    wait_for(&broker, "subscriptions/count", "3");
    wait_for(&broker, "shared_subscriptions/count", "3");
    wait_for(&broker, "publish/messages/received", "3");
    wait_for(&broker, "publish/bytes/received", "11");
    wait_for(&broker, "publish/messages/dropped", "0");
    let tree = tree(&broker);
    let number = |topic: &str| tree[&format!("$SYS/broker/{topic}")].parse::<i64>().unwrap();
    assert_eq!(number("messages/stored"), number("retained messages/count") + 2, "{tree:#?}");
    assert!(number("connections/socket/count") > 5 && number("clients/maximum") >= 3);
    let load = |span: &str| tree[&format!("$SYS/broker/load/connections/{span}")].parse::<f64>().unwrap();
    assert!(load("1min") > load("5min") && load("5min") > load("15min") && load("15min") > 0.0, "{tree:#?}");
}

#[test]
fn a_wildcard_in_front_does_not_reach_it_and_nobody_writes_to_it() {
    let broker = Broker::start(Kind::Ours, QUICK);
    let heard = subscribe(&broker, &["-t", "#", "-t", "+/broker/#", "-W", "3"]);
    assert_eq!(heard.text(), "");
    let refused = publish(&broker, &["-V", "5", "-q", "1", "-t", "$SYS/broker/uptime", "-r", "-m", "mine"]);
    assert!(refused.stderr.contains("Not authorized"), "{refused:?}");
    broker.wait_for_log("'$SYS/broker/uptime', ... (4 bytes)): reserved for the broker");
    assert_ne!(tree(&broker)["$SYS/broker/uptime"], "mine");
}

#[test]
fn updates_come_at_the_qos_asked_for_and_only_on_change() {
    let broker = Broker::start(Kind::Ours, QUICK);
    let args = ["-t", "$SYS/broker/uptime", "-t", "$SYS/broker/clients/expired", "-q", "2", "-F", "%t %q %r"];
    let heard = subscribe(&broker, &[&args[..], &["-W", "4"]].concat()).text();
    assert!(heard.contains("$SYS/broker/uptime 2 0\n"), "{heard}");
    assert_eq!(heard.matches("clients/expired").count(), 1, "{heard}");
}

#[test]
fn an_interval_of_0_turns_it_off_and_a_reload_on() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nsys_interval 0\n");
    assert!(tree(&broker).is_empty());
    let file = broker.dir().join("mosquitto.conf");
    let text = std::fs::read_to_string(&file).unwrap().replace("sys_interval 0", "sys_interval 1");
    std::fs::write(&file, text).unwrap();
    broker.program().hang_up();
    broker.wait_for_log("Reloading config.");
    wait_for(&broker, "clients/expired", "0");
    let mut client = Wire::introduce(broker.port(), 4, "still");
    client.send("c0 00");
    client.expect("d0 00");
}
