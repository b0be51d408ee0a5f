//! The machine against scripted servers, hostile ones, and a faithful one behind a link that breaks at random.

use super::*;
use grovemq_codec::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, DisconnectProperties, Packet,
    PacketType, Publish, PublishProperties, Qos, ReasonCode, ReasonCodes, SubAck, SubscriptionIds, UnsubAck,
    Version, decode_frame,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    num::NonZeroU16,
    time::Duration,
};

const NOW: Time = Time(0);

fn id(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn encode(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

fn ack(kind: PacketType, packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    let ack = Ack { packet_id: id(packet_id), reason, properties: AckProperties::default() };
    match kind {
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        _ => Packet::PubComp(ack),
    }
}

fn connack(session_present: bool, properties: ConnAckProperties<'static>) -> Packet<'static> {
    Packet::ConnAck(ConnAck { session_present, reason: ReasonCode::Success, properties })
}

fn publish(topic: &'static str, qos: Qos, packet_id: u16, alias: Option<u16>) -> Packet<'static> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: NonZeroU16::new(packet_id),
        properties: PublishProperties { topic_alias: alias, ..PublishProperties::default() },
        raw_properties: &[],
        payload: b"x",
    })
}

fn suback(packet_id: u16, codes: &[ReasonCode]) -> Packet<'_> {
    let properties = AckProperties::default();
    Packet::SubAck(SubAck { packet_id: id(packet_id), properties, codes: ReasonCodes::List(codes) })
}

fn unsuback(packet_id: u16, codes: &[ReasonCode]) -> Packet<'_> {
    let properties = AckProperties::default();
    Packet::UnsubAck(UnsubAck { packet_id: id(packet_id), properties, codes: ReasonCodes::List(codes) })
}

/// A machine under test and what it said.
struct Bench {
    client: Protocol,
    version: Version,
    now: Time,
}

impl Bench {
    fn new(config: Config) -> Self {
        let version = config.version;
        Self { client: Protocol::new(Config { trace: true, ..config }), version, now: NOW }
    }

    /// Connected, and nothing left to read.
    fn online(config: Config) -> Self {
        Self::online_with(config, ConnAckProperties::default())
    }

    fn online_with(config: Config, properties: ConnAckProperties<'static>) -> Self {
        let mut bench = Self::new(config);
        bench.connect(false, properties);
        bench
    }

    /// Returns what is sent after CONNACK.
    fn connect(&mut self, session_present: bool, properties: ConnAckProperties<'static>) -> Vec<PacketNote> {
        self.client.handle_connected(self.now).unwrap();
        assert_eq!(self.sent(), [PacketNote::Connect]);
        self.feed(&connack(session_present, properties));
        let sent = self.sent();
        assert!(self.client.is_online());
        sent
    }

    fn feed(&mut self, packet: &Packet<'_>) {
        let bytes = encode(self.version, packet);
        assert_eq!(self.client.handle_input(self.now, &bytes), bytes.len());
    }

    /// Drains output and events; what was sent.
    fn sent(&mut self) -> Vec<PacketNote> {
        self.events_and_sent().1
    }

    fn events(&mut self) -> Vec<Event> {
        self.events_and_sent().0
    }

    fn events_and_sent(&mut self) -> (Vec<Event>, Vec<PacketNote>) {
        let (mut events, mut sent, mut out) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let more = self.client.poll_output(self.now, &mut out);
            while let Some(event) = self.client.poll_event() {
                match event {
                    Event::Packet(Direction::Sent, note) => sent.push(note),
                    Event::Packet(Direction::Received, _) => {}
                    event => events.push(event),
                }
            }
            if !more {
                return (events, sent);
            }
        }
    }

    fn publish(&mut self, qos: Qos, token: u64) {
        let message = Message::new("t", token.to_string()).qos(qos);
        self.client.publish(self.now, message, Some(token)).unwrap();
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now + by;
    }
}

fn v5() -> Config {
    Config { client_id: "c".into(), ..Config::default() }
}

fn v311() -> Config {
    Config { version: Version::V311, ..v5() }
}

fn durable() -> Config {
    Config { clean_start: false, session_expiry: Some(100), ..v5() }
}

fn sent_publish(note: &PacketNote) -> (bool, u16) {
    match note {
        PacketNote::Publish { dup, packet_id, .. } => (*dup, *packet_id),
        other => panic!("not a PUBLISH: {other:?}"),
    }
}

fn closed(events: &[Event]) -> Option<&Error> {
    events.iter().find_map(|e| if let Event::Closed(error) = e { Some(error) } else { None })
}

fn pending_error(event: &Event) -> Option<&Error> {
    match event {
        Event::Published { result: Err(e), .. }
        | Event::Subscribed { result: Err(e), .. }
        | Event::Unsubscribed { result: Err(e), .. } => Some(e),
        _ => None,
    }
}

/// A server that has to prove itself is believed when it says what was foretold, once, and is told nothing before.
#[test]
fn a_server_proves_itself() {
    let auth = |reason, data: Option<&'static [u8]>| {
        let properties = AuthProperties {
            authentication_method: Some("m"),
            authentication_data: data,
            ..AuthProperties::default()
        };
        Packet::Auth(Auth { reason, properties })
    };
    let accepted = |data: Option<&'static [u8]>| {
        let properties = ConnAckProperties {
            authentication_method: data.map(|_| "m"),
            authentication_data: data,
            ..ConnAckProperties::default()
        };
        connack(false, properties)
    };
    let asked = || {
        let mut bench = Bench::new(v5());
        bench.client.prove("m", b"first".to_vec());
        bench.client.handle_connected(NOW).unwrap();
        bench.client.publish(NOW, Message::new("secret", "x"), None).unwrap();
        bench
    };
    let answered = || {
        let mut bench = asked();
        bench.feed(&auth(ReasonCode::ContinueAuthentication, Some(b"challenge")));
        bench.client.answer(NOW, b"answer", b"proof".to_vec()).unwrap();
        bench
    };
    for (mut bench, packet) in [
        (asked(), accepted(None)),
        (asked(), accepted(Some(b"proof"))),
        (answered(), accepted(None)),
        (answered(), accepted(Some(b"poof"))),
        (answered(), auth(ReasonCode::Success, None)),
    ] {
        bench.feed(&packet);
        assert_eq!(closed(&bench.events()), Some(&Error::Unproven), "{packet:?}");
        let mut out = Vec::new();
        bench.client.poll_output(NOW, &mut out);
        assert!(!out.windows(6).any(|w| w == b"secret"), "{packet:?}");
    }
    let mut bench = answered();
    bench.feed(&accepted(Some(b"proof")));
    assert!(bench.client.is_online());
    bench.client.auth(NOW, ReasonCode::ReAuthenticate, Some(b"first")).unwrap();
    bench.client.answer(NOW, b"answer", b"other".to_vec()).unwrap();
    bench.feed(&auth(ReasonCode::Success, Some(b"other")));
    assert!(bench.client.is_online());
    bench.events();
    bench.feed(&auth(ReasonCode::Success, Some(b"other")));
    assert_eq!(closed(&bench.events()), Some(&Error::Unproven), "nobody asked");
}

/// Every packet a server could send, in every state: what becomes of the connection.
#[test]
fn connection_table() {
    let properties = AuthProperties { authentication_method: Some("m"), ..AuthProperties::default() };
    let goodbye = DisconnectProperties::default();
    let refused = ConnAck {
        session_present: false,
        reason: ReasonCode::NotAuthorized,
        properties: ConnAckProperties::default(),
    };
    let packets = [
        connack(false, ConnAckProperties::default()),
        Packet::ConnAck(refused),
        publish("a", Qos::AtMostOnce, 0, None),
        ack(PacketType::PubAck, 9, ReasonCode::Success),
        ack(PacketType::PubRec, 9, ReasonCode::Success),
        ack(PacketType::PubRel, 9, ReasonCode::Success),
        ack(PacketType::PubComp, 9, ReasonCode::Success),
        suback(9, &[ReasonCode::Success]),
        unsuback(9, &[ReasonCode::Success]),
        Packet::PingReq,
        Packet::PingResp,
        Packet::Disconnect(grovemq_codec::Disconnect { reason: ReasonCode::ServerBusy, properties: goodbye }),
        Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties }),
    ];
    let mut table = String::new();
    for packet in &packets {
        write!(table, "{:?}:", packet.kind()).unwrap();
        for online in [false, true] {
            let mut bench = Bench::new(Config { authentication_method: Some("m".into()), ..v5() });
            bench.client.handle_connected(NOW).unwrap();
            if online {
                bench.feed(&connack(false, ConnAckProperties::default()));
            }
            bench.events();
            bench.feed(packet);
            let events = bench.events();
            let outcome = match closed(&events) {
                None if bench.client.is_online() => "online",
                None => "handshake",
                Some(Error::Protocol(_)) => "violation",
                Some(Error::Refused { .. }) => "refused",
                Some(Error::ServerClosed { .. }) => "server closed",
                Some(other) => panic!("{other:?}"),
            };
            write!(table, " {} -> {outcome};", if online { "online" } else { "handshake" }).unwrap();
        }
        table.push('\n');
    }
    print!("{table}");
    assert_eq!(
        table,
        "ConnAck: handshake -> online; online -> violation;\n\
         ConnAck: handshake -> refused; online -> violation;\n\
         Publish: handshake -> violation; online -> online;\n\
         PubAck: handshake -> violation; online -> online;\n\
         PubRec: handshake -> violation; online -> online;\n\
         PubRel: handshake -> violation; online -> online;\n\
         PubComp: handshake -> violation; online -> online;\n\
         SubAck: handshake -> violation; online -> violation;\n\
         UnsubAck: handshake -> violation; online -> violation;\n\
         PingReq: handshake -> violation; online -> violation;\n\
         PingResp: handshake -> violation; online -> online;\n\
         Disconnect: handshake -> violation; online -> server closed;\n\
         Auth: handshake -> handshake; online -> online;\n"
    );
}

/// E18: bytes no server should send, and what they must come to. No panic, a typed error, DISCONNECT with a reason.
#[test]
fn hostile_servers() {
    let rows: &[(&str, &[u8], ReasonCode)] = &[
        ("PUBLISH with QoS 3", &[0x36, 6, 0, 1, b'a', 0, 1, 0], ReasonCode::MalformedPacket),
        ("packet type 0", &[0x00, 0], ReasonCode::MalformedPacket),
        ("length of five bytes", &[0x30, 0xff, 0xff, 0xff, 0xff, 1], ReasonCode::MalformedPacket),
        ("huge length", &[0x30, 0xff, 0xff, 0xff, 0x7f], ReasonCode::PacketTooLarge),
        ("SUBACK of 3.1.1 in 5", &[0x90, 3, 0, 1, 1], ReasonCode::MalformedPacket),
        ("SUBACK without codes", &[0x90, 3, 0, 1, 0], ReasonCode::ProtocolError),
        ("SUBACK with too many codes", &[0x90, 5, 0, 1, 0, 0, 0], ReasonCode::ProtocolError),
        ("SUBACK for an unknown id", &[0x90, 4, 0, 7, 0, 0], ReasonCode::ProtocolError),
        ("SUBACK with an unknown code", &[0x90, 4, 0, 1, 0, 0x7f], ReasonCode::ProtocolError),
        ("UNSUBACK for a SUBSCRIBE", &[0xb0, 4, 0, 1, 0, 0], ReasonCode::ProtocolError),
        ("packet id 0", &[0x40, 2, 0, 0], ReasonCode::ProtocolError),
        ("PUBACK cut short", &[0x40, 1, 0], ReasonCode::MalformedPacket),
        ("topic with a wildcard", &[0x30, 4, 0, 1, b'#', 0], ReasonCode::TopicNameInvalid),
        ("topic beyond the packet", &[0x30, 4, 0, 9, b'a', 0], ReasonCode::MalformedPacket),
        ("no topic, no alias", &[0x30, 3, 0, 0, 0], ReasonCode::ProtocolError),
        ("alias above our maximum", &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 9], ReasonCode::TopicAliasInvalid),
        ("alias never set", &[0x30, 6, 0, 0, 3, 0x23, 0, 1], ReasonCode::ProtocolError),
        ("CONNACK twice", &[0x20, 3, 0, 0, 0], ReasonCode::ProtocolError),
        ("a client's packet", &[0xc0, 0], ReasonCode::ProtocolError),
    ];
    for (name, bytes, reason) in rows {
        let mut bench =
            Bench::online(Config { maximum_packet_size: Some(1000), topic_alias_maximum: 2, ..v5() });
        let request = Subscribe::from(&[Subscription::new("a", Qos::AtMostOnce)][..]);
        bench.client.subscribe(NOW, request, 1).unwrap();
        bench.sent();
        assert_eq!(bench.client.handle_input(NOW, bytes), bytes.len(), "{name}");
        let (events, sent) = bench.events_and_sent();
        let Some(Error::Protocol(fault)) = closed(&events) else { panic!("{name}: {events:?}") };
        assert!(
            fault.reason() == *reason
                || (*reason == ReasonCode::ProtocolError && fault.reason() == ReasonCode::MalformedPacket),
            "{name}: {fault:?}"
        );
        assert_eq!(sent, [PacketNote::Disconnect { reason: fault.reason() }], "{name}");
        // Dead to what follows.
        bench.feed(&Packet::PingResp);
        assert_eq!(bench.events(), [], "{name}");
        assert_eq!(bench.client.next_timeout(), None);
    }
}

#[test]
fn suback_with_the_wrong_count_fails_the_request_too() {
    for codes in [&[ReasonCode::Success][..], &[ReasonCode::Success; 3][..]] {
        let mut bench = Bench::online(v311());
        let request = [Subscription::new("a", Qos::AtMostOnce), Subscription::new("b", Qos::AtMostOnce)];
        bench.client.subscribe(NOW, request[..].into(), 1).unwrap();
        bench.feed(&suback(1, codes));
        let events = bench.events();
        assert!(matches!(pending_error(&events[0]), Some(Error::Protocol(_))), "{events:?}");
        assert!(closed(&events).is_some());
    }
}

#[test]
fn refusal_carries_the_code_of_the_version() {
    for (config, v3_code) in [(v5(), None), (v311(), Some(5))] {
        let mut bench = Bench::new(config);
        bench.client.handle_connected(NOW).unwrap();
        bench.feed(&Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode::NotAuthorized,
            properties: ConnAckProperties::default(),
        }));
        let events = bench.events();
        let Event::Refused(refusal) = &events[0] else { panic!("{events:?}") };
        assert_eq!((refusal.reason, refusal.v3_code), (ReasonCode::NotAuthorized, v3_code));
        assert!(matches!(closed(&events), Some(Error::Refused { packet: PacketType::Connect, .. })));
    }
}

#[test]
fn session_present_after_clean_start_is_a_violation() {
    let mut bench = Bench::new(v5());
    bench.client.handle_connected(NOW).unwrap();
    bench.feed(&connack(true, ConnAckProperties::default()));
    assert!(matches!(closed(&bench.events()), Some(Error::Protocol(_))));
}

#[test]
fn qos_1_and_2_to_the_end() {
    let mut bench = Bench::online(v5());
    bench.publish(Qos::AtMostOnce, 1);
    bench.publish(Qos::AtLeastOnce, 2);
    bench.publish(Qos::ExactlyOnce, 3);
    let (events, sent) = bench.events_and_sent();
    assert_eq!(
        events,
        [Event::Published {
            token: 1,
            result: Ok(PublishAck { reason: ReasonCode::Success, packet_id: None })
        }]
    );
    assert_eq!(sent.iter().map(sent_publish).collect::<Vec<_>>(), [(false, 0), (false, 1), (false, 2)]);
    bench.feed(&ack(PacketType::PubAck, 1, ReasonCode::NoMatchingSubscribers));
    bench.feed(&ack(PacketType::PubRec, 2, ReasonCode::Success));
    let (events, sent) = bench.events_and_sent();
    let done = PublishAck { reason: ReasonCode::NoMatchingSubscribers, packet_id: Some(id(1)) };
    assert_eq!(events, [Event::Published { token: 2, result: Ok(done) }]);
    assert_eq!(sent, [PacketNote::PubRel { packet_id: 2, reason: ReasonCode::Success }]);
    assert!(!bench.client.is_drained());
    bench.feed(&ack(PacketType::PubComp, 2, ReasonCode::Success));
    let done = PublishAck { reason: ReasonCode::Success, packet_id: Some(id(2)) };
    assert_eq!(bench.events(), [Event::Published { token: 3, result: Ok(done) }]);
    assert!(bench.client.is_drained());
}

#[test]
fn an_error_in_puback_or_pubrec_is_the_publications_error() {
    let mut bench = Bench::online(v5());
    bench.publish(Qos::AtLeastOnce, 1);
    bench.publish(Qos::ExactlyOnce, 2);
    bench.sent();
    bench.feed(&ack(PacketType::PubAck, 1, ReasonCode::NotAuthorized));
    bench.feed(&ack(PacketType::PubRec, 2, ReasonCode::QuotaExceeded));
    let (events, sent) = bench.events_and_sent();
    let reasons: Vec<_> = events
        .iter()
        .map(|e| match pending_error(e) {
            Some(Error::Refused { packet: PacketType::Publish, reason, .. }) => *reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reasons, [ReasonCode::NotAuthorized, ReasonCode::QuotaExceeded]);
    assert_eq!(sent, [], "no PUBREL after an error");
}

#[test]
fn resumed_session_gets_everything_again_in_order_with_dup() {
    let mut bench = Bench::online(durable());
    bench.publish(Qos::AtLeastOnce, 1);
    bench.publish(Qos::ExactlyOnce, 2);
    bench.publish(Qos::ExactlyOnce, 3);
    bench.sent();
    bench.feed(&ack(PacketType::PubRec, 2, ReasonCode::Success));
    bench.client.handle_disconnected();
    bench.publish(Qos::AtLeastOnce, 4);
    bench.sent();
    let sent = bench.connect(true, ConnAckProperties::default());
    assert_eq!(sent_publish(&sent[0]), (true, 1));
    assert_eq!(sent[1], PacketNote::PubRel { packet_id: 2, reason: ReasonCode::Success });
    assert_eq!(sent_publish(&sent[2]), (true, 3));
    assert_eq!(sent_publish(&sent[3]), (false, 4));
    assert_eq!(sent.len(), 4);
}

#[test]
fn lost_session_gets_what_it_never_took_as_new() {
    let mut bench = Bench::online(durable());
    for token in 1..=3 {
        bench.publish(Qos::ExactlyOnce, token);
    }
    bench.sent();
    bench.feed(&ack(PacketType::PubRec, 2, ReasonCode::Success));
    bench.client.handle_disconnected();
    bench.events();
    bench.client.handle_connected(NOW).unwrap();
    bench.feed(&connack(false, ConnAckProperties::default()));
    let (events, sent) = bench.events_and_sent();
    assert!(events.iter().any(|e| matches!(e, Event::Published { token: 2, result: Ok(_) })), "{events:?}");
    let again: Vec<_> = sent.iter().filter(|n| matches!(n, PacketNote::Publish { .. })).collect();
    assert_eq!(again.iter().map(|n| sent_publish(n).0).collect::<Vec<_>>(), [false, false]);
}

/// [MQTT-3.3.4-8]
#[test]
fn a_full_window_holds_back_publish_only() {
    let limit = ConnAckProperties { receive_maximum: Some(1), ..ConnAckProperties::default() };
    let mut bench = Bench::online_with(durable(), limit);
    bench.publish(Qos::ExactlyOnce, 1);
    bench.publish(Qos::AtLeastOnce, 2);
    assert_eq!(bench.sent().len(), 1);
    let request = Subscribe::from(&[Subscription::new("a", Qos::AtMostOnce)][..]);
    bench.client.subscribe(NOW, request, 3).unwrap();
    assert!(matches!(bench.sent()[..], [PacketNote::Subscribe { .. }]));
    bench.feed(&publish("a", Qos::AtLeastOnce, 9, None));
    assert_eq!(bench.sent(), [PacketNote::PubAck { packet_id: 9, reason: ReasonCode::Success }]);
    bench.feed(&ack(PacketType::PubRec, 1, ReasonCode::Success));
    assert_eq!(bench.sent().len(), 1, "PUBREL, and no PUBLISH behind it");
}

#[test]
fn window_is_the_servers_and_shrinks_with_a_new_connection() {
    let limit = |n| ConnAckProperties { receive_maximum: Some(n), ..ConnAckProperties::default() };
    let mut bench = Bench::online_with(durable(), limit(3));
    for token in 1..=5 {
        bench.publish(Qos::AtLeastOnce, token);
    }
    assert_eq!(bench.sent().len(), 3);
    bench.client.handle_disconnected();
    assert_eq!(bench.connect(true, limit(1)).len(), 1);
    for n in 1..=4 {
        bench.feed(&ack(PacketType::PubAck, n, ReasonCode::Success));
        assert_eq!(bench.sent().len(), 1, "after PUBACK {n}");
    }
    bench.feed(&ack(PacketType::PubAck, 5, ReasonCode::Success));
    assert!(bench.client.is_drained());
    // A second PUBACK widens nothing.
    bench.feed(&ack(PacketType::PubAck, 5, ReasonCode::Success));
    bench.publish(Qos::AtLeastOnce, 6);
    bench.publish(Qos::AtLeastOnce, 7);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn old_versions_have_a_window_that_servers_bear() {
    let mut bench = Bench::online(v311());
    for token in 1..=30 {
        bench.publish(Qos::ExactlyOnce, token);
    }
    assert_eq!(bench.sent().len(), 20);
    bench.feed(&ack(PacketType::PubRec, 1, ReasonCode::Success));
    assert_eq!(bench.sent().len(), 1, "PUBREL only: the place is free after PUBCOMP");
    bench.feed(&ack(PacketType::PubComp, 1, ReasonCode::Success));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn packet_ids_run_out_without_harm_and_wrap_around_those_in_use() {
    let mut bench = Bench::online(Config { inflight_max: Some(u16::MAX), queue_len_max: 100_000, ..v5() });
    for token in 0..70_000 {
        bench.publish(Qos::AtLeastOnce, token);
    }
    let mut ids: Vec<u16> = bench.sent().iter().map(|n| sent_publish(n).1).collect();
    assert_eq!(ids.len(), 65_535);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 65_535);
    bench.feed(&ack(PacketType::PubAck, 777, ReasonCode::Success));
    assert_eq!(bench.sent().iter().map(sent_publish).collect::<Vec<_>>(), [(false, 777)]);
}

#[test]
fn queue_is_bounded_in_messages_and_bytes() {
    let mut bench = Bench::new(Config { queue_len_max: 2, ..v5() });
    bench.publish(Qos::AtMostOnce, 1);
    bench.publish(Qos::AtMostOnce, 2);
    assert!(bench.client.is_full());
    assert_eq!(bench.client.publish(NOW, Message::new("t", "3"), None), Err(Error::QueueFull));
    assert_eq!(bench.connect(false, ConnAckProperties::default()).len(), 2);
    assert!(!bench.client.is_full());

    let mut bench = Bench::new(Config { queue_bytes_max: 10_000, ..v5() });
    assert_eq!(bench.client.publish(NOW, Message::new("t", vec![0; 10_000]), None), Err(Error::QueueFull));
    assert_eq!(bench.client.publish(NOW, Message::new("t", vec![0; 1000]), None), Ok(()));
    bench.connect(false, ConnAckProperties::default());
    assert_eq!(
        bench.client.publish(NOW, Message::new("t", vec![0; 20_000]), None),
        Ok(()),
        "it passes through"
    );

    // No queue at all: what can go at once goes.
    let mut bench = Bench::new(Config { queue_len_max: 0, inflight_max: Some(1), ..v5() });
    assert_eq!(bench.client.publish(NOW, Message::new("t", ""), None), Err(Error::QueueFull));
    bench.connect(false, ConnAckProperties::default());
    bench.publish(Qos::AtLeastOnce, 1);
    bench.publish(Qos::AtLeastOnce, 2);
    assert!(bench.client.is_full());
    assert_eq!(bench.client.publish(NOW, Message::new("t", ""), None), Err(Error::QueueFull));
}

#[test]
fn what_the_server_does_not_take_fails_here() {
    let mut bench = Bench::online_with(
        v5(),
        ConnAckProperties {
            maximum_qos: Some(1),
            retain_available: Some(false),
            maximum_packet_size: Some(100),
            subscription_ids_available: Some(false),
            wildcard_subscription_available: Some(false),
            shared_subscription_available: Some(false),
            ..ConnAckProperties::default()
        },
    );
    let alias = Properties { topic_alias: Some(1), ..Properties::default() };
    bench.publish(Qos::ExactlyOnce, 1);
    bench.client.publish(NOW, Message::new("t", "").retain(true), Some(2)).unwrap();
    bench.client.publish(NOW, Message::new("t", vec![0; 100]).qos(Qos::AtLeastOnce), Some(3)).unwrap();
    bench.client.publish(NOW, Message::new("t", "").properties(alias), Some(4)).unwrap();
    let filter = |f: &str| Subscribe::from(&[Subscription::new(f, Qos::AtMostOnce)][..]);
    bench.client.subscribe(NOW, filter("#"), 5).unwrap();
    bench.client.subscribe(NOW, filter("$share/g/a"), 6).unwrap();
    bench.client.subscribe(NOW, Subscribe { id: Some(1), ..filter("a") }, 7).unwrap();
    let (events, sent) = bench.events_and_sent();
    assert_eq!(sent, []);
    let errors: Vec<_> = events.iter().filter_map(pending_error).cloned().collect();
    assert_eq!(
        errors,
        [
            Error::Unsupported(ReasonCode::QosNotSupported),
            Error::Unsupported(ReasonCode::RetainNotSupported),
            Error::TooLarge { size: 108, limit: 100 },
            Error::Unsupported(ReasonCode::TopicAliasInvalid),
            Error::Unsupported(ReasonCode::WildcardSubscriptionsNotSupported),
            Error::Unsupported(ReasonCode::SharedSubscriptionsNotSupported),
            Error::Unsupported(ReasonCode::SubscriptionIdentifiersNotSupported),
        ]
    );
}

#[test]
fn requests_that_are_wrong_in_themselves() {
    let mut bench = Bench::online(v5());
    let invalid = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    for topic in ["", "a/#", "a\0"] {
        invalid(bench.client.publish(NOW, Message::new(topic, ""), None));
    }
    let filter = |f: &str| Subscribe::from(&[Subscription::new(f, Qos::AtMostOnce)][..]);
    invalid(bench.client.subscribe(NOW, Subscribe::default(), 1));
    invalid(bench.client.subscribe(NOW, filter("a#"), 1));
    invalid(bench.client.subscribe(NOW, filter("$share//a"), 1));
    invalid(bench.client.subscribe(NOW, Subscribe { id: Some(0), ..filter("a") }, 1));
    let greedy = [Subscription::new("$share/g/a", Qos::AtMostOnce).no_local(true)];
    invalid(bench.client.subscribe(NOW, greedy[..].into(), 1));
    invalid(bench.client.unsubscribe(NOW, Unsubscribe::default(), 1));
    invalid(bench.client.auth(NOW, ReasonCode::ReAuthenticate, None));
    assert_eq!(bench.sent(), []);
    let long = Properties { content_type: Some("x".repeat(70_000)), ..Properties::default() };
    bench.client.publish(NOW, Message::new("t", "").properties(long), Some(1)).unwrap();
    assert!(matches!(pending_error(&bench.events()[0]), Some(Error::Invalid(_))));
    let mut bench = Bench::new(Config { client_id: "x".repeat(70_000), ..v5() });
    invalid(bench.client.handle_connected(NOW));
}

#[test]
fn message_expiry_runs_while_it_waits() {
    let mut bench = Bench::new(v5());
    for (token, expiry) in [(1, 5), (2, 20), (3, 0)] {
        let properties = Properties { message_expiry: Some(expiry), ..Properties::default() };
        bench.client.publish(NOW, Message::new("t", "").properties(properties), Some(token)).unwrap();
    }
    bench.later(Duration::from_secs(5));
    bench.client.handle_connected(bench.now).unwrap();
    bench.feed(&connack(false, ConnAckProperties::default()));
    let mut out = Vec::new();
    bench.client.poll_output(bench.now, &mut out);
    let events = bench.events();
    let expired: Vec<_> = events.iter().filter(|e| pending_error(e) == Some(&Error::Expired)).collect();
    assert_eq!(expired.len(), 2, "{events:?}");
    let left: [u8; 5] = [2, 0, 0, 0, 15];
    assert!(out.windows(5).any(|w| w == left), "the expiry sent is what is left of it: {out:?}");
}

#[test]
fn incoming_qos_2_is_delivered_once() {
    let mut bench = Bench::online(durable());
    let message = publish("a", Qos::ExactlyOnce, 5, None);
    let received = PacketNote::PubRec { packet_id: 5, reason: ReasonCode::Success };
    bench.feed(&message);
    let (events, sent) = bench.events_and_sent();
    assert!(matches!(&events[..], [Event::Message(m)] if m.ack.is_none()));
    assert_eq!(sent, std::slice::from_ref(&received));
    bench.client.handle_disconnected();
    bench.connect(true, ConnAckProperties::default());
    bench.feed(&message);
    assert_eq!(bench.events_and_sent(), (vec![], vec![received]));
    bench.feed(&ack(PacketType::PubRel, 5, ReasonCode::Success));
    bench.feed(&ack(PacketType::PubRel, 5, ReasonCode::Success));
    assert_eq!(
        bench.sent(),
        [
            PacketNote::PubComp { packet_id: 5, reason: ReasonCode::Success },
            PacketNote::PubComp { packet_id: 5, reason: ReasonCode::PacketIdentifierNotFound }
        ]
    );
    bench.feed(&message);
    assert_eq!(bench.events().len(), 1, "a new message under an old id");
}

#[test]
fn more_than_receive_maximum_is_a_violation() {
    let mut bench = Bench::online(Config { receive_maximum: Some(2), ..v5() });
    for n in 1..=2 {
        bench.feed(&publish("a", Qos::ExactlyOnce, n, None));
    }
    bench.feed(&ack(PacketType::PubRel, 1, ReasonCode::Success));
    bench.feed(&publish("a", Qos::ExactlyOnce, 3, None));
    assert_eq!(closed(&bench.events()), None);
    bench.feed(&publish("a", Qos::AtLeastOnce, 4, None));
    assert!(matches!(closed(&bench.events()), Some(Error::Protocol(_))));
    // unless some more are tolerated
    let config = Config { receive_maximum: Some(1), receive_tolerance: 1, ..v5() };
    let mut bench = Bench::online(config);
    for n in 1..=2 {
        bench.feed(&publish("a", Qos::ExactlyOnce, n, None));
    }
    assert_eq!(closed(&bench.events()), None);
    bench.feed(&publish("a", Qos::ExactlyOnce, 3, None));
    assert!(matches!(closed(&bench.events()), Some(Error::Protocol(_))));
}

#[test]
fn manual_acknowledgement() {
    let mut bench = Bench::online(Config { manual_ack: true, ..durable() });
    let mut tokens = Vec::new();
    for (qos, n) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
        bench.feed(&publish("a", qos, n, None));
        let (events, sent) = bench.events_and_sent();
        assert_eq!(sent, []);
        let [Event::Message(message)] = &events[..] else { panic!("{events:?}") };
        tokens.extend(message.ack);
    }
    assert_eq!(tokens.len(), 2);
    for token in &tokens {
        bench.client.ack(NOW, *token);
        bench.client.ack(NOW, *token);
    }
    assert_eq!(
        bench.sent(),
        [
            PacketNote::PubAck { packet_id: 1, reason: ReasonCode::Success },
            PacketNote::PubRec { packet_id: 2, reason: ReasonCode::Success }
        ]
    );
    // A token is good once, even if its packet id is in use again.
    bench.feed(&publish("a", Qos::AtLeastOnce, 1, None));
    bench.client.ack(NOW, tokens[0]);
    assert_eq!(bench.sent(), []);
}

/// A copy of a message, as a server sends it over another connection.
fn copy(qos: Qos, packet_id: u16) -> Packet<'static> {
    match publish("a", qos, packet_id, None) {
        Packet::Publish(p) => Packet::Publish(Publish { dup: true, ..p }),
        packet => packet,
    }
}

#[test]
fn manual_acknowledgement_outlives_the_connection() {
    for (qos, name) in [(Qos::AtLeastOnce, "PubAck"), (Qos::ExactlyOnce, "PubRec")] {
        let mut bench = Bench::online(Config { manual_ack: true, ..durable() });
        let mut tokens = Vec::new();
        for n in 1..=3 {
            bench.feed(&publish("a", qos, n, None));
            let Event::Message(message) = &bench.events()[0] else { panic!() };
            tokens.extend(message.ack);
        }
        bench.client.handle_disconnected();
        bench.client.ack(NOW, tokens[0]);
        bench.connect(true, ConnAckProperties::default());
        // each comes again, and is answered once the user is done with it: before, after
        bench.feed(&copy(qos, 1));
        let (events, sent) = bench.events_and_sent();
        assert_eq!((events.len(), sent.len()), (0, 1), "{sent:?}");
        assert!(format!("{sent:?}").contains(name), "{sent:?}");
        bench.feed(&copy(qos, 2));
        assert_eq!(bench.events_and_sent(), (vec![], vec![]));
        bench.client.ack(NOW, tokens[1]);
        assert_eq!(bench.sent().len(), 1);
        // done with before it comes again
        bench.client.ack(NOW, tokens[2]);
        assert_eq!(bench.sent(), []);
        bench.feed(&copy(qos, 3));
        assert_eq!(bench.sent().len(), 1);
    }
}

#[test]
fn manual_acknowledgement_of_what_the_server_has_forgotten() {
    let mut bench = Bench::online(Config { manual_ack: true, ..durable() });
    let deliver = |bench: &mut Bench| {
        bench.feed(&publish("a", Qos::AtLeastOnce, 7, None));
        let Event::Message(message) = &bench.events()[0] else { panic!() };
        message.ack.unwrap()
    };
    let first = deliver(&mut bench);
    bench.client.handle_disconnected();
    bench.connect(true, ConnAckProperties::default());
    // no copy: another message under the same id
    let second = deliver(&mut bench);
    bench.client.handle_disconnected();
    bench.connect(false, ConnAckProperties::default());
    let third = deliver(&mut bench);
    bench.client.ack(NOW, first);
    bench.client.ack(NOW, second);
    assert_eq!(bench.sent(), []);
    bench.client.ack(NOW, third);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_server_of_3_x_refuses_in_its_own_words() {
    let mut bench = Bench::new(v5());
    bench.client.handle_connected(NOW).unwrap();
    bench.client.handle_input(NOW, &[0x20, 2, 0, 1]);
    let events = bench.events();
    let refused =
        |e: &Event| matches!(e, Event::Refused(r) if r.reason == ReasonCode::UnsupportedProtocolVersion);
    assert!(events.iter().any(refused), "{events:?}");
}

#[test]
fn messages_are_made_to_fit_where_that_is_wanted() {
    let limits = ConnAckProperties {
        maximum_qos: Some(0),
        retain_available: Some(false),
        ..ConnAckProperties::default()
    };
    for (adapt, outgoing_packet_max) in [(true, None), (false, None), (true, Some(10))] {
        let mut bench = Bench::new(Config { outgoing_packet_max, adapt, ..v5() });
        bench.connect(false, limits.clone());
        let message = Message::new("a", "12345").qos(Qos::AtLeastOnce).retain(true);
        bench.client.publish(NOW, message, Some(1)).unwrap();
        let (events, sent) = bench.events_and_sent();
        let Some(Event::Published { result, .. }) = events.last() else { panic!("{events:?}") };
        match outgoing_packet_max {
            Some(limit) => assert_eq!(*result, Err(Error::TooLarge { size: 11, limit })),
            None if adapt => {
                let [PacketNote::Publish { qos, retain, .. }] = &sent[..] else { panic!("{sent:?}") };
                assert_eq!((*qos, *retain, result.is_ok()), (Qos::AtMostOnce, false, true));
            }
            None => assert!(matches!(result, Err(Error::Unsupported(_)))),
        }
    }
}

#[test]
fn aliases_of_the_server_last_for_the_connection() {
    let mut bench = Bench::online(Config { topic_alias_maximum: 2, ..durable() });
    bench.feed(&publish("long/topic", Qos::AtMostOnce, 0, Some(2)));
    bench.feed(&publish("", Qos::AtMostOnce, 0, Some(2)));
    bench.feed(&publish("other", Qos::AtMostOnce, 0, Some(2)));
    bench.feed(&publish("", Qos::AtMostOnce, 0, Some(2)));
    let topics: Vec<_> = bench
        .events()
        .into_iter()
        .map(|e| if let Event::Message(m) = e { m.message.topic } else { panic!("{e:?}") })
        .collect();
    assert_eq!(topics, ["long/topic", "long/topic", "other", "other"]);
    bench.client.handle_disconnected();
    bench.connect(true, ConnAckProperties::default());
    bench.feed(&publish("", Qos::AtMostOnce, 0, Some(2)));
    assert!(matches!(closed(&bench.events()), Some(Error::Protocol(_))));
}

#[test]
fn properties_arrive_whole() {
    let mut bench = Bench::online(v5());
    let user = [("k".to_owned(), "v".to_owned())];
    bench.feed(&Packet::Publish(Publish {
        dup: true,
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: "a",
        packet_id: Some(id(1)),
        properties: PublishProperties {
            payload_format: Some(true),
            message_expiry: Some(9),
            response_topic: Some("r"),
            correlation_data: Some(b"c"),
            subscription_ids: SubscriptionIds::List(&[1, 2]),
            content_type: Some("t"),
            user: grovemq_codec::UserProperties::List(&user),
            topic_alias: None,
        },
        raw_properties: &[],
        payload: b"p",
    }));
    let Event::Message(received) = &bench.events()[0] else { panic!() };
    let expected = Message::new("a", "p").qos(Qos::AtLeastOnce).retain(true).properties(Properties {
        payload_format: Some(true),
        message_expiry: Some(9),
        topic_alias: None,
        response_topic: Some("r".into()),
        correlation_data: Some(b"c".to_vec()),
        subscription_ids: vec![1, 2],
        content_type: Some("t".into()),
        user: user.to_vec(),
    });
    assert_eq!(received.message, expected);
    assert!(received.dup);
}

#[test]
fn subscriptions_are_renewed_only_on_a_new_session() {
    let mut bench = Bench::online(durable());
    let request = [Subscription::new("a", Qos::AtMostOnce), Subscription::new("b", Qos::AtLeastOnce)];
    bench.client.subscribe(NOW, request[..].into(), 1).unwrap();
    bench.client.subscribe(NOW, [Subscription::new("c", Qos::AtMostOnce)][..].into(), 2).unwrap();
    bench.feed(&suback(1, &[ReasonCode::Success, ReasonCode::NotAuthorized]));
    bench.feed(&suback(2, &[ReasonCode::Success]));
    let events = bench.events();
    let codes = vec![ReasonCode::Success, ReasonCode::NotAuthorized];
    assert_eq!(events[0], Event::Subscribed { token: 1, result: Ok(codes) });
    let request = Unsubscribe { filters: vec!["c".into()], ..Unsubscribe::default() };
    bench.client.unsubscribe(NOW, request, 3).unwrap();
    bench.feed(&unsuback(3, &[ReasonCode::NoSubscriptionExisted]));
    bench.client.handle_disconnected();
    bench.events();
    assert_eq!(bench.connect(true, ConnAckProperties::default()), []);
    bench.client.handle_disconnected();
    let sent = bench.connect(false, ConnAckProperties::default());
    let [PacketNote::Subscribe { packet_id, filters }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(filters.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["a"]);
    bench.feed(&suback(*packet_id, &[ReasonCode::NotAuthorized]));
    let lost = Event::SubscriptionLost { filter: "a".into(), reason: ReasonCode::NotAuthorized };
    assert_eq!(bench.events(), [lost]);
    bench.client.handle_disconnected();
    assert_eq!(bench.connect(false, ConnAckProperties::default()), []);
}

#[test]
fn many_subscriptions_are_renewed_in_pieces_by_identifier() {
    let mut bench = Bench::online(durable());
    for (token, subscription_id) in [(1, None), (2, Some(9))] {
        let subscriptions: Vec<_> =
            (0..150).map(|n| Subscription::new(format!("{token}/{n}"), Qos::AtMostOnce)).collect();
        let request = Subscribe { subscriptions, id: subscription_id, user: Vec::new() };
        bench.client.subscribe(NOW, request, token).unwrap();
        bench.feed(&suback(u16::try_from(token).unwrap(), &[ReasonCode::Success; 150]));
    }
    bench.client.handle_disconnected();
    bench.events();
    let sent = bench.connect(false, ConnAckProperties::default());
    let sizes: Vec<_> = sent
        .iter()
        .map(|n| if let PacketNote::Subscribe { filters, .. } = n { filters.len() } else { panic!("{n:?}") })
        .collect();
    assert_eq!(sizes, [100, 50, 100, 50]);
    // A connection that breaks again must not double them.
    bench.client.handle_disconnected();
    assert_eq!(bench.connect(false, ConnAckProperties::default()).len(), 4);
}

#[test]
fn requests_under_way_survive_a_lost_connection() {
    let mut bench = Bench::online(v311());
    bench.client.subscribe(NOW, [Subscription::new("a", Qos::AtMostOnce)][..].into(), 1).unwrap();
    let gone = Unsubscribe { filters: vec!["a".into()], ..Unsubscribe::default() };
    bench.client.unsubscribe(NOW, gone, 2).unwrap();
    assert_eq!(bench.sent().len(), 2);
    bench.client.handle_disconnected();
    let sent = bench.connect(false, ConnAckProperties::default());
    assert!(
        matches!(&sent[..], [PacketNote::Subscribe { .. }, PacketNote::Unsubscribe { packet_id: 4, .. }]),
        "{sent:?}"
    );
    bench.feed(&unsuback(4, &[]));
    assert_eq!(bench.events(), [Event::Unsubscribed { token: 2, result: Ok(vec![ReasonCode::Success]) }]);
}

#[test]
fn keep_alive_is_the_servers_if_it_says_so() {
    let keep_alive = |n| ConnAckProperties { server_keep_alive: Some(n), ..ConnAckProperties::default() };
    let mut bench = Bench::online_with(v5(), keep_alive(10));
    assert_eq!(bench.client.next_timeout(), Some(Time(10_000)));
    bench.later(Duration::from_secs(10));
    bench.client.handle_timeout(bench.now);
    assert_eq!(bench.sent(), [PacketNote::PingReq]);
    bench.feed(&Packet::PingResp);
    assert_eq!(bench.client.next_timeout(), Some(Time(20_000)));
    bench.later(Duration::from_secs(10));
    bench.client.handle_timeout(bench.now);
    // Silence now is death after the ping timeout.
    bench.later(Duration::from_secs(20));
    bench.client.handle_timeout(bench.now);
    assert_eq!(closed(&bench.events()), Some(&Error::Timeout(PacketType::PingResp)));
}

#[test]
fn a_server_that_never_answers_connect() {
    let mut bench = Bench::new(v5());
    bench.client.handle_connected(NOW).unwrap();
    assert_eq!(bench.client.next_timeout(), Some(Time(10_000)));
    bench.later(Duration::from_secs(10));
    bench.client.handle_timeout(bench.now);
    assert_eq!(closed(&bench.events()), Some(&Error::Timeout(PacketType::ConnAck)));
}

/// The clean-start flag as CONNECT has it.
fn connect_clean(bench: &mut Bench) -> (bool, String) {
    bench.client.handle_connected(NOW).unwrap();
    let mut out = Vec::new();
    bench.client.poll_output(NOW, &mut out);
    let frame = decode_frame(&out, 10_000).unwrap().unwrap();
    let connect = grovemq_codec::Connect::parse(&frame).unwrap();
    (connect.clean_start, connect.client_id.to_owned())
}

#[test]
fn reconnections_keep_the_session_and_the_assigned_id() {
    let assigned = ConnAckProperties { assigned_client_id: Some("given"), ..ConnAckProperties::default() };
    for (expiry, clean_later) in [(None, true), (Some(0), true), (Some(60), false)] {
        let mut bench = Bench::new(Config { client_id: String::new(), session_expiry: expiry, ..v5() });
        assert_eq!(connect_clean(&mut bench), (true, String::new()));
        bench.feed(&connack(false, assigned.clone()));
        bench.client.handle_disconnected();
        assert_eq!(connect_clean(&mut bench), (clean_later, "given".to_owned()));
        assert_eq!(bench.client.client_id(), "given");
    }
    let mut bench = Bench::online(v311());
    bench.client.handle_disconnected();
    assert!(connect_clean(&mut bench).0, "in 3.1.1 a clean session is one each time");
}

#[test]
fn disconnect_says_what_was_asked() {
    let mut bench = Bench::online(v5());
    let request = Disconnect { reason: ReasonCode::DisconnectWithWill, ..Disconnect::default() };
    bench.client.disconnect(&request).unwrap();
    let (events, sent) = bench.events_and_sent();
    assert_eq!(sent, [PacketNote::Disconnect { reason: ReasonCode::DisconnectWithWill }]);
    assert_eq!(closed(&events), Some(&Error::Closed));
}

#[test]
fn large_queue_becomes_output_in_pieces() {
    let mut bench = Bench::new(Config { queue_len_max: 1 << 20, queue_bytes_max: 1 << 30, ..v5() });
    for _ in 0..100 {
        bench.client.publish(NOW, Message::new("t", vec![0; 100_000]), None).unwrap();
    }
    bench.client.handle_connected(NOW).unwrap();
    bench.feed(&connack(false, ConnAckProperties::default()));
    let (mut out, mut total) = (Vec::new(), 0);
    while bench.client.poll_output(NOW, &mut out) {
        assert!(out.len() < 512 << 10, "{}", out.len());
        total += out.len();
        out.clear();
    }
    assert!(total > 10_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No bytes whatever make it panic, and how they are cut up makes no difference.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200, online: bool) {
        let run = |cuts: &[usize]| {
            let mut bench = Bench::new(Config { topic_alias_maximum: 3, ..v5() });
            bench.client.handle_connected(NOW).unwrap();
            if online {
                bench.feed(&connack(false, ConnAckProperties::default()));
            }
            let mut taken = 0;
            for &end in cuts {
                let end = end.min(bytes.len());
                if taken < end {
                    taken += bench.client.handle_input(NOW, &bytes[taken..end]);
                }
            }
            bench.events_and_sent()
        };
        prop_assert_eq!(run(&[bytes.len()]), run(&[cut, bytes.len()]));
    }

    /// A faithful server over a link that breaks at any byte, with sessions that are kept: QoS 2 arrives exactly
    /// once, QoS 1 at least once, each in order.
    #[test]
    fn delivery_survives_broken_links(
        qos in prop::collection::vec(0_u8..3, 1..40),
        breaks in prop::collection::vec((0_usize..400, any::<bool>()), 0..12),
        receive_maximum in 1_u16..5,
    ) {
        let mut bench = Bench::new(durable());
        let mut server = Server::new(receive_maximum);
        for (n, &level) in qos.iter().enumerate() {
            let level = Qos::from_u8(level).unwrap();
            bench.publish(level, n as u64);
        }
        let mut done = BTreeSet::new();
        for breaking in breaks.into_iter().map(Some).chain([None]) {
            server.exchange(&mut bench, breaking, &mut done);
        }
        let published: Vec<(u64, u8)> = qos.iter().enumerate().map(|(n, &q)| (n as u64, q)).collect();
        for &(n, level) in &published {
            let count = server.seen.iter().filter(|&&seen| seen == n).count();
            match level {
                0 => prop_assert!(count <= 1),
                1 => prop_assert!(count >= 1),
                _ => prop_assert_eq!(count, 1),
            }
            prop_assert!(done.contains(&n), "{} never ended", n);
        }
        for level in [1, 2] {
            let mut first = BTreeMap::new();
            for (at, n) in server.seen.iter().enumerate() {
                first.entry(*n).or_insert(at);
            }
            let order: Vec<_> = published.iter().filter(|p| p.1 == level).map(|p| first[&p.0]).collect();
            prop_assert!(order.is_sorted(), "level {}: {:?}", level, order);
        }
        prop_assert!(bench.client.is_drained());
    }
}

/// Takes publications as the specification wants it, and keeps the session.
struct Server {
    receive_maximum: u16,
    known: bool,
    /// Ids between PUBLISH and PUBREL.
    unreleased: BTreeSet<u16>,
    /// The payloads passed on.
    seen: Vec<u64>,
}

impl Server {
    fn new(receive_maximum: u16) -> Self {
        Self { receive_maximum, known: false, unreleased: BTreeSet::new(), seen: Vec::new() }
    }

    /// One connection: until nothing moves, or until so many bytes have gone one way (true: to the server).
    fn exchange(&mut self, bench: &mut Bench, breaking: Option<(usize, bool)>, done: &mut BTreeSet<u64>) {
        bench.client.handle_connected(bench.now).unwrap();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let (mut room_up, mut room_down) = match breaking {
            Some((at, true)) => (at, usize::MAX),
            Some((at, false)) => (usize::MAX, at),
            None => (usize::MAX, usize::MAX),
        };
        loop {
            let before = (up.len(), room_up, room_down, done.len());
            let mut out = Vec::new();
            bench.client.poll_output(bench.now, &mut out);
            let passing = out.len().min(room_up);
            room_up -= passing;
            up.extend_from_slice(&out[..passing]);
            let mut answers = Vec::new();
            self.take(&mut up, &mut answers);
            let passing = answers.len().min(room_down);
            room_down -= passing;
            down.extend_from_slice(&answers[..passing]);
            let taken = bench.client.handle_input(bench.now, &down);
            down.drain(..taken);
            while let Some(event) = bench.client.poll_event() {
                match event {
                    Event::Published { token, result } => {
                        assert!(result.is_ok(), "{result:?}");
                        done.insert(token);
                    }
                    Event::Closed(error) => panic!("{error}"),
                    _ => {}
                }
            }
            if (up.len(), room_up, room_down, done.len()) == before && out.is_empty() {
                break;
            }
            if room_up == 0 || room_down == 0 {
                break;
            }
        }
        if breaking.is_some() {
            bench.client.handle_disconnected();
        }
    }

    fn take(&mut self, input: &mut Vec<u8>, out: &mut Vec<u8>) {
        let mut taken = 0;
        while let Some(frame) = decode_frame(&input[taken..], 1 << 20).unwrap() {
            taken += frame.len();
            let answer = match Packet::parse(&frame, Version::V5).unwrap() {
                Packet::Connect(_) => {
                    let limit = Some(self.receive_maximum);
                    let properties =
                        ConnAckProperties { receive_maximum: limit, ..ConnAckProperties::default() };
                    connack(std::mem::replace(&mut self.known, true), properties)
                }
                Packet::Publish(publish) => {
                    let payload = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
                    let kind = match publish.qos {
                        Qos::AtMostOnce => {
                            self.seen.push(payload);
                            continue;
                        }
                        Qos::AtLeastOnce => {
                            self.seen.push(payload);
                            PacketType::PubAck
                        }
                        Qos::ExactlyOnce => {
                            if self.unreleased.insert(publish.packet_id.unwrap().get()) {
                                self.seen.push(payload);
                            }
                            assert!(self.unreleased.len() <= usize::from(self.receive_maximum));
                            PacketType::PubRec
                        }
                    };
                    ack(kind, publish.packet_id.unwrap().get(), ReasonCode::Success)
                }
                Packet::PubRel(release) => {
                    self.unreleased.remove(&release.packet_id.get());
                    ack(PacketType::PubComp, release.packet_id.get(), ReasonCode::Success)
                }
                other => panic!("{other:?}"),
            };
            out.extend(encode(Version::V5, &answer));
        }
        input.drain(..taken);
    }
}
