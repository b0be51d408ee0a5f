//! QoS 1 and 2 in both directions, over broken connections, with strange answers.

use crate::bench::*;
use grovemq_codec::{Connect, Packet, PacketType, Publish, ReasonCode};
use grovemq_core::observe::Cause;
use grovemq_core::{Limits, Settings, take_held};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NOTHING: [&str; 0] = [];

fn again(packet: Publish<'_>) -> Packet<'_> {
    Packet::Publish(Publish { dup: true, ..packet })
}

/// A publisher `p` and a subscriber `s` to `#` at QoS 2.
fn pair(settings: Settings, publisher: Connect<'_>, subscriber: Connect<'_>) -> Bench {
    let mut bench = Bench::new(settings);
    bench.connect("s", subscriber);
    bench.feed("s", &subscribe(&[("#", options(2))]));
    bench.connect("p", publisher);
    bench
}

#[test]
fn each_qos_by_each_subscription() {
    for (sent, subscribed, got) in
        [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 0, 0), (2, 1, 1), (2, 2, 2)]
    {
        for (publisher, subscriber) in [(v3("p"), v5("s")), (v5("p"), v3("s"))] {
            let mut bench = Bench::new(settings());
            bench.connect("s", subscriber);
            bench.feed("s", &subscribe(&[("t", options(subscribed))]));
            bench.connect("p", publisher);
            let answer = bench.feed("p", &publish(sent, 7, "t", "x"));
            let expected: &[&str] = [&[][..], &["PUBACK #7"], &["PUBREC #7"]][usize::from(sent)];
            assert_eq!(answer, expected);
            let id = if got > 0 { " #1" } else { "" };
            assert_eq!(bench.take("s"), [format!("PUBLISH t q{got}{id} x")]);
        }
    }
}

#[test]
fn outgoing_qos_may_be_upgraded() {
    let mut bench = pair(Settings { upgrade_outgoing_qos: true, ..settings() }, v5("p"), v5("s"));
    bench.feed("p", &publish(0, 0, "t", "x"));
    assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x"]);
}

#[test]
fn a_whole_qos_2_exchange() {
    let mut bench = pair(settings(), v5("p"), v5("s"));
    assert_eq!(bench.feed("p", &publish(2, 7, "t", "x")), ["PUBREC #7"]);
    assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x"]);
    assert_eq!(bench.feed("p", &ack(PacketType::PubRel, 7)), ["PUBCOMP #7"]);
    assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 1)), ["PUBREL #1"]);
    assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 1)), ["PUBREL #1"], "asked again");
    assert_eq!(bench.feed("s", &ack(PacketType::PubComp, 1)), NOTHING);
    assert_eq!(bench.feed("s", &ack(PacketType::PubComp, 1)), NOTHING);
}

/// Faults B13, B15: the same message again and again before PUBREL is one message.
#[test]
fn b13_b15_copies_before_pubrel_are_one_message() {
    for version in [v5("p"), v3("p")] {
        let mut bench = pair(settings(), version, v5("s"));
        for _ in 0..1000 {
            assert_eq!(bench.feed("p", &again(message(2, 7, "t", "x"))), ["PUBREC #7"]);
        }
        assert_eq!(bench.take("s").len(), 1);
        bench.feed("p", &ack(PacketType::PubRel, 7));
        bench.feed("p", &publish(2, 7, "t", "y"));
        assert_eq!(bench.take("s"), ["PUBLISH t q2 #2 y"], "after PUBREL the id is free");
    }
}

/// Fault B14: an identifier waits for its PUBREL as long as its session lives. There is no time after which a copy counts
/// anew, however late it comes and over however many connections.
#[test]
fn b14_a_copy_long_after_the_first_is_no_new_message() {
    const DAY: u64 = 86_400_000;
    let mut bench = pair(settings(), durable("p", u32::MAX), v5("s"));
    bench.feed("p", &publish(2, 7, "t", "x"));
    assert_eq!(bench.take("s").len(), 1);
    for _ in 0..3 {
        bench.wait(100 * DAY);
        assert_eq!(bench.feed("p", &again(message(2, 7, "t", "x"))), ["PUBREC #7"]);
        bench.cut("p");
        bench.wait(100 * DAY);
        bench.connect("p", durable("p", u32::MAX));
        assert_eq!(bench.feed("p", &again(message(2, 7, "t", "x"))), ["PUBREC #7"]);
    }
    assert_eq!(bench.take("s"), [""; 0]);
    // with its session the identifier is forgotten, and the same packet is a message
    bench.cut("p");
    bench.connect("p", v5("p"));
    bench.feed("p", &again(message(2, 7, "t", "x")));
    assert_eq!(bench.take("s").len(), 1);
}

/// Fault B16: the broker remembers half-done exchanges in both directions.
#[test]
fn b16_exchanges_go_on_after_a_reconnect() {
    let mut bench = pair(settings(), durable("p", 100), durable("s", 100));
    for id in 1..=3 {
        bench.feed("p", &publish(2, id, "t", &id.to_string()));
    }
    bench.take("s");
    bench.feed("s", &ack(PacketType::PubRec, 2));
    bench.cut("p");
    bench.cut("s");
    // the publisher did not see the PUBRECs; new ids do not collide
    bench.connect("p", durable("p", 100));
    for id in 1..=3 {
        assert_eq!(bench.feed("p", &again(message(2, id, "t", "copy"))), [format!("PUBREC #{id}")]);
    }
    bench.feed("p", &publish(2, 4, "t", "4"));
    for id in 1..=4 {
        assert_eq!(bench.feed("p", &ack(PacketType::PubRel, id)), [format!("PUBCOMP #{id}")]);
    }
    let lines = bench.connect("s", durable("s", 100));
    let expected = [
        "CONNACK Success present",
        "PUBLISH t q2 #1 dup 1",
        "PUBREL #2",
        "PUBLISH t q2 #3 dup 3",
        "PUBLISH t q2 #4 4",
    ];
    assert_eq!(lines, expected);
    for id in [1, 3, 4] {
        assert_eq!(bench.feed("s", &ack(PacketType::PubRec, id)), [format!("PUBREL #{id}")]);
    }
    for id in 1..=4 {
        assert_eq!(bench.feed("s", &ack(PacketType::PubComp, id)), NOTHING);
    }
    bench.cut("s");
    assert_eq!(bench.connect("s", durable("s", 100)), ["CONNACK Success present"]);
}

/// Fault B17: answers out of place are ignored, or answered in kind, and never cost a place in the window.
#[test]
fn b17_answers_out_of_place() {
    let limits = Limits { inflight_max: 1, ..Limits::default() };
    for (version, not_found) in [(v5("s"), " PacketIdentifierNotFound"), (v3("s"), "")] {
        let mut bench = pair(with_limits(limits.clone()), v5("p"), version);
        for id in [1, 9, 65_535] {
            assert_eq!(bench.feed("s", &ack(PacketType::PubAck, id)), NOTHING);
            assert_eq!(bench.feed("s", &ack(PacketType::PubComp, id)), NOTHING);
            assert_eq!(bench.feed("s", &ack(PacketType::PubRec, id)), [format!("PUBREL #{id}{not_found}")]);
            assert_eq!(bench.feed("s", &ack(PacketType::PubRel, id)), [format!("PUBCOMP #{id}{not_found}")]);
        }
        // the wrong kind for a message that is in flight
        bench.feed("p", &publish(2, 1, "t", "x"));
        assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x"]);
        assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 1)), NOTHING);
        assert_eq!(bench.feed("s", &ack(PacketType::PubComp, 1)), NOTHING);
        bench.feed("p", &publish(1, 2, "t", "y"));
        assert_eq!(bench.take("s"), NOTHING, "the window is full");
        bench.feed("s", &ack(PacketType::PubRec, 1));
        assert_eq!(bench.feed("s", &ack(PacketType::PubComp, 1)), ["PUBLISH t q1 #2 y"]);
        assert_eq!(bench.feed("s", &ack(PacketType::PubRec, 2)), [format!("PUBREL #2{not_found}")]);
        assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 2)), NOTHING);
        bench.feed("p", &publish(1, 3, "t", "z"));
        assert_eq!(bench.take("s"), ["PUBLISH t q1 #3 z"]);
    }
}

/// PUBREC with an error ends the exchange. [MQTT-4.3.3-1]
#[test]
fn a_refused_message_frees_its_place() {
    let mut bench = pair(with_limits(Limits { inflight_max: 1, ..Limits::default() }), v5("p"), v5("s"));
    bench.feed("p", &publish(2, 1, "t", "x"));
    bench.feed("p", &publish(2, 2, "t", "y"));
    bench.take("s");
    let lines = bench.feed("s", &ack_with(PacketType::PubRec, 1, ReasonCode::QuotaExceeded));
    assert_eq!(lines, ["PUBLISH t q2 #2 y"]);
}

/// Fault B12: as many open QoS 2 messages as announced, no more; 3.x clients were told nothing.
#[test]
fn b12_receive_maximum_of_the_broker() {
    let limits = Limits { receive_max: 3, ..Limits::default() };
    let mut bench = pair(with_limits(limits.clone()), v5("p"), v5("s"));
    for id in 1..=3 {
        bench.feed("p", &publish(2, id, "t", "x"));
    }
    assert_eq!(bench.feed("p", &again(message(2, 2, "t", "x"))), ["PUBREC #2"], "a copy is no new one");
    bench.feed("p", &ack(PacketType::PubRel, 1));
    assert_eq!(bench.feed("p", &publish(2, 4, "t", "x")), ["PUBREC #4"]);
    assert_eq!(bench.feed("p", &publish(2, 5, "t", "x")), ["DISCONNECT ReceiveMaximumExceeded", "closed"]);
    assert_eq!(bench.take_causes(), [Cause::ReceiveMaximumExceeded]);
    let mut bench = pair(with_limits(limits), v3("p"), v5("s"));
    for id in 1..=100 {
        assert_eq!(bench.feed("p", &publish(2, id, "t", "x")), [format!("PUBREC #{id}")]);
    }
}

/// Fault B18 through a whole shard.
#[test]
fn b18_all_packet_ids_in_flight() {
    let limits = Limits { inflight_max: 0, ..Limits::default() };
    let mut bench = pair(with_limits(limits), v5("p"), v5("s"));
    for id in 1..=u16::MAX {
        bench.feed("p", &publish(1, id, "t", ""));
    }
    bench.feed("p", &publish(1, 1, "t", "waits"));
    assert_eq!(bench.take("s").len(), 65_535);
    assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 1)), ["PUBLISH t q1 #1 waits"]);
    // C07: QoS 0 does not wait
    bench.feed("p", &publish(0, 0, "t", "passes"));
    assert_eq!(bench.take("s"), ["PUBLISH t q0 passes"]);
}

/// Fault C12: queued before new, in order, and only what may have arrived bears DUP.
#[test]
fn c12_order_on_resume() {
    let limits = Limits { inflight_max: 5, ..Limits::default() };
    let mut bench = pair(with_limits(limits), v5("p"), durable("s", 100));
    let mut last = 0;
    let mut send = |bench: &mut Bench, n| {
        for _ in 0..n {
            last += 1;
            bench.feed("p", &publish(1, 1, "t", &last.to_string()));
        }
    };
    send(&mut bench, 20);
    bench.cut("s");
    send(&mut bench, 100);
    let mut lines = bench.connect("s", durable("s", 100));
    let mut got = Vec::new();
    let mut id = 0;
    while let Some(line) = lines.iter().find(|l| l.starts_with("PUBLISH")).cloned() {
        got.extend(lines.iter().filter(|l| l.starts_with("PUBLISH")).cloned());
        assert!(line.starts_with("PUBLISH t q1"));
        if id < 30 {
            send(&mut bench, 1);
        }
        lines = bench.take("s");
        assert!(lines.is_empty(), "the window is full");
        while lines.is_empty() && id < 150 {
            id += 1;
            lines = bench.feed("s", &ack(PacketType::PubAck, id));
        }
    }
    let payloads: Vec<u32> = got.iter().map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(payloads[..5], [1, 2, 3, 4, 5]);
    assert!(payloads.is_sorted() && payloads.len() == 150, "{payloads:?}");
    assert_eq!(got.iter().filter(|l| l.contains(" dup ")).count(), 5);
}

/// After a revocation a copy of a message that was taken over before is still the same message: its id must not stay
/// behind.
#[test]
fn a_copy_is_acknowledged_even_if_the_right_is_gone() {
    let allowed = Arc::new(AtomicBool::new(true));
    let rule = allowed.clone();
    let settings = with_access(move |_, _, topic| topic != "t" || rule.load(Ordering::Relaxed));
    let mut bench = pair(settings, durable("p", 100), v5("s"));
    bench.feed("p", &publish(2, 7, "t", "x"));
    allowed.store(false, Ordering::Relaxed);
    bench.router.invalidate();
    assert_eq!(bench.feed("p", &again(message(2, 7, "t", "x"))), ["PUBREC #7"]);
    bench.feed("p", &ack(PacketType::PubRel, 7));
    assert_eq!(bench.feed("p", &publish(2, 7, "t", "y")), ["PUBREC #7 NotAuthorized"]);
    assert_eq!(bench.feed("p", &publish(2, 7, "u", "z")), ["PUBREC #7"], "a refused id is free at once");
    assert_eq!(bench.take("s"), ["PUBLISH t q2 #1 x", "PUBLISH u q2 #2 z"]);
}

/// A 3.x client cannot be told; its refused message must still be taken off its hands, once.
#[test]
fn refusals_in_3x_look_like_success() {
    let mut bench = pair(with_access(|_, a, _| a == grovemq_core::access::Access::Read), v3("p"), v5("s"));
    assert_eq!(bench.feed("p", &publish(1, 1, "t", "x")), ["PUBACK #1"]);
    assert_eq!(bench.feed("p", &publish(2, 2, "t", "x")), ["PUBREC #2"]);
    assert_eq!(bench.feed("p", &ack(PacketType::PubRel, 2)), ["PUBCOMP #2"]);
    assert_eq!(bench.take("s"), NOTHING);
}

/// Bytes in flight bound the window, but never so that nothing moves any more.
#[test]
fn bytes_in_flight_do_not_block_a_resumed_session() {
    let limits = Limits { inflight_bytes_max: 10, ..Limits::default() };
    let mut bench = pair(with_limits(limits), v5("p"), durable("s", 100));
    for id in 1..=3 {
        bench.feed("p", &publish(1, id, "t", "twelve bytes"));
    }
    assert_eq!(bench.take("s"), ["PUBLISH t q1 #1 twelve bytes"]);
    bench.cut("s");
    let lines = bench.connect("s", durable("s", 100));
    assert_eq!(lines, ["CONNACK Success present", "PUBLISH t q1 #1 dup twelve bytes"]);
    assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 1)), ["PUBLISH t q1 #2 twelve bytes"]);
    assert_eq!(bench.feed("s", &ack(PacketType::PubAck, 2)), ["PUBLISH t q1 #3 twelve bytes"]);
}

/// A session that ends with its connection keeps nothing of what it has sent, and counts its bytes all the same.
#[test]
fn what_cannot_be_sent_again_is_not_kept() {
    let large = "x".repeat(1000);
    for (subscriber, kept) in [(v5("s"), 0), (v3("s"), 0), (durable("s", 100), 1)] {
        for qos in [1, 2] {
            let limits = Limits { inflight_bytes_max: 2000, ..Limits::default() };
            let mut bench = pair(with_limits(limits), v5("p"), subscriber.clone());
            bench.take("s");
            take_held();
            bench.feed("p", &publish(qos, 1, "t", &large));
            assert_eq!(bench.take("s"), [format!("PUBLISH t q{qos} #1 <1000>")]);
            assert_eq!(take_held() / 1000, kept);
            // the next one fits, the one after that waits, in memory
            bench.feed("p", &publish(qos, 2, "t", &large));
            bench.feed("p", &publish(qos, 3, "t", &large));
            assert_eq!(bench.take("s").len(), 1);
            assert_eq!(take_held() / 1000, kept + 1);
            let answer = if qos == 1 { PacketType::PubAck } else { PacketType::PubRec };
            let lines = bench.feed("s", &ack(answer, 1));
            assert_eq!(lines.last(), Some(&format!("PUBLISH t q{qos} #3 <1000>")));
            assert_eq!(take_held() / 1000, -1);
        }
    }
}
