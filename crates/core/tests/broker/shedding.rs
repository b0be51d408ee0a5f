//! What is dropped, and who is told, when a queue, the retained messages or the whole memory are full.

use crate::bench::*;
use crate::disk::Disk;
use grovemq_codec::{Packet, PacketType, Publish};
use grovemq_core::observe::Cause;
use grovemq_core::{Limits, QueuePolicy, Settings};

const NOTHING: [&str; 0] = [];

fn policy(queue_policy: QueuePolicy) -> Settings {
    with_limits(Limits { queue_policy, queue_messages_max: 3, inflight_max: 2, ..Limits::default() })
}

/// A publisher, and a subscriber of `t` with QoS 1 whose session stays.
fn pair(mut bench: Bench) -> Bench {
    bench.connect("s", durable("s", 100));
    bench.feed("s", &subscribe(&[("t", options(1))]));
    bench.connect("p", v5("p"));
    bench
}

fn send(bench: &mut Bench, numbers: std::ops::Range<u16>) {
    for n in numbers {
        let lines = bench.feed("p", &publish(1, n, "t", &n.to_string()));
        assert_eq!(lines, [format!("PUBACK #{n}")]);
    }
}

/// The payloads of all that came.
fn payloads(lines: &[String]) -> Vec<u16> {
    let publishes = lines.iter().filter(|l| l.starts_with("PUBLISH"));
    publishes.map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

/// Acknowledges all that comes; gives the payloads in their order.
fn drain(bench: &mut Bench, mut lines: Vec<String>) -> Vec<u16> {
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        next += 1;
        if let Some((_, rest)) = line.split_once('#').filter(|_| line.starts_with("PUBLISH")) {
            let id = rest.split(' ').next().unwrap().parse().unwrap();
            lines.extend(bench.feed("s", &ack(PacketType::PubAck, id)));
        }
    }
    payloads(&lines)
}

#[test]
fn c05_the_oldest_or_the_newest_are_dropped() {
    for (queue_policy, kept) in
        [(QueuePolicy::DropNew, [1, 2, 3, 4, 5]), (QueuePolicy::DropOldest, [1, 2, 8, 9, 10])]
    {
        let mut bench = pair(Bench::new(policy(queue_policy)));
        send(&mut bench, 1..11);
        assert_eq!(bench.stats().publish_dropped, 5);
        let lines = bench.take("s");
        assert_eq!(drain(&mut bench, lines), kept, "{queue_policy:?}");
    }
}

/// Messages in flight are no part of the queue, and those that were dropped from it are dropped from the store.
#[test]
fn c05_the_oldest_are_dropped_from_the_store_too() {
    let settings = policy(QueuePolicy::DropOldest);
    let mut bench = pair(Bench::with_disk(settings.clone(), 1, Disk::default()));
    send(&mut bench, 1..11);
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 5 0"]);
    let mut bench = bench.kill(settings.clone());
    let lines = bench.connect("s", durable("s", 100));
    // the first two have been sent; the places of those dropped stay empty
    assert_eq!(lines[1..], ["PUBLISH t q1 #1 dup 1", "PUBLISH t q1 #2 dup 2"]);
    bench.feed("s", &ack(PacketType::PubAck, 1));
    let lines = bench.feed("s", &ack(PacketType::PubAck, 2));
    assert_eq!(lines, ["PUBLISH t q1 #9 9"]);
    let mut bench = bench.kill(settings);
    bench.connect("s", durable("s", 100));
    for id in 8..=10 {
        bench.feed("s", &ack(PacketType::PubAck, id));
    }
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 0 0"]);
}

/// Those dropped while the store has not got them yet are not stored later.
#[test]
fn c05_a_message_dropped_before_it_was_safe() {
    let settings = policy(QueuePolicy::DropOldest);
    let mut bench = pair(Bench::with_disk(settings, 2, Disk::default()));
    bench.disk.as_mut().unwrap().stalled = true;
    for n in 1..=10 {
        bench.feed("p", &publish(2, n, "t", &n.to_string()));
    }
    bench.disk.as_mut().unwrap().stalled = false;
    for _ in 0..3 {
        bench.sync();
    }
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 5 0"]);
    let lines = bench.take("s");
    assert_eq!(drain(&mut bench, lines), [1, 2, 8, 9, 10]);
    assert_eq!(bench.disk.as_ref().unwrap().sessions(), ["s 1 0 0"]);
}

/// Who is so far behind that very many were dropped goes on as soon as he has answered what he was sent.
#[test]
fn a_long_gap_is_no_end() {
    let mut bench = pair(Bench::new(policy(QueuePolicy::DropOldest)));
    let mut bytes = Vec::new();
    for n in 0..70_000_u32 {
        let payload = n.to_string();
        publish(1, 1, "t", &payload).encode(grovemq_codec::Version::V5, &mut bytes).unwrap();
    }
    bench.feed_bytes("p", &bytes);
    assert_eq!(bench.take("s").len(), 2);
    assert_eq!(
        bench.feed("s", &ack(PacketType::PubAck, 1)).len(),
        1,
        "nothing is stored, so there is no gap"
    );

    let mut bench = pair(Bench::with_disk(policy(QueuePolicy::DropOldest), 1, Disk::default()));
    bench.feed_bytes("p", &bytes);
    assert_eq!(bench.take("s").len(), 2);
    assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 1)), NOTHING);
    let lines = bench.feed("s", &ack(PacketType::PubAck, 2));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with(" 69997") && lines[1].ends_with(" 69998"), "{lines:?}");
}

#[test]
fn c05_who_is_too_slow_is_disconnected_and_his_session_stays() {
    for v5 in [true, false] {
        let mut bench = Bench::new(policy(QueuePolicy::Disconnect));
        bench.connect("w", self::v5("w"));
        bench.feed("w", &subscribe(&[("w", options(0))]));
        let connect = |will| {
            let base = if v5 { durable("s", 100) } else { v3_durable("s") };
            grovemq_codec::Connect { will, ..base }
        };
        bench.connect("s", connect(Some(will("w", 0))));
        bench.feed("s", &subscribe(&[("t", options(1))]));
        bench.connect("p", self::v5("p"));
        send(&mut bench, 1..6);
        assert_eq!(bench.take("w"), NOTHING);
        send(&mut bench, 6..9);
        let lines = bench.take("s");
        assert_eq!(payloads(&lines), [1, 2]);
        let end = if v5 { &["DISCONNECT QuotaExceeded", "closed"][..] } else { &["closed"][..] };
        assert_eq!(lines[2..], *end);
        assert_eq!(bench.take_causes(), [Cause::QuotaExceeded]);
        assert_eq!(bench.take("w"), ["PUBLISH w q0 gone"]);
        // what was queued is there, what came later was dropped
        let lines = bench.connect("s", connect(None));
        assert_eq!(drain(&mut bench, lines), [1, 2, 3, 4, 5]);
    }
}

/// One line when it begins, one when it is over, however long it takes and however it ends.
#[test]
fn each_run_of_dropped_messages_is_told_twice() {
    let mut bench = pair(Bench::new(policy(QueuePolicy::DropNew)));
    send(&mut bench, 1..11);
    assert_eq!(bench.said(), ["s dropping"]);
    // it takes one, and there is room for one: the run goes on
    let mut lines = bench.take("s").split_off(1);
    lines.extend(bench.feed("s", &ack(PacketType::PubAck, 1)));
    send(&mut bench, 11..13);
    assert_eq!(bench.said(), NOTHING);
    drain(&mut bench, lines);
    assert_eq!(bench.said(), ["s dropped 6"]);
    send(&mut bench, 13..20);
    bench.cut("s");
    assert_eq!(bench.said(), ["s dropping", "s dropped 2"], "it is gone");
    send(&mut bench, 20..30);
    bench.wait(200_000);
    assert_eq!(bench.said(), ["s dropping", "s dropped 10"], "its session is");
}

fn retained<'a>(id: u16, topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { retain: true, ..message(1, id, topic, payload) })
}

#[test]
fn retained_messages_have_a_quota_of_bytes() {
    let mut bench = Bench::new(with_limits(Limits { retained_bytes_max: 30, ..Limits::default() }));
    bench.connect("p", v5("p"));
    for (topic, payload, answer) in [
        ("a", "123456789", "NoMatchingSubscribers"),
        ("b", "123456789", "NoMatchingSubscribers"),
        ("c", "1234567890", "QuotaExceeded"),
        ("a", "1234567890", "NoMatchingSubscribers"),
        ("c", "123456789", "QuotaExceeded"),
        ("c", "12345678", "NoMatchingSubscribers"),
        ("a", "12345678901", "QuotaExceeded"),
        ("a", "", "NoMatchingSubscribers"),
    ] {
        let lines = bench.feed("p", &retained(1, topic, payload));
        assert_eq!(lines, [format!("PUBACK #1 {answer}")], "{topic} {payload}");
    }
    assert_eq!(bench.said(), ["c not retained"], "one run");
    bench.wait(20_000);
    bench.feed("p", &retained(1, "a", "1"));
    assert_eq!(bench.said(), ["3 not retained"]);
    assert_eq!(bench.stats().publish_dropped, 3);
}

/// Fault E12, in the core: nothing new is held, what is there is kept, and who needs nothing held is served.
#[test]
fn e12_while_memory_is_short() {
    let limits = Limits { inflight_max: 2, output_bytes_max_short: 1000, ..Limits::default() };
    let mut bench = pair(Bench::new(with_limits(limits)));
    bench.connect("q", v5("q"));
    bench.feed("q", &subscribe(&[("q", options(1)), ("zero", options(0))]));
    bench.connect("old", v3("old"));
    bench.connect("slow", v5("slow"));
    bench.feed("slow", &subscribe(&[("zero", options(0))]));
    bench.connect("away", durable("away", 100));
    bench.cut("away");
    send(&mut bench, 1..4);
    bench.feed("p", &retained(9, "kept", "old"));
    bench.memory_short(true);

    // a message that would have to wait is refused where that can be told, and dropped where not
    assert_eq!(bench.feed("p", &publish(1, 4, "t", "4")), ["PUBACK #4 QuotaExceeded"]);
    assert_eq!(bench.feed("p", &publish(2, 5, "t", "5")), ["PUBREC #5 QuotaExceeded"]);
    assert_eq!(bench.feed("old", &publish(1, 6, "t", "6")), ["PUBACK #6"]);
    assert_eq!(bench.said(), ["s dropping"]);
    // one that need not is delivered
    assert_eq!(bench.feed("p", &publish(1, 7, "q", "x")), ["PUBACK #7"]);
    assert_eq!(bench.take("q"), ["PUBLISH q q1 #1 x"]);
    bench.feed("q", &ack(PacketType::PubAck, 1));
    assert_eq!(bench.feed("q", &Packet::PingReq), ["PINGRESP"]);
    // who does not read gets no more
    bench.reading("slow", false);
    for _ in 0..100 {
        bench.feed("p", &publish(0, 0, "zero", &"x".repeat(100)));
    }
    assert_eq!(bench.take("q").len(), 100);
    bench.reading("slow", true);
    assert!((8..12).contains(&bench.take("slow").len()));
    // nothing new is retained, and nothing larger
    assert_eq!(bench.feed("p", &retained(8, "new", "")), ["PUBACK #8 NoMatchingSubscribers"]);
    assert_eq!(bench.feed("p", &retained(8, "new", "x")), ["PUBACK #8 QuotaExceeded"]);
    assert_eq!(bench.feed("p", &retained(8, "kept", "larger")), ["PUBACK #8 QuotaExceeded"]);
    assert_eq!(bench.feed("p", &retained(8, "kept", "new")), ["PUBACK #8 NoMatchingSubscribers"]);
    // nobody new, but who was there
    assert_eq!(bench.connect("n", v5("n")), ["CONNACK QuotaExceeded", "closed"]);
    assert_eq!(bench.connect("n", v3("n")), ["CONNACK 3", "closed"]);
    assert_eq!(bench.connect("away", durable("away", 100)), ["CONNACK Success present"]);

    bench.memory_short(false);
    assert_eq!(bench.feed("p", &publish(1, 10, "t", "10")), ["PUBACK #10"]);
    assert_eq!(bench.feed("p", &retained(11, "new", "x")), ["PUBACK #11 NoMatchingSubscribers"]);
    assert_eq!(bench.connect("n", v5("n")), ["CONNACK Success"]);
    let lines = bench.take("s");
    assert_eq!(drain(&mut bench, lines), [1, 2, 3, 10]);
}

/// Retained messages for a new subscription wait until they can be sent, and none is lost.
#[test]
fn retained_messages_come_at_leisure_while_memory_is_short() {
    let limits = Limits { inflight_max: 2, output_bytes_max_short: 1000, ..Limits::default() };
    let mut bench = pair(Bench::new(with_limits(limits)));
    for n in 0..50 {
        bench.feed("p", &retained(1, &format!("kept/{n:02}"), &n.to_string()));
    }
    bench.memory_short(true);
    let lines = bench.feed("s", &subscribe(&[("kept/#", options(1))]));
    assert_eq!(lines.len(), 3, "the answer, and the window");
    assert_eq!(drain(&mut bench, lines), (0..50).collect::<Vec<_>>());
    assert_eq!(bench.stats().publish_dropped, 0);
}
