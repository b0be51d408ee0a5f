//! An honest client: it keeps what is not acknowledged and sends it again, whatever becomes of broker and connection.

use grovemq_codec::{
    Ack, AckProperties, Connect, ConnectProperties, Filters, Packet, PacketType, Publish, Qos, ReasonCode,
    Subscribe, SubscribeOptions, SubscribeProperties, Topics, Unsubscribe, UserProperties, Version,
    decode_frame,
};
use grovemq_tests::{Random, Wire};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

/// How long CONNACK may take; a broker that says nothing for so long is gone.
const CONNACK_TIME: Duration = Duration::from_secs(20);

/// What it published and got, and what became of its session.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By topic: message n + 1 is acknowledged.
    pub(crate) published: BTreeMap<String, Vec<bool>>,
    /// The text published last, by topic; none for an empty one.
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) arrivals: Vec<Arrival>,
    /// Filters with the request acknowledged last: to have it with this QoS, or not.
    pub(crate) subscribed: BTreeMap<String, Option<Qos>>,
    /// The broker had acknowledged something, and later knew nothing of a session.
    pub(crate) sessions_lost: u32,
}

#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) topic: String,
    pub(crate) text: String,
    pub(crate) qos: u8,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) log: Log,
    pub(crate) random: Random,
    port: u16,
    version: Version,
    /// `false`: it begins anew with each connection.
    durable: bool,
    wire: Option<Wire>,
    last_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// Packet ids of QoS 2 received and not released.
    received: BTreeSet<u16>,
    /// In the order they were made; one filter each.
    requests: VecDeque<Request>,
    ping_answered: bool,
    /// Something was acknowledged, so there is a session.
    is_known: bool,
}

#[derive(Debug)]
struct Outgoing {
    id: NonZeroU16,
    topic: String,
    text: String,
    qos: Qos,
    retain: bool,
    /// PUBREC has come.
    released: bool,
    /// For the log.
    number: usize,
}

#[derive(Clone, Debug)]
struct Request {
    id: NonZeroU16,
    filter: String,
    /// `None`: away with it.
    qos: Option<Qos>,
}

impl Client {
    pub(crate) fn new(id: &str, port: u16, durable: bool, mut random: Random) -> Self {
        let version = random.of(&[Version::V311, Version::V5]);
        Self {
            id: id.into(),
            log: Log::default(),
            random,
            port,
            version,
            durable,
            wire: None,
            last_id: 0,
            outgoing: VecDeque::new(),
            received: BTreeSet::new(),
            requests: VecDeque::new(),
            ping_answered: false,
            is_known: false,
        }
    }

    /// Publishes the next message of a topic, whose text is its number and `more`; without `more` an empty message, as
    /// deletes a retained one.
    pub(crate) fn publish(&mut self, topic: &str, qos: u8, retain: bool, more: Option<&str>) {
        let published = self.log.published.entry(topic.into()).or_default();
        published.push(false);
        let number = published.len();
        let text = more.map(|more| format!("{number} {more}"));
        match &text {
            Some(text) => drop(self.log.texts.insert(topic.into(), text.clone())),
            None => drop(self.log.texts.remove(topic)),
        }
        let message = Outgoing {
            id: self.next_id(),
            topic: topic.into(),
            text: text.unwrap_or_default(),
            qos: Qos::from_u8(qos).unwrap(),
            retain,
            released: false,
            number,
        };
        self.send_publish(&message, false);
        self.outgoing.push_back(message);
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.request(filter, Qos::from_u8(qos));
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.request(filter, None);
    }

    /// Asks for PINGRESP; [`Client::step`] until [`Client::is_answered`].
    pub(crate) fn ping(&mut self) {
        self.ping_answered = false;
        self.send(&Packet::PingReq);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.ping_answered
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.outgoing.len()
    }

    /// Nothing of either side's is under way, as far as it can tell.
    pub(crate) fn is_idle(&self) -> bool {
        self.wire.is_some()
            && self.outgoing.is_empty()
            && self.requests.is_empty()
            && self.received.is_empty()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// The connection is gone, with a farewell or without.
    pub(crate) fn leave(&mut self, politely: bool) {
        if politely {
            let reason = ReasonCode::NormalDisconnection;
            let properties = grovemq_codec::DisconnectProperties::default();
            self.send(&Packet::Disconnect(grovemq_codec::Disconnect { reason, properties }));
        }
        self.wire = None;
    }

    /// Connects and sends all again that is open; `false` if the broker is not there or goes away meanwhile.
    pub(crate) fn connect(&mut self) -> bool {
        self.wire = Wire::try_connect(self.port).map(|wire| wire.with_patience(CONNACK_TIME));
        let expiry = (self.durable && self.version == Version::V5).then_some(u32::MAX);
        let id = self.id.clone();
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: !self.durable,
            keep_alive: 60,
            properties: ConnectProperties { session_expiry: expiry, ..ConnectProperties::default() },
            client_id: &id,
            will: None,
            username: None,
            password: None,
        };
        self.send(&Packet::Connect(connect));
        let Some(answer) = self.wire.as_mut().and_then(Wire::try_packet) else {
            self.wire = None;
            return false;
        };
        let frame = decode_frame(&answer, u32::MAX).unwrap().unwrap();
        let packet = Packet::parse(&frame, self.version).unwrap();
        let Packet::ConnAck(connack) = packet else { panic!("{}: {packet:?} for a CONNACK", self.id) };
        assert!(!connack.reason.is_error(), "{}: {connack:?}", self.id);
        self.resume(connack.session_present);
        self.is_connected()
    }

    fn resume(&mut self, present: bool) {
        if !present {
            self.received.clear();
            if self.durable && std::mem::take(&mut self.is_known) {
                self.log.sessions_lost += 1;
            }
            // what was acknowledged is gone as well, and it wants it back
            for (filter, qos) in self.log.subscribed.clone().into_iter().filter(|(_, qos)| qos.is_some()) {
                let id = self.next_id();
                self.requests.push_front(Request { id, filter, qos });
            }
        }
        let outgoing = std::mem::take(&mut self.outgoing);
        for message in &outgoing {
            if message.released {
                self.answer(PacketType::PubRel, message.id);
            } else {
                self.send_publish(message, present);
            }
        }
        self.outgoing = outgoing;
        for request in self.requests.clone() {
            self.send_request(&request);
        }
    }

    /// Takes what comes within this time, and answers it; ends early when the connection does.
    pub(crate) fn step(&mut self, during: Duration) {
        let deadline = Instant::now() + during;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(mut wire) = self.wire.take().map(|wire| wire.with_patience(left)) else { return };
            let packet = wire.try_packet();
            if !wire.has_ended() || packet.is_some() {
                self.wire = Some(wire);
            }
            let Some(bytes) = packet else { return };
            self.handle(&bytes);
        }
    }

    fn handle(&mut self, bytes: &[u8]) {
        let frame = decode_frame(bytes, u32::MAX).unwrap().unwrap();
        let packet = Packet::parse(&frame, self.version)
            .unwrap_or_else(|e| panic!("{} got {bytes:02x?}: {e}", self.id));
        match packet {
            Packet::Publish(p) => self.handle_publish(&p),
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.acknowledged(&ack),
            Packet::PubRec(ack) => {
                assert!(!ack.reason.is_error(), "{}: {ack:?}", self.id);
                if let Some(message) = self.outgoing.iter_mut().find(|m| m.id == ack.packet_id) {
                    message.released = true;
                }
                self.answer(PacketType::PubRel, ack.packet_id);
            }
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id.get());
                self.answer(PacketType::PubComp, ack.packet_id);
            }
            Packet::SubAck(p) => self.settled(p.packet_id),
            Packet::UnsubAck(p) => self.settled(p.packet_id),
            Packet::PingResp => self.ping_answered = true,
            Packet::Disconnect(_) => self.wire = None,
            other => panic!("{} got {other:?}", self.id),
        }
    }

    fn handle_publish(&mut self, p: &Publish<'_>) {
        let new = p.qos != Qos::ExactlyOnce || self.received.insert(p.packet_id.unwrap().get());
        if new {
            let text = String::from_utf8_lossy(p.payload).into_owned();
            self.log.arrivals.push(Arrival { topic: p.topic.into(), text, qos: p.qos as u8 });
        }
        match (p.qos, p.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => self.answer(PacketType::PubAck, id),
            (Qos::ExactlyOnce, Some(id)) => self.answer(PacketType::PubRec, id),
            _ => {}
        }
    }

    fn acknowledged(&mut self, ack: &Ack<'_>) {
        self.is_known = true;
        let known = |m: &Outgoing| m.id == ack.packet_id && (m.qos != Qos::ExactlyOnce || m.released);
        let Some(place) = self.outgoing.iter().position(known) else { return };
        let unknown = ack.reason == ReasonCode::PacketIdentifierNotFound;
        assert!(!ack.reason.is_error() || unknown, "{}: {ack:?}", self.id);
        let message = self.outgoing.remove(place).unwrap();
        self.log.published.get_mut(&message.topic).unwrap()[message.number - 1] = true;
    }

    fn settled(&mut self, id: NonZeroU16) {
        self.is_known = true;
        let Some(place) = self.requests.iter().position(|r| r.id == id) else { return };
        let request = self.requests.remove(place).unwrap();
        self.log.subscribed.insert(request.filter, request.qos);
    }

    fn request(&mut self, filter: &str, qos: Option<Qos>) {
        let request = Request { id: self.next_id(), filter: filter.into(), qos };
        self.send_request(&request);
        self.requests.push_back(request);
    }

    fn send_request(&mut self, request: &Request) {
        let (packet_id, filter) = (request.id, &*request.filter);
        match request.qos {
            Some(qos) => self.send(&Packet::Subscribe(Subscribe {
                packet_id,
                properties: SubscribeProperties::default(),
                filters: Filters::List(&[(filter, SubscribeOptions::qos(qos))]),
            })),
            None => self.send(&Packet::Unsubscribe(Unsubscribe {
                packet_id,
                user_properties: UserProperties::default(),
                topics: Topics::List(&[filter]),
            })),
        }
    }

    fn send_publish(&mut self, message: &Outgoing, dup: bool) {
        self.send(&Packet::Publish(Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: &message.topic,
            packet_id: Some(message.id),
            payload: message.text.as_bytes(),
            ..Publish::default()
        }));
    }

    fn answer(&mut self, kind: PacketType, packet_id: NonZeroU16) {
        let ack = Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() };
        self.send(&match kind {
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        });
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        if !self.wire.as_mut().is_some_and(|wire| wire.try_send_bytes(&bytes)) {
            self.wire = None;
        }
    }

    /// One that nothing open has.
    fn next_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let id = NonZeroU16::new(self.last_id);
            let taken =
                |id| self.outgoing.iter().any(|m| m.id == id) || self.requests.iter().any(|r| r.id == id);
            if let Some(id) = id.filter(|id| !taken(*id)) {
                return id;
            }
        }
    }
}
