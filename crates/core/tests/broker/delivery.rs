//! What happens to a message on its way: expiry, aliases, properties, versions.

use crate::bench::*;
use grovemq_codec::{Connect, ConnectProperties, Packet, PublishProperties, UserProperties};
use grovemq_core::access::Access;
use grovemq_core::{ListenerLimits, Settings};

const NOTHING: [&str; 0] = [];

fn expiring(seconds: u32) -> PublishProperties<'static> {
    PublishProperties { message_expiry: Some(seconds), ..PublishProperties::default() }
}

fn alias(n: u16) -> PublishProperties<'static> {
    PublishProperties { topic_alias: Some(n), ..PublishProperties::default() }
}

fn takes_aliases(client_id: &str, n: u16) -> Connect<'_> {
    let properties = ConnectProperties { topic_alias_maximum: Some(n), ..ConnectProperties::default() };
    Connect { properties, ..v5(client_id) }
}

fn ready(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.connect("s", v5("s"));
    bench.feed("s", &subscribe(&[("#", options(2))]));
    bench.connect("p", v5("p"));
    bench
}

/// Fault B19: the property tells what is left; what has run out is dropped and leaves no hole.
#[test]
fn b19_expiry() {
    let mut bench = ready(settings());
    bench.connect("d", durable("d", 1000));
    bench.feed("d", &subscribe(&[("t", options(1))]));
    bench.feed("p", &with(message(1, 1, "t", "live"), expiring(10)));
    assert_eq!(bench.take("d"), ["PUBLISH t q1 #1 expiry10 live"]);
    bench.cut("d");
    for (n, seconds) in [5, 10, 20].into_iter().enumerate() {
        bench.feed("p", &with(message(1, 1, "t", &n.to_string()), expiring(seconds)));
    }
    bench.wait(10_000);
    let lines = bench.connect("d", durable("d", 1000));
    assert_eq!(
        lines,
        ["CONNACK Success present", "PUBLISH t q1 #1 dup expiry1 live", "PUBLISH t q1 #2 expiry10 2"]
    );
    assert_eq!(bench.stats().publish_dropped, 2);
}

#[test]
fn properties_travel_unchanged() {
    let user = [("k".to_string(), "1".to_string()), ("k".to_string(), "2".to_string())];
    let properties = PublishProperties {
        response_topic: Some("re"),
        content_type: Some("ct"),
        user: UserProperties::List(&user),
        ..expiring(60)
    };
    let mut bench = ready(settings());
    bench.connect("old", v3("old"));
    bench.feed("old", &subscribe(&[("#", options(0))]));
    bench.feed(
        "p",
        &with(message(1, 1, "t", "x"), PublishProperties { topic_alias: Some(1), ..properties.clone() }),
    );
    assert_eq!(bench.take("s"), ["PUBLISH t q1 #1 expiry60 replyre typect k:1 k:2 x"]);
    assert_eq!(bench.take("old"), ["PUBLISH t q0 x"]);
    bench.feed("p", &with(message(1, 1, "t", "x"), PublishProperties { message_expiry: None, ..properties }));
    assert_eq!(bench.take("s"), ["PUBLISH t q1 #2 replyre typect k:1 k:2 x"]);
}

/// Fault B21.
#[test]
fn b21_a_client_sends_no_subscription_ids() {
    let mut bench = ready(settings());
    let properties = PublishProperties {
        subscription_ids: grovemq_codec::SubscriptionIds::List(&[1]),
        ..PublishProperties::default()
    };
    let lines = bench.feed("p", &with(message(0, 0, "t", "x"), properties));
    assert_eq!(lines, ["DISCONNECT ProtocolError", "closed"]);
    assert_eq!(bench.take("s"), NOTHING);
}

#[test]
fn aliases_of_a_client() {
    let mut bench = ready(settings());
    bench.feed("p", &with(message(0, 0, "one", "1"), alias(10)));
    bench.feed("p", &with(message(0, 0, "", "2"), alias(10)));
    bench.feed("p", &with(message(0, 0, "two", "3"), alias(10)));
    bench.feed("p", &with(message(1, 1, "", "4"), alias(10)));
    let expected = ["PUBLISH one q0 1", "PUBLISH one q0 2", "PUBLISH two q0 3", "PUBLISH two q1 #1 4"];
    assert_eq!(bench.take("s"), expected);
    // they end with the connection
    bench.cut("p");
    bench.connect("p", v5("p"));
    let lines = bench.feed("p", &with(message(0, 0, "", "5"), alias(10)));
    assert_eq!(lines, ["DISCONNECT ProtocolError", "closed"]);
}

/// Fault B02.
#[test]
fn b02_aliases_out_of_range() {
    let none =
        || with_listener(ListenerLimits { alias_in_max: 0, alias_out_max: 0, ..ListenerLimits::default() });
    for (settings, n, topic, reason) in [
        (settings(), 11, "t", "TopicAliasInvalid"),
        (settings(), 65_535, "", "TopicAliasInvalid"),
        (settings(), 1, "", "ProtocolError"),
        (none(), 1, "t", "TopicAliasInvalid"),
    ] {
        let mut bench = ready(settings);
        let lines = bench.feed("p", &with(message(0, 0, topic, "x"), alias(n)));
        assert_eq!(lines, [format!("DISCONNECT {reason}"), "closed".into()]);
    }
    let mut bench = ready(settings());
    let lines = bench.feed_bytes("p", b"\x30\x08\0\x01t\x03\x23\0\0x");
    assert_eq!(lines, ["DISCONNECT TopicAliasInvalid", "closed"]);
}

/// Fault B03: an alias holds even where the message that brought it was refused.
#[test]
fn b03_an_alias_of_a_denied_message_is_known() {
    let mut bench = ready(with_access(|who, access, topic| {
        access == Access::Read || who.client_id != "p" || topic != "no"
    }));
    assert_eq!(bench.feed("p", &with(message(1, 1, "yes", "1"), alias(1))), ["PUBACK #1"]);
    assert_eq!(bench.feed("p", &with(message(1, 1, "no", "2"), alias(1))), ["PUBACK #1 NotAuthorized"]);
    assert_eq!(bench.feed("p", &with(message(1, 1, "", "3"), alias(1))), ["PUBACK #1 NotAuthorized"]);
    assert_eq!(bench.feed("p", &with(message(1, 1, "yes", "4"), alias(1))), ["PUBACK #1"]);
    assert_eq!(bench.feed("p", &with(message(1, 1, "", "5"), alias(1))), ["PUBACK #1"]);
    // a copy of a QoS 2 message registers, too
    bench.feed("p", &with(message(2, 2, "yes", "6"), alias(2)));
    bench.feed("p", &with(message(2, 2, "other", "copy"), alias(2)));
    bench.feed("p", &with(message(0, 0, "", "7"), alias(2)));
    let payloads: Vec<String> =
        bench.take("s").iter().map(|l| l.rsplit(' ').next().unwrap().into()).collect();
    assert_eq!(payloads, ["1", "4", "5", "6", "7"]);
}

#[test]
fn aliases_towards_a_client() {
    let mut bench = ready(settings());
    bench.connect("a", takes_aliases("a", 2));
    bench.feed("a", &subscribe(&[("#", options(1))]));
    for topic in ["one", "two", "three", "one", "two", "three"] {
        bench.feed("p", &publish(1, 1, topic, "x"));
    }
    let expected = [
        "PUBLISH one q1 #1 alias1 x",
        "PUBLISH two q1 #2 alias2 x",
        "PUBLISH three q1 #3 x",
        "PUBLISH  q1 #4 alias1 x",
        "PUBLISH  q1 #5 alias2 x",
        "PUBLISH three q1 #6 x",
    ];
    assert_eq!(bench.take("a"), expected);
    // the listener's limit is the lower one
    let mut bench = ready(with_listener(ListenerLimits { alias_out_max: 1, ..ListenerLimits::default() }));
    bench.connect("a", takes_aliases("a", 2));
    bench.feed("a", &subscribe(&[("#", options(0))]));
    for topic in ["one", "two"] {
        bench.feed("p", &publish(0, 0, topic, "x"));
    }
    assert_eq!(bench.take("a"), ["PUBLISH one q0 alias1 x", "PUBLISH two q0 x"]);
}

/// Both ends of an alias agree after a reconnect: queued and repeated messages spell their topic out once.
#[test]
fn aliases_begin_anew_with_each_connection() {
    let mut connect = takes_aliases("a", 1);
    (connect.clean_start, connect.properties.session_expiry) = (false, Some(100));
    let mut bench = ready(settings());
    bench.connect("a", connect.clone());
    bench.feed("a", &subscribe(&[("one", options(1))]));
    for _ in 0..2 {
        bench.feed("p", &publish(1, 1, "one", "x"));
    }
    assert_eq!(bench.take("a"), ["PUBLISH one q1 #1 alias1 x", "PUBLISH  q1 #2 alias1 x"]);
    bench.cut("a");
    bench.feed("p", &publish(1, 1, "one", "y"));
    let expected = [
        "CONNACK Success present",
        "PUBLISH one q1 #1 dup alias1 x",
        "PUBLISH  q1 #2 dup alias1 x",
        "PUBLISH  q1 #3 alias1 y",
    ];
    assert_eq!(bench.connect("a", connect), expected);
}

/// One encoded form for many receivers: each still gets its own id, QoS, flags and version.
#[test]
fn fan_out_to_unlike_receivers() {
    let mut bench = Bench::with_shards(settings(), 2);
    bench.connect("p", v5("p"));
    let mut expected = Vec::new();
    for n in 0..24 {
        let name = format!("c{n}");
        let connect = match n % 3 {
            0 => v3(&name),
            1 => v5(&name),
            _ => takes_aliases(&name, 1),
        };
        bench.connect(&name, connect);
        let qos = n / 3 % 3;
        let id = (n >= 12).then_some(u32::from(n));
        let version = n % 3;
        bench.feed(&name, &subscribe_id(&[("t", options(qos))], id.filter(|_| version > 0)));
        let mut line = format!("PUBLISH t q{qos}");
        line += if qos > 0 { " #1" } else { "" };
        line += &id.filter(|_| version > 0).map_or(String::new(), |id| format!(" ids[{id}]"));
        line += if version == 2 { " alias1" } else { "" };
        line += if version > 0 { " expiry9" } else { "" };
        expected.push((name, line));
    }
    for size in [1, 5000] {
        let payload = "x".repeat(size);
        bench.feed("p", &with(message(2, 1, "t", &payload), expiring(9)));
        bench.feed("p", &ack_rel());
        let shown = if size == 1 { " x".to_string() } else { format!(" <{size}>") };
        for (name, line) in &expected {
            let second = size > 1;
            let line = if second { line.replace("#1", "#2") } else { line.clone() };
            let line =
                if second && line.contains("alias") { line.replace("PUBLISH t", "PUBLISH ") } else { line };
            assert_eq!(bench.take(name), [line + &shown], "{name}");
        }
    }
}

fn ack_rel() -> Packet<'static> {
    ack(grovemq_codec::PacketType::PubRel, 1)
}
