//! What the targets have in common.

mod broker;
pub mod model;

pub use broker::{Broker, Stream};

use grovemq_codec::{Packet, PublishProperties, Version, decode_frame};
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

/// All of a store as JSON lines.
pub fn exported(store: &mut dyn Store) -> Vec<u8> {
    let mut lines = Vec::new();
    grovemq_store::export(store, UNIX_EPOCH, &mut lines).expect("memory does not fail");
    lines
}
