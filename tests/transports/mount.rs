//! Mount points: a listener whose clients see a part of the tree as the whole.

use grovemq_tests::{Broker, Kind, Wire, free_port};

/// A broker whose first listener is open and whose second has the mount point `m/`.
fn broker(lines: &str) -> (Broker, u16) {
    let port = free_port();
    let lines = format!("{lines}\nlistener {port} 127.0.0.1\nmount_point m/\nallow_anonymous true\n");
    (Broker::start(Kind::Ours, &lines), port)
}

/// QoS 0 SUBSCRIBE with packet id 1, and its answer.
#[track_caller]
fn subscribe(wire: &mut Wire, filter: &str) {
    let len = u8::try_from(filter.len()).unwrap();
    wire.send_bytes(&[&[0x82, len + 5, 0, 1, 0, len], filter.as_bytes(), &[0]].concat());
    wire.expect("9003000100");
}

/// A QoS 0 PUBLISH; `flags` 1 retains.
fn publish(topic: &str, flags: u8, payload: &str) -> Vec<u8> {
    let len = u8::try_from(topic.len()).unwrap();
    let whole = len + 2 + u8::try_from(payload.len()).unwrap();
    [&[0x30 | flags, whole, 0, len], topic.as_bytes(), payload.as_bytes()].concat()
}

#[test]
fn the_prefix_is_unseen_inside_and_seen_outside() {
    let (broker, port) = broker("");
    let mut outside = Wire::introduce(broker.port(), 4, "outside");
    let mut inside = Wire::introduce(port, 4, "inside");
    let mut other = Wire::introduce(port, 4, "other");
    subscribe(&mut outside, "#");
    subscribe(&mut inside, "a/+");
    subscribe(&mut other, "#");

    inside.send_bytes(&publish("a/b", 0, "x"));
    assert_eq!(inside.packet(), publish("a/b", 0, "x"));
    assert_eq!(other.packet(), publish("a/b", 0, "x"));
    assert_eq!(outside.packet(), publish("m/a/b", 0, "x"));

    // what lies elsewhere in the tree is not there for them
    outside.send_bytes(&publish("a/b", 0, "y"));
    outside.send_bytes(&publish("m/a/c", 0, "z"));
    assert_eq!(outside.packet(), publish("a/b", 0, "y"));
    assert_eq!(inside.packet(), publish("a/c", 0, "z"));
    assert_eq!(other.packet(), publish("a/c", 0, "z"));

    // and ends with the subscription
    inside.send("a2070001 0003612f2b");
    inside.expect("b0020001");
    outside.send_bytes(&publish("m/a/c", 0, "z"));
    inside.send("c000");
    inside.expect("d000");
}

#[test]
fn retained_messages_wills_and_shared_subscriptions_keep_to_it() {
    let (broker, port) = broker("");
    let mut outside = Wire::introduce(broker.port(), 4, "outside");
    subscribe(&mut outside, "m/#");
    // a will on `w`, retained
    let mut dying = Wire::connect(port);
    dying.send("1014 0004 4d515454 04 26 003c 0002 6479 0001 77 0001 21");
    dying.expect("20020000");
    drop(dying);
    assert_eq!(outside.packet(), publish("m/w", 0, "!"));

    let mut inside = Wire::introduce(port, 4, "inside");
    subscribe(&mut inside, "w");
    assert_eq!(inside.packet(), publish("w", 1, "!"));

    subscribe(&mut inside, "$share/g/s");
    outside.send_bytes(&publish("m/s", 0, "1"));
    assert_eq!(inside.packet(), publish("s", 0, "1"));
}

#[test]
fn aliases_and_rules_are_about_the_right_topic() {
    let dir = grovemq_tests::scratch();
    let rules = dir.path().join("acl");
    std::fs::write(&rules, "topic readwrite m/open/#\ntopic readwrite outside\n").unwrap();
    let (_broker, port) = broker(&format!("acl_file {}", rules.display()));
    let mut inside = Wire::introduce(port, 5, "inside");
    inside.send("820c 0001 00 0006 6f70656e2f23 00");
    inside.expect("9004000100 00");
    // topic `open/a` with alias 1, then the alias alone
    inside.send("300d 0006 6f70656e2f61 03230001 31");
    inside.send("3007 0000 03230001 32");
    inside.send("300b 0007 636c6f7365642f 00 33");
    for payload in ["31", "32"] {
        inside.expect(&format!("300a 0006 6f70656e2f61 00 {payload}"));
    }
    inside.send("c000");
    inside.expect("d000");
}
