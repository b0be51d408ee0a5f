//! Every packet of every version comes back from its bytes: whole, cut at each byte, and glued to another one.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use grovemq_codec::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, Filters, Packet, PacketType, Publish, PublishProperties, Qos,
    ReasonCode, ReasonCodes, RetainHandling, SubAck, Subscribe, SubscribeOptions, SubscribeProperties,
    SubscriptionIds, Topics, UnsubAck, Unsubscribe, UserProperties, Version, Will, WillProperties,
    decode_frame, frame_len,
};
use proptest::{collection::vec, option::of, prelude::*, sample::select};
use std::num::NonZeroU16;

const LIMIT: u32 = 1 << 20;
const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = b"before".to_vec();
    packet.encode(version, &mut bytes).unwrap();
    assert!(bytes.starts_with(b"before"), "what stood there stays");
    bytes.split_off(6)
}

fn check(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, TestCaseError> {
    let bytes = encode(packet, version);
    prop_assert_eq!(packet.encoded_len(version), Ok(bytes.len()));

    let frame = decode_frame(&bytes, LIMIT).unwrap().unwrap();
    prop_assert_eq!(frame.len(), bytes.len());
    prop_assert_eq!(frame.kind, packet.kind());
    let parsed = Packet::parse(&frame, version).unwrap();
    prop_assert_eq!(&parsed, packet);
    prop_assert_eq!(encode(&parsed, version), bytes.as_slice(), "encoded lists write as they were read");
    if let Packet::Publish(publish) = &parsed {
        prop_assert_eq!(&PublishProperties::read(publish.raw_properties).unwrap(), &publish.properties);
        let mut block = Vec::new();
        publish.properties.write(&mut block).unwrap();
        prop_assert_eq!(&block, publish.raw_properties);
        prop_assert_eq!(publish.properties.encoded_len(), Ok(block.len()));
    }

    for cut in 0..bytes.len() {
        prop_assert_eq!(decode_frame(&bytes[..cut], LIMIT), Ok(None));
        let announced = frame_len(&bytes[..cut], LIMIT).unwrap();
        prop_assert!(announced.is_none_or(|len| len == bytes.len()));
    }
    // Fault A06: the body cut short but the length put right. A shorter packet may be legal; it may not panic.
    let header = frame.len() - frame.body.len();
    for len in 0..frame.body.len().min(127) {
        let mut short = vec![bytes[0], u8::try_from(len).unwrap()];
        short.extend_from_slice(&bytes[header..header + len]);
        let frame = decode_frame(&short, LIMIT).unwrap().unwrap();
        if let Ok(parsed) = Packet::parse(&frame, version) {
            prop_assert_ne!(&parsed, packet);
        }
    }
    Ok(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whole_and_split(packet in select(&VERSIONS[..]).prop_flat_map(|v| (Just(v), any_packet(v)))) {
        check(&packet.1, packet.0)?;
    }

    #[test]
    fn glued_in_pairs(
        (version, first, second) in select(&VERSIONS[..]).prop_flat_map(|v| (Just(v), any_packet(v), any_packet(v)))
    ) {
        let (a, b) = (encode(&first, version), encode(&second, version));
        let glued = [a.as_slice(), b.as_slice()].concat();
        let frame = decode_frame(&glued, LIMIT).unwrap().unwrap();
        prop_assert_eq!(frame.bytes, a.as_slice());
        prop_assert_eq!(Packet::parse(&frame, version).unwrap(), first);
        let frame = decode_frame(&glued[frame.len()..], LIMIT).unwrap().unwrap();
        prop_assert_eq!(Packet::parse(&frame, version).unwrap(), second);
    }

    #[test]
    fn noise_never_panics(kind in 1_u8..16, body in vec(any::<u8>(), 0..60), version in select(&VERSIONS[..])) {
        let flags = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
        let mut bytes = vec![kind << 4 | flags, u8::try_from(body.len()).unwrap()];
        bytes.extend_from_slice(&body);
        let frame = decode_frame(&bytes, LIMIT).unwrap().unwrap();
        if let Ok(packet) = Packet::parse(&frame, version) {
            let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            let again = encode(&packet, version);
            let frame = decode_frame(&again, LIMIT).unwrap().unwrap();
            prop_assert_eq!(Packet::parse(&frame, version).unwrap(), packet);
        }
    }

    /// Lists that were not validated may be built by hand; walking them ends and does not panic.
    #[test]
    fn noise_in_encoded_lists_ends(bytes in vec(any::<u8>(), 0..60), version in select(&VERSIONS[..])) {
        prop_assert!(UserProperties::Encoded(&bytes).iter().count() <= bytes.len());
        prop_assert!(SubscriptionIds::Encoded(&bytes).iter().count() <= bytes.len());
        prop_assert!(Filters::Encoded(&bytes, version).len() <= bytes.len());
        prop_assert!(Topics::Encoded(&bytes).len() <= bytes.len());
        prop_assert!(ReasonCodes::Encoded(&bytes).iter().count() <= bytes.len());
    }

    #[test]
    fn a_will_is_published_with_its_properties(will in will_properties()) {
        let publish = will.as_publish();
        let mut block = Vec::new();
        publish.write(&mut block).unwrap();
        let read = PublishProperties::read(&block).unwrap();
        prop_assert_eq!(&read, &publish);
        prop_assert_eq!(read.user.to_vec(), will.user.to_vec());
        prop_assert_eq!(read.content_type, will.content_type);
    }
}

/// Every kind at least once in each version, whatever the random choice above does.
#[test]
fn every_kind_in_every_version() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for version in VERSIONS {
        for strategy in strategies(version) {
            let packet = strategy.new_tree(&mut runner).unwrap().current();
            check(&packet, version).unwrap();
        }
    }
}

#[test]
fn a_large_publish_has_a_long_header() {
    let payload = vec![b'x'; 3_000_000];
    let packet = Packet::Publish(Publish { topic: "t", payload: &payload, ..Publish::default() });
    let bytes = encode(&packet, Version::V311);
    assert_eq!(&bytes[..5], [0x30, 0xC3, 0x8D, 0xB7, 0x01]);
    assert_eq!(decode_frame(&bytes, u32::MAX).unwrap().unwrap().len(), 3_000_008);
}

/// The cases leak their strings, so that a packet can own what it borrows.
fn leak(text: String) -> &'static str {
    text.leak()
}

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => "[a-zA-Z0-9 ]{0,12}", 1 => "[^\0]{0,8}"].prop_map(leak)
}

fn topic_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => "[a-c/]{1,20}", 1 => "[^\0+#]{1,8}"].prop_map(leak)
}

fn response_topic() -> impl Strategy<Value = &'static str> {
    "[^\0+#]{0,8}".prop_map(leak)
}

fn filter() -> impl Strategy<Value = &'static str> {
    "[a-c/+#]{0,12}".prop_map(leak)
}

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| &*bytes.leak())
}

fn user() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..3).prop_map(|list| {
        let list: Vec<_> =
            list.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        UserProperties::List(list.leak())
    })
}

fn qos() -> impl Strategy<Value = Qos> {
    select(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][..])
}

fn packet_id() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|id| NonZeroU16::new(id).unwrap())
}

fn reason(kind: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes: Vec<_> = ReasonCode::ALL.iter().copied().filter(|code| code.is_allowed_in(kind)).collect();
    select(codes)
}

/// The value in MQTT 5, the default before.
fn if_v5<T: Clone + Default + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if version == Version::V5 { strategy.boxed() } else { Just(T::default()).boxed() }
}

fn authentication() -> impl Strategy<Value = (Option<&'static str>, Option<&'static [u8]>)> {
    of((text(), of(bytes())))
        .prop_map(|both| both.map_or((None, None), |(method, data)| (Some(method), data)))
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties<'static>> {
    let numbers = (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()));
    (numbers, of(any::<bool>()), of(any::<bool>()), authentication(), user()).prop_map(
        |((session_expiry, receive_maximum, maximum_packet_size, topic_alias_maximum), a, b, auth, user)| {
            ConnectProperties {
                session_expiry,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                request_response_information: a,
                request_problem_information: b,
                authentication_method: auth.0,
                authentication_data: auth.1,
                user,
            }
        },
    )
}

fn will_properties() -> impl Strategy<Value = WillProperties<'static>> {
    (
        of(any::<u32>()),
        of(any::<bool>()),
        of(any::<u32>()),
        of(text()),
        of(response_topic()),
        of(bytes()),
        user(),
    )
        .prop_map(
            |(
                delay,
                payload_format,
                message_expiry,
                content_type,
                response_topic,
                correlation_data,
                user,
            )| {
                WillProperties {
                    delay,
                    payload_format,
                    message_expiry,
                    content_type,
                    response_topic,
                    correlation_data,
                    user,
                }
            },
        )
}

fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    (qos(), any::<bool>(), if_v5(version, will_properties()), topic_name(), bytes()).prop_map(
        |(qos, retain, properties, topic, payload)| Will { qos, retain, properties, topic, payload },
    )
}

fn connect(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let client_id = "[a-zA-Z0-9]{1,23}".prop_map(leak);
    (
        any::<bool>().prop_map(move |bridge| bridge && version != Version::V5),
        any::<bool>(),
        any::<u16>(),
        if_v5(version, connect_properties()),
        prop_oneof![9 => client_id, 1 => Just("")],
        of(will(version)),
        of(text()),
        of(bytes()),
    )
        .prop_map(move |(bridge, clean, keep_alive, properties, client_id, will, username, password)| {
            let client_id = if client_id.is_empty() && version == Version::V31 { "a" } else { client_id };
            Packet::Connect(Connect {
                version,
                bridge,
                clean_start: clean || client_id.is_empty(),
                keep_alive,
                properties,
                client_id,
                will,
                username,
                password: password.filter(|_| username.is_some() || version == Version::V5),
            })
        })
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties<'static>> {
    let flags = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let numbers = (of(any::<u32>()), of(1..=u16::MAX), of(0..=1_u8), of(1..=u32::MAX), of(any::<u16>()));
    let texts = (of(text()), of(text()), of(text()), of(text()));
    (flags, numbers, texts, of(any::<u16>()), authentication(), user()).prop_map(
        |(flags, numbers, texts, server_keep_alive, auth, user)| ConnAckProperties {
            session_expiry: numbers.0,
            receive_maximum: numbers.1,
            maximum_qos: numbers.2,
            retain_available: flags.0,
            maximum_packet_size: numbers.3,
            assigned_client_id: texts.0,
            topic_alias_maximum: numbers.4,
            reason_string: texts.1,
            wildcard_subscription_available: flags.1,
            subscription_ids_available: flags.2,
            shared_subscription_available: flags.3,
            server_keep_alive,
            response_information: texts.2,
            server_reference: texts.3,
            authentication_method: auth.0,
            authentication_data: auth.1,
            user,
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let reason = if version == Version::V5 {
        reason(PacketType::ConnAck).boxed()
    } else {
        (0..=5_u8).prop_map(|code| ReasonCode::from_connack_v3(code).unwrap()).boxed()
    };
    (any::<bool>(), reason, if_v5(version, connack_properties())).prop_map(
        move |(session_present, reason, properties)| {
            let session_present = session_present && reason == ReasonCode::Success && version != Version::V31;
            Packet::ConnAck(ConnAck { session_present, reason, properties })
        },
    )
}

fn publish_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    let ids = vec(1..=grovemq_codec::VARINT_MAX, 0..3).prop_map(|ids| SubscriptionIds::List(ids.leak()));
    (will_properties(), of(1..=u16::MAX), ids).prop_map(|(will, topic_alias, subscription_ids)| {
        PublishProperties { topic_alias, subscription_ids, ..will.as_publish() }
    })
}

fn publish(version: Version) -> impl Strategy<Value = Packet<'static>> {
    (
        (any::<bool>(), qos(), any::<bool>(), packet_id()),
        topic_name(),
        any::<bool>(),
        if_v5(version, publish_properties()),
        bytes(),
    )
        .prop_map(|((dup, qos, retain, id), topic, is_short, properties, payload)| {
            Packet::Publish(Publish {
                dup: dup && qos != Qos::AtMostOnce,
                qos,
                retain,
                topic: if is_short && properties.topic_alias.is_some() { "" } else { topic },
                packet_id: (qos != Qos::AtMostOnce).then_some(id),
                properties,
                raw_properties: &[],
                payload,
            })
        })
}

fn ack_properties() -> impl Strategy<Value = AckProperties<'static>> {
    (of(text()), user()).prop_map(|(reason_string, user)| AckProperties { reason_string, user })
}

fn ack(version: Version, kind: PacketType) -> impl Strategy<Value = Packet<'static>> {
    let reason =
        if version == Version::V5 { reason(kind).boxed() } else { Just(ReasonCode::Success).boxed() };
    (packet_id(), reason, if_v5(version, ack_properties())).prop_map(
        move |(packet_id, reason, properties)| {
            let ack = Ack { packet_id, reason, properties };
            match kind {
                PacketType::PubAck => Packet::PubAck(ack),
                PacketType::PubRec => Packet::PubRec(ack),
                PacketType::PubRel => Packet::PubRel(ack),
                _ => Packet::PubComp(ack),
            }
        },
    )
}

fn options(version: Version) -> impl Strategy<Value = SubscribeOptions> {
    let retain = select(&[RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never][..]);
    (qos(), any::<bool>(), any::<bool>(), retain).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| {
            if version == Version::V5 {
                SubscribeOptions { qos, no_local, retain_as_published, retain_handling }
            } else {
                SubscribeOptions::qos(qos)
            }
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let properties = (of(1..=grovemq_codec::VARINT_MAX), user())
        .prop_map(|(subscription_id, user)| SubscribeProperties { subscription_id, user });
    (packet_id(), if_v5(version, properties), vec((filter(), options(version)), 1..4)).prop_map(
        |(packet_id, properties, filters)| {
            Packet::Subscribe(Subscribe { packet_id, properties, filters: Filters::List(filters.leak()) })
        },
    )
}

fn suback(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let code = if version == Version::V5 {
        reason(PacketType::SubAck).boxed()
    } else {
        select(&[0, 1, 2, 0x80][..]).prop_map(|code| ReasonCode::from_u8(code).unwrap()).boxed()
    };
    (packet_id(), if_v5(version, ack_properties()), vec(code, 1..4)).prop_map(
        |(packet_id, properties, codes)| {
            Packet::SubAck(SubAck { packet_id, properties, codes: ReasonCodes::List(codes.leak()) })
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet<'static>> {
    (packet_id(), if_v5(version, user()), vec(filter(), 1..4)).prop_map(
        |(packet_id, user_properties, topics)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                user_properties,
                topics: Topics::List(topics.leak()),
            })
        },
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let codes = vec(reason(PacketType::UnsubAck), 1..4).prop_map(|codes| ReasonCodes::List(codes.leak()));
    (packet_id(), if_v5(version, ack_properties()), if_v5(version, codes)).prop_map(
        |(packet_id, properties, codes)| Packet::UnsubAck(UnsubAck { packet_id, properties, codes }),
    )
}

fn disconnect(version: Version) -> BoxedStrategy<Packet<'static>> {
    if version != Version::V5 {
        let properties = DisconnectProperties::default();
        return Just(Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })).boxed();
    }
    let properties = (of(any::<u32>()), of(text()), of(text()), user()).prop_map(
        |(session_expiry, reason_string, server_reference, user)| DisconnectProperties {
            session_expiry,
            reason_string,
            server_reference,
            user,
        },
    );
    (reason(PacketType::Disconnect), properties)
        .prop_map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties }))
        .boxed()
}

fn auth() -> impl Strategy<Value = Packet<'static>> {
    (reason(PacketType::Auth), authentication(), of(text()), user()).prop_map(
        |(reason, (method, authentication_data), reason_string, user)| {
            let properties = AuthProperties {
                authentication_method: method.or((reason != ReasonCode::Success).then_some("m")),
                authentication_data,
                reason_string,
                user,
            };
            Packet::Auth(Auth { reason, properties })
        },
    )
}

/// One strategy for each kind of packet that the version has.
fn strategies(version: Version) -> Vec<BoxedStrategy<Packet<'static>>> {
    let mut all = vec![
        connect(version).boxed(),
        connack(version).boxed(),
        publish(version).boxed(),
        ack(version, PacketType::PubAck).boxed(),
        ack(version, PacketType::PubRec).boxed(),
        ack(version, PacketType::PubRel).boxed(),
        ack(version, PacketType::PubComp).boxed(),
        subscribe(version).boxed(),
        suback(version).boxed(),
        unsubscribe(version).boxed(),
        unsuback(version).boxed(),
        Just(Packet::PingReq).boxed(),
        Just(Packet::PingResp).boxed(),
        disconnect(version),
    ];
    if version == Version::V5 {
        all.push(auth().boxed());
    }
    all
}

fn any_packet(version: Version) -> impl Strategy<Value = Packet<'static>> {
    proptest::strategy::Union::new(strategies(version))
}
