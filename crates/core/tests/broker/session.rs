//! Sessions across connections: take-over, resumption, expiry, change of user.

use crate::bench::*;
use grovemq_codec::{Connect, Packet, PacketType, ReasonCode};
use grovemq_core::access::Access;
use grovemq_core::observe::Cause;
use grovemq_core::{Limits, Settings};

/// Connects `s` with a subscription to `t` at QoS 1, then cuts it.
fn absent(bench: &mut Bench, connect: Connect<'_>) {
    bench.connect("s", connect);
    bench.feed("s", &subscribe(&[("t", options(1))]));
    bench.cut("s");
    bench.connect("p", v5("publisher"));
}

#[test]
fn c03_taking_over() {
    let mut bench = Bench::new(settings());
    bench.connect("old", v5("a"));
    bench.connect("older", v3("b"));
    assert_eq!(bench.connect("new", v5("a")), ["CONNACK Success"]);
    assert_eq!(bench.take("old"), ["DISCONNECT SessionTakenOver", "closed"]);
    bench.connect("newer", v3("b"));
    assert_eq!(bench.take("older"), ["closed"]);
    assert_eq!(bench.len(), (2, 2));
    assert_eq!(bench.take_causes(), [Cause::TakenOver; 2]);
    assert_eq!(bench.feed("new", &Packet::PingReq), ["PINGRESP"], "the owner is untouched");
}

/// Fault C01, and what was subscribed stays with a durable session only.
#[test]
fn c01_a_thousand_take_overs_leave_one_session() {
    let mut bench = Bench::new(settings());
    for n in 0..1000 {
        let stream = format!("{}", n % 50);
        let connect = if n % 3 == 0 { v3("a") } else { durable("a", 100) };
        bench.connect(&stream, connect);
        bench.feed(&stream, &subscribe(&[("t", options(0))]));
        assert_eq!(bench.feed(&stream, &publish(0, 0, "t", "x")), ["PUBLISH t q0 x"]);
        assert_eq!(bench.len(), (1, 1));
    }
    assert_eq!(bench.router.subscription_counts(), (1, 0));
}

/// Which sessions live on, and what they remember.
#[test]
fn sessions_that_stay_and_sessions_that_go() {
    let mortal =
        || Settings { limits: Limits { session_expiry_max: Some(50), ..Limits::default() }, ..settings() };
    let clean_durable = || Connect { clean_start: true, ..durable("a", 100) };
    let table: Vec<(&str, Settings, Connect<'_>, u64, &str)> = vec![
        ("3.1.1 clean", settings(), v3("a"), 0, "gone"),
        ("3.1.1 durable", settings(), v3_durable("a"), 1_000_000_000, "kept"),
        ("3.1.1 durable, bounded", mortal(), v3_durable("a"), 50_000, "gone"),
        ("3.1.1 durable, bounded", mortal(), v3_durable("a"), 49_999, "kept"),
        ("5 without expiry", settings(), Connect { clean_start: false, ..v5("a") }, 0, "gone"),
        ("5 with expiry", settings(), durable("a", 100), 99_999, "kept"),
        ("5 with expiry", settings(), durable("a", 100), 100_000, "gone"),
        ("5 clean start with expiry", settings(), clean_durable(), 99_999, "kept"),
        ("5 for ever", settings(), durable("a", u32::MAX), 500_000_000_000, "kept"),
        ("5 for ever, bounded", mortal(), durable("a", u32::MAX), 50_000, "gone"),
    ];
    for (name, settings, connect, wait, fate) in table {
        let mut bench = Bench::new(settings);
        absent(&mut bench, connect.clone());
        bench.wait(wait);
        bench.feed("p", &publish(1, 1, "t", "x"));
        let kept = bench.router.subscription_counts() == (1, 0);
        assert_eq!(kept, fate == "kept", "{name} after {wait}");
        assert_eq!(bench.len().0, 1 + usize::from(kept), "{name} after {wait}");
        let lines = bench.connect("again", Connect { clean_start: false, ..connect });
        let present = lines[0].contains("present");
        let queued = lines.get(1).is_some_and(|l| l == "PUBLISH t q1 #1 x");
        assert_eq!((present, queued), (kept, kept), "{name} after {wait}: {lines:?}");
    }
}

#[test]
fn a_clean_start_forgets() {
    for connect in [v5("s"), v3("s"), Connect { clean_start: true, ..durable("s", 100) }] {
        let mut bench = Bench::new(settings());
        absent(&mut bench, durable("s", 100));
        bench.feed("p", &publish(1, 1, "t", "x"));
        let lines = bench.connect("s", connect);
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("present"));
        assert_eq!(bench.router.subscription_counts(), (0, 0));
    }
}

#[test]
fn disconnect_may_change_the_expiry() {
    let mut bench = Bench::new(settings());
    bench.connect("a", durable("a", 100));
    assert_eq!(bench.feed("a", &disconnect(ReasonCode::Success, Some(10))), ["closed"]);
    bench.wait(10_000);
    assert_eq!(bench.len(), (0, 0));
    bench.connect("a", durable("a", 100));
    bench.feed("a", &disconnect(ReasonCode::Success, Some(0)));
    assert_eq!(bench.len(), (0, 0));
    // A26, [MQTT-3.14.2-2]
    bench.connect("a", v5("a"));
    let lines = bench.feed("a", &disconnect(ReasonCode::Success, Some(10)));
    assert_eq!(lines, ["DISCONNECT ProtocolError", "closed"]);
    assert_eq!(bench.len(), (0, 0));
    // the expiry may grow, and be for ever
    bench.connect("a", durable("a", 1));
    bench.feed("a", &disconnect(ReasonCode::Success, Some(u32::MAX)));
    bench.wait(1_000_000_000_000);
    assert_eq!(bench.len(), (1, 0));
}

/// A reconnect stops the clock of the session; the next absence starts it anew.
#[test]
fn expiry_counts_from_the_last_absence() {
    let mut bench = Bench::new(settings());
    bench.connect("a", durable("a", 10));
    for _ in 0..5 {
        bench.cut("a");
        bench.wait(9_999);
        assert_eq!(bench.connect("a", durable("a", 10)), ["CONNACK Success present"]);
        bench.wait(20_000);
    }
    bench.cut("a");
    bench.wait(10_000);
    assert_eq!((bench.len(), bench.stats().sessions_expired), ((0, 0), 1));
}

fn denied_to_mallory() -> Settings {
    with_access(|who, access, topic| {
        access == Access::Write || who.username != Some("mallory") || !topic.starts_with("secret")
    })
}

/// Fault C02: another user with the same client id gets nothing that he may not read: queued, in flight, or new.
#[test]
fn c02_taken_over_by_another_user() {
    let user = |name: &'static str| Connect { username: Some(name), ..durable("s", 100) };
    let mut bench = Bench::new(denied_to_mallory());
    bench.connect("s", user("alice"));
    bench.feed("s", &subscribe(&[("secret", options(2)), ("open", options(1))]));
    bench.connect("p", v5("p"));
    bench.feed("p", &publish(1, 1, "secret", "in flight"));
    bench.feed("p", &publish(2, 2, "secret", "in flight twice"));
    bench.feed("p", &publish(1, 3, "open", "hello"));
    assert_eq!(bench.take("s").len(), 3);
    bench.cut("s");
    bench.feed("p", &publish(1, 4, "secret", "queued"));
    bench.feed("p", &publish(1, 5, "open", "queued"));
    let lines = bench.connect("s", user("mallory"));
    let expected = ["CONNACK Success present", "PUBLISH open q1 #3 dup hello", "PUBLISH open q1 #4 queued"];
    assert_eq!(lines, expected);
    bench.feed("p", &publish(1, 6, "secret", "new"));
    assert_eq!(bench.take("s"), [""; 0]);
    bench.cut("s");
    bench.feed("p", &publish(1, 6, "secret", "new"));
    let lines = bench.connect("s", user("alice"));
    assert_eq!(lines.len(), 3, "what mallory may not read was not kept for alice: {lines:?}");
    bench.feed("p", &publish(1, 7, "secret", "for alice again"));
    assert_eq!(bench.take("s"), ["PUBLISH secret q1 #5 for alice again"]);
}

/// The same by the rules of another listener.
#[test]
fn taken_over_by_the_same_user_through_another_listener() {
    let mut settings = with_access(|_, _, _| true);
    settings.listeners.extend(with_access(|_, access, _| access == Access::Write).listeners);
    let mut bench = Bench::new(settings);
    bench.connect("s", durable("s", 100));
    bench.feed("s", &subscribe(&[("t", options(1))]));
    bench.connect("p", v5("p"));
    bench.feed("p", &publish(1, 1, "t", "x"));
    bench.cut("s");
    bench.feed("p", &publish(1, 1, "t", "x"));
    bench.open("s", 1);
    assert_eq!(bench.feed("s", &Packet::Connect(durable("s", 100))), ["CONNACK Success present"]);
    bench.feed("p", &publish(1, 1, "t", "x"));
    assert_eq!(bench.take("s"), [""; 0]);
}

/// Fault C04: the window is the new connection's.
#[test]
fn c04_c14_the_receive_maximum_of_the_new_connection_counts() {
    let with_window = |n| {
        let mut connect = durable("s", 100);
        connect.properties.receive_maximum = Some(n);
        connect
    };
    let mut bench = Bench::new(settings());
    bench.connect("s", with_window(3));
    bench.feed("s", &subscribe(&[("t", options(1))]));
    bench.connect("p", v5("p"));
    for n in 1..=6 {
        bench.feed("p", &publish(1, n, "t", &n.to_string()));
    }
    assert_eq!(bench.take("s"), ["PUBLISH t q1 #1 1", "PUBLISH t q1 #2 2", "PUBLISH t q1 #3 3"]);
    let lines = bench.connect("s2", with_window(2));
    assert_eq!(lines, ["CONNACK Success present", "PUBLISH t q1 #1 dup 1", "PUBLISH t q1 #2 dup 2"]);
    assert_eq!(bench.feed("s2", &ack(PacketType::PubAck, 1)), ["PUBLISH t q1 #3 dup 3"]);
    // answers to what this connection has not sent yet are good, too
    assert_eq!(bench.connect("s3", with_window(1)), ["CONNACK Success present", "PUBLISH t q1 #2 dup 2"]);
    assert_eq!(bench.feed("s3", &ack(PacketType::PubAck, 3)), [""; 0]);
    assert_eq!(bench.feed("s3", &ack(PacketType::PubAck, 2)), ["PUBLISH t q1 #4 4"]);
}

#[test]
fn shutdown_tells_everyone() {
    let mut bench = Bench::new(settings());
    bench.connect("a", v5("a"));
    bench.connect("b", v3("b"));
    bench.open("c", 0);
    bench.shutdown();
    assert_eq!(bench.take("a"), ["DISCONNECT ServerShuttingDown", "closed"]);
    assert_eq!((bench.take("b"), bench.take("c")), (vec!["closed".to_string()], vec!["closed".to_string()]));
    assert_eq!(bench.len(), (0, 0));
}

/// Fault B23: what stood before the end of the stream counts.
#[test]
fn b23_packets_before_the_end_are_processed() {
    let mut bench = Bench::new(settings());
    bench.connect("s", v5("s"));
    bench.feed("s", &subscribe(&[("t", options(0)), ("w", options(0))]));
    bench.connect("p", Connect { will: Some(will("w", 0)), ..v5("p") });
    let mut bytes = Vec::new();
    publish(0, 0, "t", "last words").encode(grovemq_codec::Version::V5, &mut bytes).unwrap();
    disconnect(ReasonCode::Success, None).encode(grovemq_codec::Version::V5, &mut bytes).unwrap();
    bench.feed_bytes("p", &bytes);
    assert_eq!(bench.take("s"), ["PUBLISH t q0 last words"]);
}
