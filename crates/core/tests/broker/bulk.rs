//! Packets with more filters than a turn may change, and the ends of sessions that had as many: done in slices.

use crate::bench::*;
use crate::disk::Disk;
use grovemq_codec::{Connect, Packet, SubscribeOptions, Version};
use grovemq_core::observe::Cause;

/// Filters of a packet here: several turns' worth.
const MANY: usize = 20;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("t/{n}")).collect()
}

fn all(names: &[String]) -> Vec<(&str, SubscribeOptions)> {
    names.iter().map(|name| (&**name, options(1))).collect()
}

fn encode(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    bytes
}

fn suback(count: usize) -> String {
    format!("SUBACK #1 [{}]", vec!["GrantedQos1"; count].join(", "))
}

/// Sends these without a turn of the broker.
fn post(bench: &mut Bench, name: &str, packets: &[Packet<'_>]) {
    bench.steps_left = Some(0);
    assert_eq!(bench.feed_bytes(name, &encode(packets)), [""; 0]);
}

fn turns(bench: &mut Bench, turns: usize) {
    bench.steps_left = Some(turns);
    bench.run();
}

fn rest(bench: &mut Bench) {
    bench.steps_left = None;
    bench.run();
}

fn count(bench: &Bench) -> usize {
    bench.router.subscription_counts().0
}

fn ready(connect: Connect<'_>) -> Bench {
    let mut bench = Bench::new(settings());
    bench.connect("s", connect);
    bench.connect("z", v5("z"));
    bench
}

/// The answer comes when all is done, and before those to later packets, whose ids may be the same.
#[test]
fn one_answer_in_its_place() {
    let (mut bench, names) = (ready(v5("s")), names(MANY));
    let filters: Vec<&str> = names.iter().map(|name| &**name).collect();
    let own = publish(1, 1, "t/0", "x");
    post(&mut bench, "s", &[subscribe(&all(&names)), own, unsubscribe(&filters), Packet::PingReq]);
    for turn in 1..=MANY / FILTERS as usize {
        turns(&mut bench, 1);
        assert_eq!(count(&bench), turn * FILTERS as usize);
        assert_eq!(bench.take("s"), [""; 0], "not yet");
    }
    rest(&mut bench);
    let lines = bench.take("s");
    let unsuback = format!("UNSUBACK #1 [{}]", vec!["Success"; MANY].join(", "));
    assert_eq!(lines[0], suback(MANY));
    assert!(lines[1..3].iter().any(|line| line.starts_with("PUBACK #1")), "{lines:?}");
    assert_eq!(lines[3..], [unsuback, "PINGRESP".into()]);
    assert_eq!(count(&bench), 0);
    assert_eq!(bench.stats().messages_received, 2 + 4, "no packet counts twice");
}

/// Whoever comes behind clients with many filters is answered in the same turn.
#[test]
fn others_do_not_wait() {
    let (mut bench, names) = (ready(v5("s")), names(MANY));
    bench.connect("a", v5("a"));
    for name in ["a", "s"] {
        post(&mut bench, name, &[subscribe(&all(&names))]);
    }
    post(&mut bench, "z", &[Packet::PingReq]);
    turns(&mut bench, 1);
    assert_eq!(bench.take("z"), ["PINGRESP"]);
    assert_eq!(count(&bench), FILTERS as usize, "in one turn, by all together");
    rest(&mut bench);
    assert_eq!((bench.take("a"), bench.take("s")), (vec![suback(MANY)], vec![suback(MANY)]));
    assert_eq!(count(&bench), 2 * MANY);
}

/// The client goes in the middle: what is done stays with a session that stays, and goes with one that goes.
#[test]
fn an_end_in_the_middle() {
    for (connect, left) in [(durable("s", 100), 2 * FILTERS as usize), (v5("s"), 0)] {
        let (mut bench, names) = (ready(connect), names(MANY));
        post(&mut bench, "s", &[subscribe(&all(&names)), publish(0, 0, "t/0", "never")]);
        turns(&mut bench, 2);
        bench.steps_left = None;
        bench.cut("s");
        assert_eq!(count(&bench), left);
        assert_eq!(bench.take_causes(), [Cause::StreamEnded]);
        let connect = Connect { clean_start: false, ..durable("s", 100) };
        bench.connect("s", connect);
        assert_eq!(bench.feed("s", &subscribe(&all(&names))), [suback(MANY)]);
        assert_eq!(count(&bench), MANY);
    }
}

/// Somebody else takes the session over in the middle, and has it to himself.
#[test]
fn a_take_over_in_the_middle() {
    let (mut bench, names) = (ready(durable("s", 100)), names(MANY));
    post(&mut bench, "s", &[subscribe(&all(&names))]);
    turns(&mut bench, 2);
    bench.steps_left = None;
    let connect = Connect { clean_start: false, ..durable("s", 100) };
    assert!(bench.connect("other", connect)[0].starts_with("CONNACK"), "taken over");
    assert_eq!(bench.take("s"), ["DISCONNECT SessionTakenOver", "closed"]);
    assert!(count(&bench) < MANY);
    assert_eq!(bench.feed("other", &subscribe(&all(&names))), [suback(MANY)]);
}

/// What makes the broker close the connection is found before anything is done.
#[test]
fn a_bad_packet_changes_nothing() {
    let (mut bench, names) = (ready(v5("s")), names(MANY));
    let mut bytes = encode(&[subscribe(&all(&names))]);
    let end = bytes.len() - 1;
    bytes[end] = 0xff;
    assert_eq!(bench.feed_bytes("s", &bytes).len(), 2, "DISCONNECT and the end");
    assert_eq!(count(&bench), 0);
}

/// It is answered once all of it is safe, and then it is.
#[test]
fn what_survives_a_restart() {
    let mut bench = Bench::with_disk(settings(), 1, Disk::default());
    bench.connect("s", durable("s", 100));
    let names = names(MANY);
    assert_eq!(bench.feed("s", &subscribe(&all(&names))), [suback(MANY)]);
    let mut bench = bench.kill(settings());
    assert_eq!(count(&bench), MANY);
    bench.connect("s", Connect { clean_start: false, ..durable("s", 100) });
    let filters: Vec<&str> = names.iter().map(|name| &**name).collect();
    assert!(bench.feed("s", &unsubscribe(&filters))[0].starts_with("UNSUBACK #1 [Success"));
    assert_eq!(count(&bench.kill(settings())), 0);
}

/// The ends of many sessions, or of one with many subscriptions: some in each turn, but more than come.
#[test]
fn sessions_go_in_slices() {
    const SESSIONS: usize = 100;
    let (mut bench, names) = (Bench::new(settings()), names(MANY));
    for n in 0..SESSIONS {
        let name = format!("s{n}");
        bench.connect(&name, v5(&name));
        bench.feed(&name, &subscribe(&all(&names)));
    }
    bench.steps_left = Some(0);
    for n in 0..SESSIONS {
        bench.cut(&format!("s{n}"));
    }
    let mut left = count(&bench);
    assert!(left + FILTERS as usize >= SESSIONS * MANY, "{left}");
    while left > 0 {
        turns(&mut bench, 1);
        let gone = left - count(&bench);
        assert!(gone > FILTERS as usize && gone <= 256, "{gone} of {left} in a turn");
        left -= gone;
    }
}

/// A member of a group that is gone gets nothing, however much else it was subscribed to.
#[test]
fn members_go_first() {
    let (mut bench, names) = (ready(v5("s")), names(1000));
    bench.feed("s", &subscribe(&all(&names)));
    let share = [("$share/g/x", options(1))];
    bench.feed("s", &subscribe(&share));
    bench.steps_left = Some(0);
    bench.cut("s");
    assert!(count(&bench) > 900);
    assert_eq!(bench.router.subscription_counts().1, 0);
}
