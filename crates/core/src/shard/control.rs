//! Packets other than CONNECT and PUBLISH.

use super::Shard;
use crate::Time;
use crate::journal::Record;
use crate::observe::{Cause, Event};
use crate::qos::{Answer, Arrival, ReceiverStep, SenderStep};
use crate::slab::Key;
use grovemq_codec::{
    Ack, AckProperties, Disconnect, Frame, Packet, PacketType, Publish, ReasonCode, Version,
};

impl Shard {
    /// Returns how many subscriptions it changed, as a measure of work, or [`super::subscribe::UNFINISHED`].
    pub(super) fn on_control(
        &mut self,
        now: Time,
        key: Key,
        frame: &Frame<'_>,
        version: Version,
    ) -> Result<u32, Cause> {
        if frame.kind == PacketType::Connect {
            return Err(Cause::Protocol("second CONNECT")); // [MQTT-3.1.0-2]
        }
        if let PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp = frame.kind
        {
            return self.on_ack(now, key, frame, version).map(|()| 0);
        }
        if let PacketType::Subscribe | PacketType::Unsubscribe = frame.kind {
            return self.on_filters(now, key, frame, version);
        }
        let packet = Packet::parse(frame, version)?;
        if self.clients.trace {
            self.trace_received(now, key, &packet);
        }
        match packet {
            Packet::PingReq => {
                self.clients.send_bytes(key, &[(PacketType::PingResp as u8) << 4, 0]);
                if self.clients.trace {
                    self.clients.trace_sent(now, key, "PINGRESP", 0, 0);
                }
            }
            Packet::Disconnect(p) => self.on_disconnect(now, key, version, &p)?,
            Packet::Auth(auth) => self.on_auth(now, key, &auth)?,
            _ => return Err(Cause::Protocol("a packet only servers send")),
        }
        Ok(0)
    }

    /// The packets that come with every message of QoS 1 and 2.
    #[inline]
    fn on_ack(&mut self, now: Time, key: Key, frame: &Frame<'_>, version: Version) -> Result<(), Cause> {
        let ack = Ack::parse(frame, version)?;
        if self.clients.trace {
            self.trace_received(now, key, &Packet::parse(frame, version)?);
        }
        let answer = match frame.kind {
            PacketType::PubAck => Answer::PubAck,
            PacketType::PubRec if ack.reason.is_error() => Answer::PubRecError,
            PacketType::PubRec => Answer::PubRec,
            PacketType::PubRel => {
                self.on_pubrel(now, key, &ack);
                return Ok(());
            }
            _ => Answer::PubComp,
        };
        self.on_answer(now, key, &ack, answer);
        Ok(())
    }

    fn on_answer(&mut self, now: Time, key: Key, ack: &Ack<'_>, answer: Answer) {
        let Some(session_key) = self.session_of(key) else { return };
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        let id = ack.packet_id.get();
        let stored = session.stored_id();
        let mark = self.clients.journal.mark();
        let (step, seq) = session.outgoing.on_answer(id, answer);
        let waiting = session.is_waiting();
        match step {
            SenderStep::Done => {
                self.clients.journal.finished(stored, seq);
                if waiting {
                    self.clients.pump(now, session_key, &mut self.variants);
                }
            }
            SenderStep::Release | SenderStep::ReleaseAgain => {
                if let Some(session) = stored.filter(|_| seq != 0 && step == SenderStep::Release) {
                    // after PUBREL the receiver forgets the id, so nothing may make us send the message again
                    self.clients.journal.record(Record::Owned { session, seq });
                }
                self.answer(now, key, PacketType::PubRel, id, ReasonCode::Success, mark);
            }
            SenderStep::Ignore if answer == Answer::PubRec => {
                // [MQTT-4.3.3-1]
                self.send_answer(now, key, PacketType::PubRel, id, ReasonCode::PacketIdentifierNotFound);
            }
            SenderStep::Ignore => {}
        }
    }

    fn on_pubrel(&mut self, now: Time, key: Key, ack: &Ack<'_>) {
        let Some(session_key) = self.session_of(key) else { return };
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        let id = ack.packet_id.get();
        let mark = self.clients.journal.mark();
        let known = session.on_arrival(id, Arrival::PubRel) != ReceiverStep::CompleteUnknown;
        if known && let Some(session) = session.stored_id() {
            // the client may use the id for another message now
            self.clients.journal.record(Record::Completed { session, packet_id: id });
        }
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.answer(now, key, PacketType::PubComp, id, reason, mark);
    }

    /// An acknowledgement with any reason code; 3.x knows only success.
    pub(super) fn send_answer(&mut self, now: Time, key: Key, kind: PacketType, id: u16, reason: ReasonCode) {
        let version = self.clients.connections.get(key).map(|c| c.version);
        let Some(packet_id) = core::num::NonZeroU16::new(id) else { return };
        if reason == ReasonCode::Success || version != Some(Version::V5) {
            self.clients.send_ack(now, key, kind, id);
            return;
        }
        let ack = Ack { packet_id, reason, properties: AckProperties::default() };
        let packet = match kind {
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        self.send_packet(now, key, &packet);
    }

    fn on_disconnect(
        &mut self,
        now: Time,
        key: Key,
        version: Version,
        p: &Disconnect<'_>,
    ) -> Result<(), Cause> {
        let max = self.settings.limits.session_expiry_max;
        let session_key = self.session_of(key);
        let expiry_at_connect = self.clients.connections.get(key).map_or(0, |c| c.expiry_at_connect);
        if version == Version::V5
            && let Some(expiry) = p.properties.session_expiry
        {
            // [MQTT-3.14.2-2]
            if expiry_at_connect == 0 && expiry > 0 {
                return Err(Cause::Protocol("session expiry raised from 0 at DISCONNECT"));
            }
            if let Some(session) = session_key.and_then(|s| self.clients.sessions.get_mut(s)) {
                session.expiry = max.map_or(expiry, |max| expiry.min(max));
            }
        }
        self.close(now, key, Cause::Disconnect(p.reason));
        Ok(())
    }

    #[cold]
    pub(super) fn trace_received(&mut self, now: Time, key: Key, packet: &Packet<'_>) {
        if let Some(session) = self.session_of(key).and_then(|s| self.clients.sessions.get(s)) {
            self.clients.observer.on(now, Event::Received { client_id: &session.client_id, packet });
        }
    }

    #[cold]
    pub(super) fn trace_publish(&mut self, now: Time, key: Key, publish: &Publish<'_>) {
        self.trace_received(now, key, &Packet::Publish(publish.clone()));
    }
}
