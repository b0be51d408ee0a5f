//! Clients made of bytes: one that listens and acknowledges, one that says something and waits for the answer.

use grovemq_codec::{Packet, PacketType, Qos, Version, decode_frame};
use grovemq_tests::peer::Peer;

pub(crate) struct Ears {
    peer: Peer,
}

impl Ears {
    /// Subscribes to these filters with QoS 2.
    #[track_caller]
    pub(crate) fn on(port: u16, filters: &[&str]) -> Self {
        let mut peer = Peer::v3(port, &format!("ears-{port}-{}", filters.join("").len()));
        // in one packet: retained messages follow the answer
        let mut body = vec![0, 1];
        for filter in filters {
            body.extend_from_slice(&u16::try_from(filter.len()).unwrap().to_be_bytes());
            body.extend_from_slice(filter.as_bytes());
            body.push(2);
        }
        let mut packet = vec![0x82, u8::try_from(body.len()).unwrap()];
        packet.append(&mut body);
        peer.send_bytes(&packet);
        assert_eq!(peer.packet()[..4], [0x90, u8::try_from(2 + filters.len()).unwrap(), 0, 1]);
        Self { peer }
    }

    /// What was heard before a message with this payload: topics and payloads, `!` before what is retained.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let bytes = self.peer.packet();
            let frame = decode_frame(&bytes, u32::MAX).unwrap().unwrap();
            let id = |frame: &[u8]| u16::from_be_bytes([frame[0], frame[1]]);
            match Packet::parse(&frame, Version::V311).unwrap() {
                Packet::Publish(publish) => {
                    let payload = String::from_utf8_lossy(publish.payload).into_owned();
                    match (publish.qos, publish.packet_id) {
                        (Qos::AtLeastOnce, Some(id)) => self.answer(0x40, id.get()),
                        (Qos::ExactlyOnce, Some(id)) => self.answer(0x50, id.get()),
                        _ => {}
                    }
                    if payload == end {
                        return heard;
                    }
                    let mark = if publish.retain { "!" } else { "" };
                    heard.push(format!("{mark}{} {payload}", publish.topic));
                }
                _ if frame.kind == PacketType::PubRel => self.answer(0x70, id(frame.body)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn answer(&mut self, kind: u8, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.peer.send_bytes(&[kind, 2, high, low]);
    }
}

/// A client that says things, one after the other.
pub(crate) struct Mouth {
    peer: Peer,
    last_id: u16,
}

impl Mouth {
    #[track_caller]
    pub(crate) fn at(port: u16) -> Self {
        Self { peer: Peer::v3(port, "mouth"), last_id: 0 }
    }

    /// Publishes, and waits until the broker has taken it over.
    #[track_caller]
    pub(crate) fn say(&mut self, qos: u8, topic: &str, payload: &str) {
        self.publish(qos, false, topic, payload);
    }

    #[track_caller]
    pub(crate) fn keep(&mut self, topic: &str, payload: &str) {
        self.publish(1, true, topic, payload);
    }

    #[track_caller]
    fn publish(&mut self, qos: u8, retain: bool, topic: &str, payload: &str) {
        self.last_id += 1;
        let [high, low] = self.last_id.to_be_bytes();
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        if qos > 0 {
            body.extend_from_slice(&[high, low]);
        }
        body.extend_from_slice(payload.as_bytes());
        assert!(body.len() < 128);
        let mut packet = vec![0x30 | qos << 1 | u8::from(retain), u8::try_from(body.len()).unwrap()];
        packet.extend_from_slice(&body);
        self.peer.send_bytes(&packet);
        match qos {
            0 => self.peer.ping(),
            1 => assert_eq!(self.peer.packet(), [0x40, 2, high, low]),
            _ => {
                assert_eq!(self.peer.packet(), [0x50, 2, high, low]);
                self.peer.send_bytes(&[0x62, 2, high, low]);
                assert_eq!(self.peer.packet(), [0x70, 2, high, low]);
            }
        }
    }
}
