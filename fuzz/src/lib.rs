//! What the targets have in common.

mod broker;
pub mod model;

pub use broker::{Broker, Stream};

use grovemq_codec::{
    Packet, PublishProperties, PublishRun, PublishView, Qos, RunLimits, Version, decode_frame,
};
use grovemq_store::Store;
use std::time::UNIX_EPOCH;

const LIMIT: u32 = 1 << 20;

/// Takes the bytes as a stream of packets. What parses must write, and what was written must be the same packet.
pub fn round_trip(mut stream: &[u8], version: Version) {
    while let Ok(Some(frame)) = decode_frame(stream, LIMIT) {
        stream = &stream[frame.len()..];
        let Ok(packet) = Packet::parse(&frame, version) else { continue };
        // CONNECT brings its own version.
        let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
        check(&packet, version);
    }
}

fn check(packet: &Packet<'_>, version: Version) {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("what parses can be written");
    assert_eq!(packet.encoded_len(version), Ok(bytes.len()));

    let frame = decode_frame(&bytes, u32::MAX).expect("a good header").expect("a whole packet");
    assert_eq!(frame.len(), bytes.len());
    let again = Packet::parse(&frame, version).expect("what is written parses");
    assert_eq!(&again, packet);

    let mut bytes_again = Vec::new();
    again.encode(version, &mut bytes_again).expect("what parses can be written");
    assert_eq!(bytes_again, bytes, "the written form does not change any more");

    if let Packet::Publish(publish) = packet {
        let properties =
            PublishProperties::read(publish.raw_properties).expect("a block that has been read once");
        assert_eq!(properties, publish.properties);
    }
}

/// Gathers runs wherever a PUBLISH begins: they must be what parsing packet by packet gives.
pub fn runs(mut stream: &[u8], version: Version) {
    let limits = RunLimits { bytes_max: 512, packet_bytes_max: 300, payload_bytes_max: 200 };
    while let Ok(Some(first)) = decode_frame(stream, LIMIT) {
        if let Ok(view) = PublishView::parse(&first, version)
            && let Some(run) = PublishRun::gather(stream, &first, &view, version, limits)
        {
            check_run(stream, &view, &run, version, limits);
            for packets in 1..run.shape().packets {
                let part = run.first(usize::MAX, packets);
                assert_eq!(part.shape().packets, packets);
                let all = RunLimits { bytes_max: part.bytes().len(), ..limits };
                assert_eq!(PublishRun::gather(stream, &first, &view, version, all), Some(part));
                assert_eq!(run.first(part.bytes().len(), u32::MAX), part);
            }
        }
        stream = &stream[first.len()..];
    }
}

fn check_run(
    stream: &[u8],
    first: &PublishView<'_>,
    run: &PublishRun<'_>,
    version: Version,
    limits: RunLimits,
) {
    let shape = run.shape();
    assert!(stream.starts_with(run.bytes()));
    assert!(run.bytes().len() <= limits.bytes_max || shape.packets == 1);
    assert_eq!((run.topic(), shape.v5), (first.topic, version == Version::V5));
    let (properties, mut payloads) = run.payloads();
    assert_eq!(properties, first.raw_properties);
    let mut rest = run.bytes();
    let (mut packets, mut bytes, mut largest) = (0, 0, 0);
    while !rest.is_empty() {
        let frame = decode_frame(rest, LIMIT).expect("a good header").expect("a whole packet");
        let view = PublishView::parse(&frame, version).expect("a PUBLISH");
        assert_eq!((view.topic, view.raw_properties), (first.topic, first.raw_properties));
        assert_eq!((view.qos, view.retain, view.dup), (Qos::AtMostOnce, false, false));
        assert_eq!(payloads.next(), Some(view.payload));
        assert!(frame.len() <= limits.packet_bytes_max && view.payload.len() <= limits.payload_bytes_max);
        // the number of a subscription may be spelt longer, but no client may send one
        if let Ok(properties) = view.properties()
            && properties.subscription_ids.is_empty()
        {
            let mut again = Vec::new();
            Packet::Publish(view.with(properties))
                .encode(version, &mut again)
                .expect("what parses can be written");
            assert_eq!(again.len(), frame.len(), "lengths are as short as they can be");
        }
        (packets, bytes, largest) = (packets + 1, bytes + view.payload.len(), largest.max(frame.len()));
        rest = &rest[frame.len()..];
    }
    assert_eq!(payloads.next(), None);
    let found = (shape.packets as usize, shape.payload_bytes as usize, shape.packet_bytes_max as usize);
    assert_eq!(found, (packets, bytes, largest));
}

/// All of a store as JSON lines.
pub fn exported(store: &mut dyn Store) -> Vec<u8> {
    let mut lines = Vec::new();
    grovemq_store::export(store, UNIX_EPOCH, &mut lines).expect("memory does not fail");
    lines
}
