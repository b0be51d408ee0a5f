//! Everything that leaves the machine: packets for the server, events for the driver.

use super::{Direction, Error, Event, Message, PacketNote};
use grovemq_codec::{
    Ack, AckProperties, EncodeError, Packet, PacketType, Publish, ReasonCode, VARINT_MAX, Version,
};
use std::{collections::VecDeque, num::NonZeroU16};

#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) version: Version,
    pub(super) bytes: Vec<u8>,
    pub(super) events: VecDeque<Event>,
    /// The largest packet the server takes.
    pub(super) limit: u32,
    /// The topics the server knows by an alias on this connection: as many as it allows.
    aliases: Vec<(u16, String)>,
    trace: bool,
}

impl Outlet {
    pub(super) fn new(version: Version, trace: bool) -> Self {
        Self {
            version,
            bytes: Vec::new(),
            events: VecDeque::new(),
            limit: u32::MAX,
            aliases: Vec::new(),
            trace,
        }
    }

    /// A new connection: nothing of the old one's bytes goes over it.
    pub(super) fn restart(&mut self) {
        self.bytes.clear();
        self.aliases.clear(); // [MQTT-3.3.2-7]
        self.limit = VARINT_MAX + 5;
    }

    pub(super) fn publish(
        &mut self,
        message: &Message,
        dup: bool,
        packet_id: Option<NonZeroU16>,
    ) -> Result<(), Error> {
        let alias = message.properties.topic_alias;
        let known = alias.is_some_and(|a| self.aliases.iter().any(|(b, t)| a == *b && *t == message.topic));
        let packet = Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: if known { "" } else { &message.topic },
            packet_id,
            properties: message.properties.as_wire(),
            raw_properties: &[],
            payload: &message.payload,
        };
        let start = self.bytes.len();
        packet.encode(self.version, &mut self.bytes).map_err(cannot_encode)?;
        self.check_size(start)?;
        if self.trace {
            self.note_publish(Direction::Sent, &packet);
        }
        if let Some(alias) = alias
            && !known
        {
            self.aliases.retain(|(a, _)| *a != alias);
            self.aliases.push((alias, message.topic.clone()));
        }
        Ok(())
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP: a few bytes that always fit.
    pub(super) fn ack(&mut self, kind: PacketType, packet_id: NonZeroU16, reason: ReasonCode) {
        let ack = Ack { packet_id, reason, properties: AckProperties::default() };
        let done = ack.encode(kind, self.version, &mut self.bytes);
        debug_assert!(done.is_ok(), "an acknowledgement can be written in every version");
        if self.trace {
            self.note_ack(Direction::Sent, kind, &ack);
        }
    }

    /// Any other packet.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), Error> {
        let start = self.bytes.len();
        packet.encode(self.version, &mut self.bytes).map_err(cannot_encode)?;
        self.check_size(start)?;
        self.note(Direction::Sent, packet);
        Ok(())
    }

    // [MQTT-3.2.2-15]
    fn check_size(&mut self, start: usize) -> Result<(), Error> {
        let size = self.bytes.len() - start;
        if u32::try_from(size).is_ok_and(|size| size <= self.limit) {
            return Ok(());
        }
        self.bytes.truncate(start);
        Err(Error::TooLarge { size, limit: self.limit })
    }

    pub(super) fn note_publish(&mut self, direction: Direction, packet: &Publish<'_>) {
        if self.trace {
            let note = PacketNote::Publish {
                dup: packet.dup,
                qos: packet.qos,
                retain: packet.retain,
                packet_id: packet.packet_id.map_or(0, NonZeroU16::get),
                topic: packet.topic.to_owned(),
                payload_len: packet.payload.len(),
            };
            self.events.push_back(Event::Packet(direction, note));
        }
    }

    pub(super) fn note_ack(&mut self, direction: Direction, kind: PacketType, ack: &Ack<'_>) {
        if self.trace {
            let (packet_id, reason) = (ack.packet_id.get(), ack.reason);
            let note = match kind {
                PacketType::PubAck => PacketNote::PubAck { packet_id, reason },
                PacketType::PubRec => PacketNote::PubRec { packet_id, reason },
                PacketType::PubRel => PacketNote::PubRel { packet_id, reason },
                _ => PacketNote::PubComp { packet_id, reason },
            };
            self.events.push_back(Event::Packet(direction, note));
        }
    }

    pub(super) fn note(&mut self, direction: Direction, packet: &Packet<'_>) {
        if !self.trace {
            return;
        }
        let note = match packet {
            Packet::Publish(publish) => return self.note_publish(direction, publish),
            Packet::PubAck(ack) => return self.note_ack(direction, PacketType::PubAck, ack),
            Packet::PubRec(ack) => return self.note_ack(direction, PacketType::PubRec, ack),
            Packet::PubRel(ack) => return self.note_ack(direction, PacketType::PubRel, ack),
            Packet::PubComp(ack) => return self.note_ack(direction, PacketType::PubComp, ack),
            Packet::Connect(_) => PacketNote::Connect,
            Packet::ConnAck(p) if self.version == Version::V5 => PacketNote::ConnAck { code: p.reason as u8 },
            Packet::ConnAck(p) => PacketNote::ConnAck { code: p.reason.connack_v3() },
            Packet::Subscribe(p) => PacketNote::Subscribe {
                packet_id: p.packet_id.get(),
                filters: p.filters.iter().map(|(filter, options)| (filter.to_owned(), options)).collect(),
            },
            Packet::SubAck(p) => {
                PacketNote::SubAck { packet_id: p.packet_id.get(), codes: p.codes.iter().collect() }
            }
            Packet::Unsubscribe(p) => PacketNote::Unsubscribe {
                packet_id: p.packet_id.get(),
                filters: p.topics.iter().map(ToOwned::to_owned).collect(),
            },
            Packet::UnsubAck(p) => {
                PacketNote::UnsubAck { packet_id: p.packet_id.get(), codes: p.codes.iter().collect() }
            }
            Packet::PingReq => PacketNote::PingReq,
            Packet::PingResp => PacketNote::PingResp,
            Packet::Disconnect(p) => PacketNote::Disconnect { reason: p.reason },
            Packet::Auth(p) => PacketNote::Auth { reason: p.reason },
        };
        self.events.push_back(Event::Packet(direction, note));
    }
}

fn cannot_encode(error: EncodeError) -> Error {
    Error::Invalid(match error {
        EncodeError::TooLong => {
            "a string or binary field above 65,535 bytes, or the packet above 268,435,455"
        }
        EncodeError::NotInVersion => "not in this version of the protocol",
        EncodeError::Invalid(what) => what,
    })
}
