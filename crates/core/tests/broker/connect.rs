//! CONNECT and everything else on a connection that is not a message: refusals, the table of stages, time limits.

use crate::bench::*;
use grovemq_codec::{
    Connect, ConnectProperties, Packet, PacketType, Qos, ReasonCode, SubscribeOptions, Version, Will,
};
use grovemq_core::observe::Cause;
use grovemq_core::{Limits, ListenerLimits, ListenerSettings, Settings, Verdict};
use std::fmt::Write;
use std::time::Duration;

fn one(lines: &[String]) -> String {
    lines.join("; ")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn connects_and_refusals() {
    let qos1 = || ListenerLimits { qos_max: 1, ..ListenerLimits::default() };
    let no_retain = || ListenerLimits { retain_available: false, ..ListenerLimits::default() };
    let only_v5 = || ListenerLimits { versions: [false, false, true], ..ListenerLimits::default() };
    let need_id = || ListenerLimits { empty_client_id: false, ..ListenerLimits::default() };
    let named = || ListenerLimits { username_as_client_id: true, ..ListenerLimits::default() };
    let short = || Limits { keep_alive_max: 60, ..Limits::default() };
    let mortal = || Limits { session_expiry_max: Some(100), ..Limits::default() };
    let prefixed = || Settings { client_id_prefix: Some("ok-".into()), ..settings() };
    let stranger = || Settings { listeners: vec![ListenerSettings::default()], ..settings() };
    let qos2_will =
        |c: Connect<'static>| Connect { will: Some(Will { qos: Qos::ExactlyOnce, ..will("w", 0) }), ..c };
    let retained_will =
        |c: Connect<'static>| Connect { will: Some(Will { retain: true, ..will("w", 0) }), ..c };
    let asks = |n| ConnectProperties { session_expiry: Some(n), ..ConnectProperties::default() };
    let method = ConnectProperties { authentication_method: Some("x"), ..ConnectProperties::default() };
    let table: Vec<(&str, Settings, Connect<'_>, &str)> = vec![
        ("3.1.1", settings(), v3("a"), "CONNACK 0"),
        ("5", settings(), v5("a"), "CONNACK Success"),
        ("3.1", settings(), Connect { version: Version::V31, ..v3("a") }, "CONNACK 0"),
        ("3.1.1, no id", settings(), v3(""), "CONNACK 0"),
        ("no id, not allowed", with_listener(need_id()), v5(""), "CONNACK ClientIdentifierNotValid; closed"),
        (
            "name for id",
            with_listener(named()),
            Connect { username: Some("u"), ..v5("a") },
            "CONNACK Success id=u",
        ),
        ("name for id, none", with_listener(named()), v5("a"), "CONNACK BadUserNameOrPassword; closed"),
        ("prefix", prefixed(), v5("a"), "CONNACK NotAuthorized; closed"),
        ("prefix", prefixed(), v5("ok-a"), "CONNACK Success"),
        ("prefix, 3.1.1", prefixed(), v3("a"), "CONNACK 5; closed"),
        ("version", with_listener(only_v5()), v3("a"), "CONNACK 1; closed"),
        ("stranger", stranger(), v5("a"), "CONNACK NotAuthorized; closed"),
        ("stranger, 3.1.1", stranger(), v3("a"), "CONNACK 5; closed"),
        ("QoS 1 only", with_listener(qos1()), v5("a"), "CONNACK Success qos=1"),
        ("QoS 1 only, will", with_listener(qos1()), qos2_will(v5("a")), "CONNACK QosNotSupported; closed"),
        ("no retain", with_listener(no_retain()), v5("a"), "CONNACK Success retain=false"),
        (
            "no retain, will",
            with_listener(no_retain()),
            retained_will(v5("a")),
            "CONNACK RetainNotSupported; closed",
        ),
        (
            "keep-alive",
            with_limits(short()),
            Connect { keep_alive: 61, ..v5("a") },
            "CONNACK Success keep-alive=60",
        ),
        // A27: without a keep-alive
        ("keep-alive 0", with_limits(short()), v5("a"), "CONNACK Success keep-alive=60"),
        ("keep-alive 0, 3.1.1", with_limits(short()), v3("a"), "CONNACK 2; closed"),
        ("keep-alive 60", with_limits(short()), Connect { keep_alive: 60, ..v3("a") }, "CONNACK 0"),
        (
            "expiry",
            with_limits(mortal()),
            Connect { properties: asks(101), ..v5("a") },
            "CONNACK Success expiry=100",
        ),
        ("expiry", with_limits(mortal()), Connect { properties: asks(99), ..v5("a") }, "CONNACK Success"),
        (
            "method",
            settings(),
            Connect { properties: method, ..v5("a") },
            "CONNACK BadAuthenticationMethod; closed",
        ),
        (
            "no sessions",
            with_limits(Limits { sessions_max: 0, ..Limits::default() }),
            v5("a"),
            "CONNACK QuotaExceeded; closed",
        ),
    ];
    for (name, settings, connect, expected) in table {
        let mut bench = Bench::new(settings);
        assert_eq!(one(&bench.connect("a", connect)), expected, "{name}");
        let alive = usize::from(!expected.ends_with("closed"));
        assert_eq!(bench.len(), (alive, alive), "{name}: sessions and connections");
    }
}

#[test]
fn an_assigned_id_is_told_and_unique_on_every_shard() {
    let mut bench = Bench::with_shards(settings(), 4);
    let mut ids = std::collections::BTreeSet::new();
    for n in 0..20 {
        let line = one(&bench.connect(&n.to_string(), v5("")));
        let id = line.strip_prefix("CONNACK Success id=auto-").unwrap();
        assert_eq!(id.len(), 36);
        ids.insert(id.to_string());
    }
    assert_eq!((ids.len(), bench.len()), (20, (20, 20)));
}

/// A session has one home, whichever shard accepted the stream; nothing of the stream is lost on the way.
#[test]
fn a_connection_moves_to_its_home() {
    let mut bench = Bench::with_shards(settings(), 4);
    for n in 0..16 {
        let id = format!("client-{n}");
        bench.open(&id, 0);
        bench.version(&id, Version::V5);
        let mut bytes = Vec::new();
        Packet::Connect(durable(&id, 10)).encode(Version::V5, &mut bytes).unwrap();
        subscribe(&[("t", options(0))]).encode(Version::V5, &mut bytes).unwrap();
        Packet::PingReq.encode(Version::V5, &mut bytes).unwrap();
        let lines = bench.feed_bytes(&id, &bytes);
        assert_eq!(lines, ["CONNACK Success", "SUBACK #1 [Success]", "PINGRESP"]);
    }
    assert_eq!(bench.len(), (16, 16), "nobody stayed behind where he came in");
    assert!((0..16).map(|n| bench.shard(&format!("client-{n}"))).any(|shard| shard != 0));
    bench.connect("publisher", v5("publisher"));
    bench.feed("publisher", &publish(0, 0, "t", "x"));
    for n in 0..16 {
        assert_eq!(bench.take(&format!("client-{n}")), ["PUBLISH t q0 x"]);
    }
}

#[test]
fn logins_are_checked_elsewhere() {
    let listener = ListenerSettings { authenticate: true, ..ListenerSettings::default() };
    let user = |version| Connect { username: Some("u"), password: Some(b"p"), ..version };
    let table = [
        (user(v5("a")), Verdict::Allow, "CONNACK Success; PINGRESP"),
        (user(v5("a")), Verdict::Deny, "CONNACK NotAuthorized; closed"),
        (user(v5("a")), Verdict::Unavailable, "CONNACK ServerUnavailable; closed"),
        (user(v3("a")), Verdict::Allow, "CONNACK 0; PINGRESP"),
        (user(v3("a")), Verdict::Deny, "CONNACK 5; closed"),
        (user(v3("a")), Verdict::Unavailable, "CONNACK 3; closed"),
    ];
    for (connect, verdict, expected) in table {
        let mut bench = Bench::new(Settings { listeners: vec![listener.clone()], ..settings() });
        assert!(bench.connect("a", connect).is_empty());
        assert_eq!(bench.login("a").unwrap().password.as_deref(), Some(&b"p"[..]));
        // A29: nothing behind CONNECT is looked at before the verdict
        assert!(bench.feed("a", &Packet::PingReq).is_empty());
        assert_eq!(one(&bench.verdict("a", verdict)), expected);
    }
    let mut bench = Bench::new(Settings { listeners: vec![listener.clone()], ..settings() });
    assert_eq!(one(&bench.connect("a", v3("a"))), "CONNACK 5; closed", "without a name");
    bench.connect("b", user(v5("b")));
    bench.cut("b");
    assert_eq!(one(&bench.verdict("b", Verdict::Allow)), "closed", "the verdict comes too late");
    bench.connect("c", user(v5("c")));
    bench.wait(10_000);
    assert_eq!(one(&bench.take("c")), "closed", "nobody answered in time");
    assert_eq!(bench.len(), (0, 0));
}

/// Fault A28.
#[test]
fn who_does_not_say_connect_in_time_is_closed() {
    let limits = Limits { connect_time_max: Duration::from_secs(5), ..Limits::default() };
    let mut bench = Bench::new(with_limits(limits));
    bench.open("silent", 0);
    bench.open("slow", 0);
    let mut bytes = Vec::new();
    Packet::Connect(v5("slow")).encode(Version::V5, &mut bytes).unwrap();
    for byte in &bytes[..4] {
        bench.feed_bytes("slow", &[*byte]);
        bench.wait(1000);
    }
    assert_eq!(bench.len().1, 2);
    bench.wait(1000);
    assert_eq!(bench.len().1, 0);
    assert_eq!(bench.take_causes(), [Cause::ConnectTimeout; 2]);
}

/// One and a half times, counted from the last bytes. [MQTT-3.1.2-22]
#[test]
fn c08_keep_alive() {
    let mut bench = Bench::new(settings());
    bench.connect("a", Connect { keep_alive: 10, ..v5("a") });
    bench.connect("b", v5("b"));
    bench.wait(14_999);
    assert_eq!(bench.feed("a", &Packet::PingReq), ["PINGRESP"]);
    bench.wait(14_999);
    assert_eq!(bench.take("a"), [""; 0]);
    bench.wait(1);
    assert_eq!(bench.take("a"), ["DISCONNECT KeepAliveTimeout", "closed"]);
    bench.wait(1_000_000_000);
    assert_eq!(bench.take("b"), [""; 0], "0 is off");
}

#[test]
fn malformed_beginnings() {
    let table: [(&str, &[u8], &str); 7] = [
        // [MQTT-3.1.3-8]
        ("3.1.1, no id, durable", b"\x10\x0c\0\x04MQTT\x04\0\0\0\0\0", "CONNACK 2; closed"),
        ("http", b"GET / HTTP/1.1\r\n", "closed"),
        ("tls", b"\x16\x03\x01\x00\x05hello", "closed"),
        ("level 6", b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0", "CONNACK UnsupportedProtocolVersion; closed"),
        ("level 9 of MQIsdp", b"\x10\x0f\0\x06MQIsdp\x09\x02\0\0\0\x01a", "CONNACK 1; closed"),
        ("too large", b"\x10\xff\xff\xff\x7f\0\x04MQTT", "closed"),
        ("reserved flag", b"\x10\x0d\0\x04MQTT\x04\x03\0\0\0\x01a", "closed"),
    ];
    for (name, bytes, expected) in table {
        let mut bench = Bench::new(settings());
        bench.open("a", 0);
        if name == "level 6" {
            bench.version("a", Version::V5);
        }
        assert_eq!(one(&bench.feed_bytes("a", bytes)), expected, "{name}");
        assert_eq!(bench.len(), (0, 0));
    }
}

/// What each packet does to a connection in each stage. A30: what only servers send is a protocol error.
#[test]
fn table_of_stages() {
    let expected = "\
AwaitConnect   Connect     -> Live: CONNACK
AwaitConnect   ConnAck     -> Closed:
AwaitConnect   Publish     -> Closed:
AwaitConnect   PubAck      -> Closed:
AwaitConnect   PubRec      -> Closed:
AwaitConnect   PubRel      -> Closed:
AwaitConnect   PubComp     -> Closed:
AwaitConnect   Subscribe   -> Closed:
AwaitConnect   SubAck      -> Closed:
AwaitConnect   Unsubscribe -> Closed:
AwaitConnect   UnsubAck    -> Closed:
AwaitConnect   PingReq     -> Closed:
AwaitConnect   PingResp    -> Closed:
AwaitConnect   Disconnect  -> Closed:
AwaitConnect   Auth        -> Closed:
Authenticating Connect     -> Authenticating:
Authenticating ConnAck     -> Authenticating:
Authenticating Publish     -> Authenticating:
Authenticating PubAck      -> Authenticating:
Authenticating PubRec      -> Authenticating:
Authenticating PubRel      -> Authenticating:
Authenticating PubComp     -> Authenticating:
Authenticating Subscribe   -> Authenticating:
Authenticating SubAck      -> Authenticating:
Authenticating Unsubscribe -> Authenticating:
Authenticating UnsubAck    -> Authenticating:
Authenticating PingReq     -> Authenticating:
Authenticating PingResp    -> Authenticating:
Authenticating Disconnect  -> Authenticating:
Authenticating Auth        -> Authenticating:
Live           Connect     -> Closed: DISCONNECT ProtocolError
Live           ConnAck     -> Closed: DISCONNECT ProtocolError
Live           Publish     -> Live: PUBACK
Live           PubAck      -> Live:
Live           PubRec      -> Live: PUBREL PacketIdentifierNotFound
Live           PubRel      -> Live: PUBCOMP PacketIdentifierNotFound
Live           PubComp     -> Live:
Live           Subscribe   -> Live: SUBACK
Live           SubAck      -> Closed: DISCONNECT ProtocolError
Live           Unsubscribe -> Live: UNSUBACK
Live           UnsubAck    -> Closed: DISCONNECT ProtocolError
Live           PingReq     -> Live: PINGRESP
Live           PingResp    -> Closed: DISCONNECT ProtocolError
Live           Disconnect  -> Closed:
Live           Auth        -> Closed: DISCONNECT ProtocolError
Closing        Connect     -> Closed:
Closing        ConnAck     -> Closed:
Closing        Publish     -> Closed:
Closing        PubAck      -> Closed:
Closing        PubRec      -> Closed:
Closing        PubRel      -> Closed:
Closing        PubComp     -> Closed:
Closing        Subscribe   -> Closed:
Closing        SubAck      -> Closed:
Closing        Unsubscribe -> Closed:
Closing        UnsubAck    -> Closed:
Closing        PingReq     -> Closed:
Closing        PingResp    -> Closed:
Closing        Disconnect  -> Closed:
Closing        Auth        -> Closed:
";
    let mut table = String::new();
    for stage in ["AwaitConnect", "Authenticating", "Live", "Closing"] {
        for kind in (1..=15).map(|n| PacketType::from_u8(n).unwrap()) {
            writeln!(table, "{stage:14} {:11} -> {}", format!("{kind:?}"), outcome(stage, kind)).unwrap();
        }
    }
    print!("{table}");
    assert_eq!(table, expected);
}

fn outcome(stage: &str, kind: PacketType) -> String {
    let anyone = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
    let checked = ListenerSettings { authenticate: true, ..ListenerSettings::default() };
    let mut bench = Bench::new(Settings { listeners: vec![anyone, checked], ..settings() });
    bench.open("a", u16::from(stage == "Authenticating"));
    bench.version("a", Version::V5);
    if stage != "AwaitConnect" {
        bench.feed("a", &Packet::Connect(Connect { username: Some("u"), ..v5("a") }));
    }
    let mut bytes = Vec::new();
    if stage == "Closing" {
        disconnect(ReasonCode::Success, None).encode(Version::V5, &mut bytes).unwrap();
    }
    packet_of(kind).encode(Version::V5, &mut bytes).unwrap();
    let mut lines = bench.feed_bytes("a", &bytes);
    let closed = lines.pop_if(|line| line == "closed").is_some();
    let stage = match () {
        () if closed => "Closed",
        () if bench.login("a").is_some() => "Authenticating",
        () if bench.len() == (1, 1) => "Live",
        () => "AwaitConnect",
    };
    let words = |line: &String| {
        let words = line.split(' ').filter(|w| !w.starts_with(['#', '[']) && !w.starts_with("Success"));
        words.filter(|w| *w != "NoMatchingSubscribers").collect::<Vec<_>>().join(" ")
    };
    format!("{stage}: {}", lines.iter().map(words).collect::<Vec<_>>().join("; ")).trim_end().to_string()
}

fn packet_of(kind: PacketType) -> Packet<'static> {
    use grovemq_codec::{
        AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, ReasonCodes, SubAck, UnsubAck,
    };
    let codes = ReasonCodes::List(&[ReasonCode::Success]);
    let (packet_id, properties) = (std::num::NonZeroU16::MIN, AckProperties::default());
    match kind {
        PacketType::Connect => Packet::Connect(v5("a")),
        PacketType::ConnAck => Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode::Success,
            properties: ConnAckProperties::default(),
        }),
        PacketType::Publish => publish(1, 1, "t", ""),
        PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => ack(kind, 1),
        PacketType::Subscribe => subscribe(const { &[("t", SubscribeOptions::qos(Qos::AtMostOnce))] }),
        PacketType::SubAck => Packet::SubAck(SubAck { packet_id, properties, codes }),
        PacketType::Unsubscribe => unsubscribe(&["t"]),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck { packet_id, properties, codes }),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => disconnect(ReasonCode::Success, None),
        PacketType::Auth => Packet::Auth(Auth {
            reason: ReasonCode::ReAuthenticate,
            properties: AuthProperties { authentication_method: Some("x"), ..AuthProperties::default() },
        }),
    }
}

/// Fault D23: names that were chosen to collide do so for one seed only, and that is drawn anew at each start.
#[test]
fn d23_names_that_collide_for_one_seed_do_not_for_another() {
    let broker = |seed| Bench::with_shards(Settings { seed, ..settings() }, 8);
    let known = broker(1);
    let chosen: Vec<String> =
        (0..).map(|i| format!("c{i}")).filter(|id| known.shard(id) == 0).take(1000).collect();
    for seed in 2..20 {
        let other = broker(seed);
        let still = chosen.iter().filter(|id| other.shard(id) == 0).count();
        assert!((75..190).contains(&still), "{still} of 1000 where 125 are to be expected");
    }
}

/// Fault E21: no clock, deadline or size is as wide as a machine word. All tests run as 32-bit programs in
/// `cargo xtask nightly`; this one goes where the milliseconds need more.
#[test]
fn e21_deadlines_hold_beyond_32_bits_of_milliseconds() {
    const FIFTY_DAYS: u64 = u32::MAX as u64 + 10_000;
    let mut bench = Bench::new(settings());
    bench.connect("stays", durable("stays", u32::MAX - 1));
    bench.cut("stays");
    for _ in 0..3 {
        bench.wait(FIFTY_DAYS);
        bench.connect("a", Connect { keep_alive: 10, ..v5("a") });
        bench.wait(14_999);
        assert_eq!(bench.take("a"), [""; 0]);
        bench.wait(1);
        assert_eq!(bench.take("a"), ["DISCONNECT KeepAliveTimeout", "closed"]);
    }
    bench.connect("short", durable("short", u32::MAX / 1000 + 20));
    bench.cut("short");
    bench.wait(FIFTY_DAYS);
    assert_eq!(bench.len().0, 2);
    bench.wait(20_000);
    assert_eq!(bench.len().0, 1);
    assert_eq!(bench.connect("stays", durable("stays", 0)), ["CONNACK Success present"]);
}
