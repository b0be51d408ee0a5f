//! Bounds: queues, slow readers, packet sizes, work per turn.

use crate::bench::*;
use grovemq_codec::{Connect, ConnectProperties, Packet, PacketType, PublishProperties};
use grovemq_core::{Limits, ListenerLimits, PublishRate, Settings};
use std::num::NonZeroU32;

const NOTHING: [&str; 0] = [];

fn sized(client_id: &str, bytes: u32, aliases: u16) -> Connect<'_> {
    let properties = ConnectProperties {
        maximum_packet_size: Some(bytes),
        topic_alias_maximum: Some(aliases),
        ..ConnectProperties::default()
    };
    Connect { properties, ..v5(client_id) }
}

/// Fault A23: what is too large for a client is dropped for it alone, and leaves its place.
#[test]
fn a23_maximum_packet_size_of_a_client() {
    let limits = Limits { inflight_max: 1, ..Limits::default() };
    for aliases in [0, 5] {
        for qos in 0..=2 {
            let mut bench = Bench::new(with_limits(limits.clone()));
            assert_eq!(bench.connect("s", sized("s", 20, aliases)), ["CONNACK Success"]);
            bench.feed("s", &subscribe(&[("t", options(qos))]));
            bench.connect("p", v5("p"));
            let room = 20 - 2 - 3 - 1 - if qos > 0 { 2 } else { 0 };
            for size in [room + 1, 100, 10_000] {
                bench.feed("p", &publish(qos, 1, "t", &"x".repeat(size)));
                bench.feed("p", &ack(PacketType::PubRel, 1));
                assert_eq!(bench.take("s"), NOTHING, "{size} bytes at QoS {qos}");
            }
            bench.feed("p", &publish(qos, 1, "t", &"x".repeat(room)));
            let lines = bench.take("s");
            assert_eq!(
                lines.len(),
                1,
                "exactly as much as the client takes, with {aliases} aliases, QoS {qos}"
            );
            assert!(lines[0].ends_with(&"x".repeat(room)));
            assert_eq!(bench.stats().publish_dropped, 3);
        }
    }
}

/// An alias whose packet was not sent is not known to the client.
#[test]
fn an_alias_is_not_used_before_it_was_told() {
    let mut bench = Bench::new(settings());
    bench.connect("s", sized("s", 30, 5));
    bench.feed("s", &subscribe(&[("#", options(0))]));
    bench.connect("p", v5("p"));
    bench.feed("p", &publish(0, 0, "t", &"x".repeat(100)));
    bench.feed("p", &publish(0, 0, "t", "y"));
    bench.feed("p", &publish(0, 0, "t", &"x".repeat(100)));
    bench.feed("p", &publish(0, 0, "t", "z"));
    assert_eq!(bench.take("s"), ["PUBLISH t q0 alias1 y", "PUBLISH  q0 alias1 z"]);
}

#[test]
fn packets_above_the_brokers_limit_close() {
    let limits = Limits { packet_bytes_max: 100, connect_bytes_max: 50, ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    bench.connect("p", v5("p"));
    let payload = "x".repeat(100 - 2 - 3 - 1);
    assert_eq!(bench.feed("p", &publish(0, 0, "t", &payload)), NOTHING);
    assert_eq!(bench.feed("p", &publish(0, 0, "tt", &payload)), ["DISCONNECT PacketTooLarge", "closed"]);
    assert_eq!(bench.connect("q", v5(&"q".repeat(50))), ["closed"]);
    assert_eq!(bench.len(), (0, 0));
}

/// Fault C16 and the limits of a queue: the newest are dropped and counted.
#[test]
fn queues_of_absent_clients() {
    let cases: [(Limits, usize); 3] = [
        (Limits { queue_messages_max: 5, ..Limits::default() }, 5),
        // each message has 11 bytes; the one that reaches the bound still fits
        (Limits { queue_bytes_max: 30, ..Limits::default() }, 3),
        (Limits { queue_messages_max: 0, ..Limits::default() }, 20),
    ];
    for (limits, kept) in cases {
        for queue_qos0 in [false, true] {
            let settings = Settings { queue_qos0, ..with_limits(limits.clone()) };
            let mut bench = Bench::new(settings);
            bench.connect("s", durable("s", 100));
            bench.feed("s", &subscribe(&[("t", options(2))]));
            bench.cut("s");
            bench.connect("p", v5("p"));
            for n in 0..20 {
                bench.feed("p", &publish(n % 2, 1, "t", &format!("{n:010}")));
            }
            let expected: Vec<usize> = (0..20).filter(|n| queue_qos0 || n % 2 == 1).take(kept).collect();
            let lines = bench.connect("s", durable("s", 100));
            let got: Vec<usize> =
                lines[1..].iter().map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect();
            assert_eq!(got, expected);
        }
    }
}

/// Those of QoS 0 that wait behind others are not overtaken. [MQTT-4.6.0-6]
#[test]
fn queued_messages_of_qos_0_keep_their_place() {
    let limits = Limits { inflight_max: 1, ..Limits::default() };
    let settings = Settings { queue_qos0: true, ..with_limits(limits) };
    let mut bench = Bench::new(settings);
    bench.connect("s", durable("s", 100));
    bench.feed("s", &subscribe(&[("t", options(1))]));
    bench.cut("s");
    bench.connect("p", v5("p"));
    for (qos, payload) in [(1, "a"), (1, "b"), (0, "c")] {
        bench.feed("p", &publish(qos, 1, "t", payload));
    }
    assert_eq!(bench.connect("s", durable("s", 100))[1..], ["PUBLISH t q1 #1 a"]);
    bench.feed("p", &publish(0, 0, "t", "d"));
    assert_eq!(bench.take("s"), NOTHING, "d waits behind c, which waits behind b");
    assert_eq!(
        bench.feed("s", &ack(PacketType::PubAck, 1)),
        ["PUBLISH t q1 #2 b", "PUBLISH t q0 c", "PUBLISH t q0 d"]
    );
    bench.feed("p", &publish(0, 0, "t", "e"));
    assert_eq!(bench.take("s"), ["PUBLISH t q0 e"]);
}

/// Fault B25: very many filters in one packet cost time in proportion, also twice, and when they go.
#[test]
fn b25_many_filters_at_once() {
    let mut bench = Bench::new(settings());
    bench.connect("p", v5("p"));
    let mut retained = message(0, 0, "49999", "x");
    retained.retain = true;
    bench.feed("p", &Packet::Publish(retained));
    bench.connect("s", v5("s"));
    bench.filters = 1000;
    let names: Vec<String> = (0..50_000).map(|n| format!("{n:05}")).collect();
    let filters: Vec<_> = names.iter().map(|n| (n.as_str(), options(0))).collect();
    let start = std::time::Instant::now();
    for _ in 0..2 {
        let lines = bench.feed("s", &subscribe(&filters));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], "PUBLISH 49999 q0 retain x");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.feed("s", &unsubscribe(&names));
    assert_eq!(bench.router.subscription_counts(), (0, 0));
    // in a debug build some seconds; with a cost that grows with the square, many minutes
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// The filters of a packet count as work: who sends many such packets leaves the others their turn.
#[test]
fn filters_are_work() {
    let mut bench = Bench::new(with_limits(Limits { turn_deliveries_max: 10, ..Limits::default() }));
    bench.connect("s", v5("s"));
    let filters: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let filters: Vec<_> = filters.iter().map(|f| (f.as_str(), options(0))).collect();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        subscribe(&filters).encode(grovemq_codec::Version::V5, &mut bytes).unwrap();
    }
    assert_eq!(bench.turns_for("s", &bytes), 3);
}

/// Fault C05: who does not read costs a bounded amount of memory, and nothing but his own messages.
#[test]
fn c05_a_slow_reader() {
    let limits =
        Limits { output_bytes_max: 10_000, queue_messages_max: 10, inflight_max: 10, ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    for name in ["slow", "quick"] {
        bench.connect(name, v5(name));
        bench.feed(name, &subscribe(&[("t0", options(0)), ("t1", options(1))]));
    }
    bench.connect("p", v5("p"));
    bench.reading("slow", false);
    let payload = "x".repeat(100);
    for _ in 0..1000 {
        bench.feed("p", &publish(0, 0, "t0", &payload));
        assert_eq!(bench.take("quick").len(), 1);
    }
    for n in 1..=30 {
        bench.feed("p", &publish(1, 1, "t1", &n.to_string()));
        assert_eq!(bench.take("quick").len(), 1);
        bench.feed("quick", &ack(PacketType::PubAck, n));
    }
    bench.reading("slow", true);
    let lines = bench.take("slow");
    let (zero, one): (Vec<_>, Vec<_>) = lines.iter().partition(|l| l.starts_with("PUBLISH t0"));
    assert!((90..110).contains(&zero.len()), "{}", zero.len());
    assert_eq!(one.len(), 10, "the first ten waited and came when there was room again");
    assert_eq!(bench.stats().publish_dropped, 1000 - zero.len() as u64 + 20);
    bench.feed("p", &publish(0, 0, "t0", "alive"));
    assert_eq!(bench.take("slow"), ["PUBLISH t0 q0 alive"]);
}

/// What stands in the way of resending must not stop it for good.
#[test]
fn c03_large_messages_in_flight_are_all_sent_again() {
    let limits = Limits { output_bytes_max: 10_000, ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    bench.connect("s", durable("s", 100));
    bench.feed("s", &subscribe(&[("t", options(2))]));
    bench.connect("p", v5("p"));
    let payload = "x".repeat(6000);
    for id in 1..=10 {
        bench.feed("p", &publish(2, id, "t", &payload));
    }
    assert_eq!(bench.take("s").len(), 10);
    bench.cut("s");
    bench.open("s", 0);
    bench.reading("s", false);
    bench.feed("s", &Packet::Connect(durable("s", 100)));
    bench.reading("s", true);
    assert_eq!(bench.take("s").len(), 11);
}

/// One connection may not keep the loop for itself; nothing is lost by taking turns.
#[test]
fn work_is_cut_into_turns() {
    let limits = Limits { turn_deliveries_max: 10, ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    bench.connect("s", v5("s"));
    bench.feed("s", &subscribe(&[("t", options(0))]));
    bench.connect("p", v5("p"));
    let mut bytes = Vec::new();
    for n in 0..1000 {
        publish(0, 0, "t", &n.to_string()).encode(grovemq_codec::Version::V5, &mut bytes).unwrap();
    }
    bench.feed_bytes("p", &bytes);
    let got: Vec<u32> =
        bench.take("s").iter().map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(got, (0..1000).collect::<Vec<_>>());
}

/// Packets may come in any pieces.
#[test]
fn packets_in_pieces() {
    let version = grovemq_codec::Version::V5;
    let mut bytes = Vec::new();
    Packet::Connect(v5("p")).encode(version, &mut bytes).unwrap();
    subscribe(&[("t", options(1))]).encode(version, &mut bytes).unwrap();
    let properties = PublishProperties { message_expiry: Some(5), ..PublishProperties::default() };
    with(message(1, 1, "t", "x"), properties).encode(version, &mut bytes).unwrap();
    Packet::PingReq.encode(version, &mut bytes).unwrap();
    let mut whole = Vec::new();
    for size in 1..=bytes.len() {
        let mut bench = Bench::new(settings());
        bench.open("p", 0);
        bench.version("p", version);
        let lines: Vec<String> = bytes.chunks(size).flat_map(|piece| bench.feed_bytes("p", piece)).collect();
        if whole.is_empty() {
            whole = lines;
            assert_eq!(whole.len(), 5);
        } else {
            assert_eq!(lines, whole, "pieces of {size}");
        }
    }
}

/// The end of a session with very many subscriptions is no longer than others' turns.
#[test]
fn very_many_subscriptions_leave_in_slices() {
    let mut bench = Bench::new(settings());
    bench.filters = 1000;
    bench.connect("a", v3("a"));
    let names: Vec<String> = (0..12_000).map(|n| format!("t/{n}")).collect();
    let filters: Vec<_> = names.iter().map(|name| (name.as_str(), options(0))).collect();
    bench.feed("a", &subscribe(&filters));
    bench.connect("b", v3("b"));
    bench.feed("b", &subscribe(&[("t/11999", options(0))]));
    assert_eq!(bench.router.subscription_counts().0, 12_001);
    bench.cut_only("a");
    let gone = 12_001 - bench.router.subscription_counts().0;
    assert!(gone > 0 && gone <= 256, "{gone} are no slice");
    bench.run();
    assert_eq!(bench.router.subscription_counts().0, 1);
    assert_eq!(bench.feed("b", &publish(0, 0, "t/11999", "x")), ["PUBLISH t/11999 q0 x"]);
}

#[test]
fn a_packet_with_too_many_filters_closes_its_client() {
    let limits = Limits { filters_max: 2, ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    let three = [("a", options(0)), ("b", options(0)), ("c", options(0))];
    bench.connect("a", v5("a"));
    assert_eq!(bench.feed("a", &subscribe(&three[..2])).len(), 1);
    assert_eq!(bench.feed("a", &subscribe(&three)), ["DISCONNECT QuotaExceeded", "closed"]);
    bench.connect("a", v5("a"));
    assert_eq!(bench.feed("a", &unsubscribe(&["a", "b", "c"])), ["DISCONNECT QuotaExceeded", "closed"]);
}

fn paced(messages: u32, bytes: u32) -> Settings {
    let publish_rate = PublishRate { messages: NonZeroU32::new(messages), bytes: NonZeroU32::new(bytes) };
    with_listener(ListenerLimits { publish_rate, ..ListenerLimits::default() })
}

#[test]
fn who_publishes_too_fast_is_heard_later_and_loses_nothing() {
    for qos in 0..=1 {
        let mut bench = Bench::new(paced(10, 0));
        bench.connect("s", v5("s"));
        bench.feed("s", &subscribe(&[("#", options(0))]));
        bench.connect("p", v5("p"));
        let mut many = Vec::new();
        for n in 1..=30 {
            publish(qos, n, "t", &n.to_string()).encode(grovemq_codec::Version::V5, &mut many).unwrap();
        }
        bench.feed_bytes("p", &many);
        let mut heard = bench.take("s");
        assert_eq!(heard.len(), 11, "what may come in a second, and one more");
        for _ in 0..3 {
            bench.wait(100);
            heard.append(&mut bench.take("s"));
        }
        assert_eq!(heard.len(), 14);
        bench.connect("q", v5("q"));
        bench.feed("q", &publish(qos, 1, "t", "another's"));
        assert_eq!(bench.take("s").len(), 1, "nobody else waits");
        bench.wait(10_000);
        heard.append(&mut bench.take("s"));
        assert_eq!(heard.len(), 30);
        assert!(heard.iter().zip(1..).all(|(line, n)| line.ends_with(&format!(" {n}"))), "{heard:?}");
    }
}

/// It could not be heard meanwhile: its keep-alive begins when it can.
#[test]
fn a_rest_does_not_use_the_keep_alive_up() {
    let mut bench = Bench::new(paced(0, 100));
    bench.connect("p", Connect { keep_alive: 2, ..v5("p") });
    bench.feed("p", &publish(0, 0, "t", &"x".repeat(2000)));
    bench.feed("p", &Packet::PingReq);
    bench.wait(19_000);
    assert_eq!(bench.take("p"), NOTHING);
    bench.wait(1_100);
    assert_eq!(bench.take("p"), ["PINGRESP"]);
    bench.wait(1_900);
    assert_eq!(bench.take("p"), NOTHING);
    bench.wait(200);
    assert_eq!(bench.take("p"), ["DISCONNECT KeepAliveTimeout", "closed"]);
}

#[test]
fn who_goes_while_resting_leaves_nothing_behind() {
    let mut bench = Bench::new(paced(1, 0));
    for _ in 0..3 {
        bench.connect("p", v5("p"));
        for _ in 0..3 {
            bench.feed("p", &publish(0, 0, "t", "x"));
        }
        bench.cut("p");
        assert_eq!(bench.len(), (0, 0));
    }
    bench.wait(10_000);
}
