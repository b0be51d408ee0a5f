//! The connection's state machine, and the way in and out of it.

use super::{
    AckToken, Change, Config, Direction, Disconnect, Error, Event, Message, Subscribe, Time, Unsubscribe,
    handshake,
    incoming::Incoming,
    journal::{self, Entry},
    liveness::{Due, Liveness},
    outgoing::{Outgoing, PublishLimits},
    outlet::Outlet,
    requests::Requests,
};
use grovemq_codec::{
    Auth, AuthProperties, ConnAck, DisconnectProperties, Frame, Packet, PacketType, Qos, ReasonCode,
    UserProperties, Version, decode_frame, topic,
};
use std::{mem, num::NonZeroU16};

/// Output is made from the queue only up to this many bytes at a time.
const OUTPUT_BYTES_HIGH: usize = 256 << 10;

/// A client's connection to a server, and its session across connections.
///
/// The driver opens a transport and calls [`handle_connected`](Self::handle_connected); from then on, whatever it
/// calls, it goes on with
///
/// 1. [`poll_event`](Self::poll_event) until there is none: after [`Event::Closed`] it writes what output there is
///    and closes the transport;
/// 2. [`poll_output`](Self::poll_output) until there is none, writing the bytes;
/// 3. [`next_timeout`](Self::next_timeout) to learn when to call [`handle_timeout`](Self::handle_timeout).
///
/// When the transport is gone, for whatever reason, it calls [`handle_disconnected`](Self::handle_disconnected) and may
/// begin again with a new transport. Requests are taken at any time; what cannot be sent waits.
///
/// ```text
/// Offline ──handle_connected──► Handshake ──CONNACK: yes──► Online
///    ▲                              │ no, error, timeout       │ error, DISCONNECT, timeout
///    └────handle_disconnected──── Ended ◄──────────────────────┘
/// ```
#[derive(Debug)]
pub struct Protocol {
    config: Config,
    state: State,
    /// The configured id, or the one the server assigned.
    client_id: String,
    /// Clean start as the last CONNECT had it.
    clean_start: bool,
    /// A connection has been accepted before.
    known: bool,
    outlet: Outlet,
    incoming: Incoming,
    outgoing: Outgoing,
    requests: Requests,
    liveness: Liveness,
    limits: PublishLimits,
    last_id: u16,
    proof: Proof,
}

/// What the server has to say at the end of an authentication exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// The user looks after that.
    NotWanted,
    /// Nothing it says is right yet.
    Wanted,
    /// This.
    Expected(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Offline,
    /// CONNECT is sent.
    Handshake,
    Online,
    /// Over, but the transport still stands.
    Ended,
}

impl Protocol {
    pub fn new(config: Config) -> Self {
        Self {
            state: State::Offline,
            client_id: config.client_id.clone(),
            clean_start: config.clean_start,
            known: false,
            outlet: Outlet::new(config.version, config.trace),
            incoming: Incoming::new(&config),
            outgoing: Outgoing::new(config.inflight_limit(), config.queue_len_max, config.queue_bytes_max),
            requests: Requests::default(),
            liveness: Liveness::default(),
            limits: PublishLimits {
                maximum_qos: Qos::ExactlyOnce,
                retain_available: true,
                topic_alias_maximum: 0,
                adapt: config.adapt,
            },
            last_id: 0,
            proof: Proof::NotWanted,
            config,
        }
    }

    /// Before the first connection: from now on [`Self::take_changes`] tells what is to be kept for the next run of the
    /// program, and this is what the last one kept, by key. Gives the keys of damaged entries: they are left out, and
    /// to be removed.
    pub fn restore(&mut self, now: Time, mut entries: Vec<(u64, Vec<u8>)>) -> Vec<u64> {
        self.incoming.keep();
        self.outgoing.keep();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let mut damaged = Vec::new();
        for (key, value) in entries {
            let good = match journal::read(key, &value) {
                Some(Entry::Outgoing(kept)) => self.outgoing.restore(now, key, kept),
                Some(Entry::Received(id)) => {
                    self.incoming.restore(id);
                    true
                }
                None => false,
            };
            if !good {
                damaged.push(key);
            }
        }
        damaged
    }

    /// What has changed since the last call, for those who began with [`Self::restore`]. It has to be kept before the
    /// output made until now is written.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.outgoing.changes().chain(self.incoming.changes()).collect()
    }

    /// Whether [`Self::take_changes`] would tell something.
    pub fn has_changes(&self) -> bool {
        self.outgoing.has_changes() || self.incoming.has_changes()
    }

    /// A transport stands: CONNECT goes out. The error says that the configuration cannot be put on the wire.
    pub fn handle_connected(&mut self, now: Time) -> Result<(), Error> {
        self.outlet.restart();
        self.clean_start = self.config.clean_start && !(self.known && self.session_outlives());
        handshake::write_connect(&self.config, &self.client_id, self.clean_start, &mut self.outlet)?;
        self.liveness = Liveness::connecting(now, self.config.connack_timeout);
        self.state = State::Handshake;
        Ok(())
    }

    /// Bytes from the transport. Takes all whole packets and says how many bytes they were; the rest has to be given
    /// again with more behind it.
    pub fn handle_input(&mut self, now: Time, input: &[u8]) -> usize {
        let mut rest = input;
        if !input.is_empty() {
            self.liveness.received(now);
        }
        while matches!(self.state, State::Handshake | State::Online) {
            let taken = match decode_frame(rest, self.config.packet_limit()) {
                Ok(None) => break,
                Ok(Some(frame)) => self.handle_frame(now, &frame).map(|()| frame.len()),
                Err(error) => Err(error),
            };
            match taken {
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(error) => self.end(Error::Protocol(error)),
            }
        }
        if self.state == State::Ended {
            return input.len();
        }
        self.pump(now);
        input.len() - rest.len()
    }

    /// The time of [`Self::next_timeout`] has come, or not: calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.liveness.due(now) {
            _ if !matches!(self.state, State::Handshake | State::Online) => {}
            Due::Nothing => {}
            Due::Ping => {
                if self.outlet.packet(&Packet::PingReq).is_ok() {
                    self.liveness.pinged(now);
                }
            }
            due @ Due::Dead(_) => {
                if let Some(error) = due.error() {
                    self.end(error);
                }
            }
        }
    }

    /// The transport is gone. What is to survive is kept for the next one.
    pub fn handle_disconnected(&mut self) {
        self.state = State::Offline;
        self.outlet.restart();
        self.requests.stop();
    }

    /// The driver has stopped reading, or reads again: meanwhile the server's silence means nothing.
    pub fn handle_reading(&mut self, now: Time, reading: bool) {
        self.liveness.set_reading(now, reading);
    }

    /// With a token, [`Event::Published`] tells the end of it; without, nothing does.
    pub fn publish(&mut self, now: Time, message: Message, token: Option<u64>) -> Result<(), Error> {
        if topic::validate_name(&message.topic).is_err() {
            return Err(Error::Invalid("topic name"));
        }
        self.outgoing.enqueue(now, message, token, self.is_online())?;
        self.pump(now);
        Ok(())
    }

    /// [`Event::Subscribed`] brings the answer.
    pub fn subscribe(&mut self, now: Time, request: Subscribe, token: u64) -> Result<(), Error> {
        self.requests.subscribe(request, token, self.config.version)?;
        self.pump(now);
        Ok(())
    }

    /// [`Event::Unsubscribed`] brings the answer.
    pub fn unsubscribe(&mut self, now: Time, request: Unsubscribe, token: u64) -> Result<(), Error> {
        self.requests.unsubscribe(request, token)?;
        self.pump(now);
        Ok(())
    }

    /// Acknowledges a message, where [`Config::manual_ack`] leaves that to the user.
    pub fn ack(&mut self, now: Time, token: AckToken) {
        let online = self.is_online();
        self.incoming.handle_user_ack(token, online, &mut self.outlet);
        if online {
            self.liveness.sent(now);
        }
    }

    /// Before [`Self::handle_connected`]: CONNECT begins an exchange by which both sides prove themselves. A server that does
    /// not end it, and each later one, with what [`Self::answer`] foretold is not taken for the right one.
    pub fn prove(&mut self, method: &str, data: Vec<u8>) {
        self.config.authentication_method = Some(method.to_owned());
        self.config.authentication_data = Some(data);
        self.proof = Proof::Wanted;
    }

    /// Answers the server's challenge with AUTH; `expected` is how a server that is the right one ends the exchange.
    pub fn answer(&mut self, now: Time, data: &[u8], expected: Vec<u8>) -> Result<(), Error> {
        self.auth(now, ReasonCode::ContinueAuthentication, Some(data))?;
        self.proof = Proof::Expected(expected);
        Ok(())
    }

    /// Sends AUTH, as an answer or (when online) to authenticate anew.
    pub fn auth(&mut self, now: Time, reason: ReasonCode, data: Option<&[u8]>) -> Result<(), Error> {
        let method = self.config.authentication_method.as_deref();
        if self.config.version < Version::V5 || method.is_none() {
            return Err(Error::Invalid("no authentication method was agreed on")); // [MQTT-4.12.0-6]
        }
        if !matches!(self.state, State::Handshake | State::Online) {
            return Err(Error::ConnectionLost);
        }
        let properties = AuthProperties {
            authentication_method: method,
            authentication_data: data,
            ..AuthProperties::default()
        };
        self.outlet.packet(&Packet::Auth(Auth { reason, properties }))?;
        self.liveness.sent(now);
        Ok(())
    }

    /// Says good-bye; [`Event::Closed`] follows. Without a connection nothing happens.
    pub fn disconnect(&mut self, request: &Disconnect) -> Result<(), Error> {
        match self.state {
            State::Offline | State::Ended => return Ok(()),
            State::Handshake => {} // [MQTT-3.1.4-5] allows it, but the server may still refuse us: just go.
            State::Online => self.outlet.packet(&Packet::Disconnect(grovemq_codec::Disconnect {
                reason: request.reason,
                properties: DisconnectProperties {
                    session_expiry: request.session_expiry,
                    reason_string: request.reason_string.as_deref(),
                    server_reference: None,
                    user: UserProperties::List(&request.user),
                },
            }))?,
        }
        self.state = State::Ended;
        self.outlet.events.push_back(Event::Closed(Error::Closed));
        Ok(())
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.outlet.events.pop_front()
    }

    /// Moves the output to the end of `out` and makes more of it from the queue. False: there was none.
    pub fn poll_output(&mut self, now: Time, out: &mut Vec<u8>) -> bool {
        if self.outlet.bytes.is_empty() {
            return false;
        }
        if out.is_empty() {
            mem::swap(out, &mut self.outlet.bytes);
        } else {
            out.append(&mut self.outlet.bytes);
        }
        self.pump(now);
        true
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Time> {
        match self.state {
            State::Handshake | State::Online => self.liveness.next(),
            State::Offline | State::Ended => None,
        }
    }

    /// Whether CONNACK has said yes and nothing has ended the connection since.
    pub fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// Whether the queue is at its bound: online, a driver better waits before it gives more.
    pub fn is_full(&self) -> bool {
        self.outgoing.is_full()
    }

    /// Whether everything asked for is sent and acknowledged, and all output taken.
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty() && self.requests.is_empty() && self.outlet.bytes.is_empty()
    }

    /// The id in use.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    #[inline]
    fn handle_frame(&mut self, now: Time, frame: &Frame<'_>) -> Result<(), grovemq_codec::Error> {
        if frame.kind == PacketType::Publish && self.state == State::Online {
            return self.incoming.handle_publish(frame, &mut self.outlet);
        }
        if self.state == State::Handshake && self.is_refusal_of_version(frame) {
            let (reason, properties) =
                (ReasonCode::UnsupportedProtocolVersion, grovemq_codec::ConnAckProperties::default());
            return self.handle_connack(now, &ConnAck { session_present: false, reason, properties });
        }
        let packet = Packet::parse(frame, self.config.version)?;
        self.outlet.note(Direction::Received, &packet);
        match (self.state, &packet) {
            (State::Handshake, Packet::ConnAck(ack)) => return self.handle_connack(now, ack),
            (State::Handshake | State::Online, Packet::Auth(auth)) => return self.handle_auth(auth),
            (State::Online, Packet::PubAck(a) | Packet::PubRec(a) | Packet::PubComp(a)) => {
                self.outgoing.handle_ack(frame.kind, a, &mut self.outlet);
            }
            (State::Online, Packet::PubRel(a)) => self.incoming.handle_pubrel(a.packet_id, &mut self.outlet),
            (State::Online, Packet::SubAck(a)) => return self.requests.handle_suback(a, &mut self.outlet),
            (State::Online, Packet::UnsubAck(a)) => {
                return self.requests.handle_unsuback(a, &mut self.outlet);
            }
            (State::Online, Packet::PingResp) => self.liveness.pong(),
            (State::Online, Packet::Disconnect(d)) if self.config.version == Version::V5 => {
                let text = d.properties.reason_string.map(ToOwned::to_owned);
                self.close(Error::ServerClosed { reason: d.reason, text });
            }
            _ => return Err(grovemq_codec::Error::Protocol("a packet the server may not send now")),
        }
        Ok(())
    }

    /// A server of 3.x refuses an MQTT 5 client in its own words.
    fn is_refusal_of_version(&self, frame: &Frame<'_>) -> bool {
        self.config.version == Version::V5 && frame.kind == PacketType::ConnAck && frame.body == [0, 1]
    }

    fn handle_connack(&mut self, now: Time, ack: &ConnAck<'_>) -> Result<(), grovemq_codec::Error> {
        let version = self.config.version;
        if !ack.reason.is_error() && !self.is_proven(ack.properties.authentication_data) {
            self.end(Error::Unproven);
            return Ok(());
        }
        if ack.reason.is_error() {
            let refusal = handshake::refused(version, ack);
            let (reason, text) = (refusal.reason, refusal.reason_string.clone());
            self.outlet.events.push_back(Event::Refused(refusal));
            self.close(Error::Refused { packet: PacketType::Connect, reason, text });
            return Ok(());
        }
        let session_present = handshake::session_present(version, self.clean_start, ack)?;
        let info = handshake::accepted(&self.config, &self.client_id, session_present, ack);
        self.client_id.clone_from(&info.client_id);
        self.known = true;
        self.state = State::Online;
        self.liveness.online(now, info.keep_alive, self.config.ping_timeout);
        let limits = [info.maximum_packet_size, self.config.outgoing_packet_max];
        self.outlet.limit = limits.into_iter().flatten().fold(self.outlet.limit, u32::min);
        self.limits = PublishLimits {
            maximum_qos: info.maximum_qos,
            retain_available: info.retain_available,
            topic_alias_maximum: info.topic_alias_maximum,
            adapt: self.config.adapt,
        };
        self.incoming.start(session_present);
        self.requests.start(&info, session_present);
        let receive_maximum = info.receive_maximum;
        self.outlet.events.push_back(Event::Connected(info));
        if session_present {
            self.outgoing.resume(receive_maximum);
        } else {
            self.outgoing.restart(now, receive_maximum, &mut self.outlet);
        }
        Ok(())
    }

    fn handle_auth(&mut self, auth: &Auth<'_>) -> Result<(), grovemq_codec::Error> {
        // [MQTT-4.12.0-6]
        if auth.properties.authentication_method != self.config.authentication_method.as_deref() {
            return Err(grovemq_codec::Error::Protocol("AUTH with a method that was not agreed on"));
        }
        if auth.reason == ReasonCode::Success && !self.is_proven(auth.properties.authentication_data) {
            self.end(Error::Unproven);
            return Ok(());
        }
        let data = auth.properties.authentication_data.map(ToOwned::to_owned);
        self.outlet.events.push_back(Event::Auth { reason: auth.reason, data });
        Ok(())
    }

    /// Whether these last words of an exchange are the server's. They count once.
    fn is_proven(&mut self, data: Option<&[u8]>) -> bool {
        match mem::replace(&mut self.proof, Proof::Wanted) {
            Proof::Expected(expected) => data == Some(&expected),
            Proof::Wanted => false,
            Proof::NotWanted => {
                self.proof = Proof::NotWanted;
                true
            }
        }
    }

    /// Makes output from what waits, up to a mark: what was left in flight first, then the queue in its order.
    fn pump(&mut self, now: Time) {
        if self.state != State::Online {
            return;
        }
        let before = self.outlet.bytes.len();
        while self.outlet.bytes.len() < OUTPUT_BYTES_HIGH {
            let Self { outgoing, requests, outlet, last_id, .. } = self;
            if requests.send_next(|requests| free_id(last_id, outgoing, requests), outlet)
                || outgoing.resend_next(outlet)
                || outgoing.send_next(
                    now,
                    self.limits,
                    |outgoing| free_id(last_id, outgoing, requests),
                    outlet,
                )
            {
                continue;
            }
            break;
        }
        if self.outlet.bytes.len() > before {
            self.liveness.sent(now);
        }
    }

    /// Ends the connection from our side; an MQTT 5 server is told why. [MQTT-4.13.1-1]
    fn end(&mut self, error: Error) {
        if let (State::Online, Version::V5, Error::Protocol(fault)) =
            (self.state, self.config.version, &error)
        {
            let farewell = grovemq_codec::Disconnect {
                reason: fault.reason(),
                properties: DisconnectProperties::default(),
            };
            let told = self.outlet.packet(&Packet::Disconnect(farewell));
            debug_assert!(told.is_ok(), "a bare DISCONNECT fits everywhere");
        }
        self.close(error);
    }

    fn close(&mut self, error: Error) {
        self.state = State::Ended;
        self.outlet.events.push_back(Event::Closed(error));
    }

    /// Whether the server keeps our session after the connection.
    fn session_outlives(&self) -> bool {
        self.config.version == Version::V5 && self.config.session_expiry.is_some_and(|seconds| seconds > 0)
    }
}

/// The next packet id that is not in use; none when all 65,535 are. [MQTT-2.2.1-3]
fn free_id(last: &mut u16, outgoing: &Outgoing, requests: &Requests) -> Option<NonZeroU16> {
    for _ in 0..=u16::MAX {
        *last = last.wrapping_add(1);
        if let Some(id) = NonZeroU16::new(*last).filter(|&id| !outgoing.uses(id) && !requests.uses(id)) {
            return Some(id);
        }
    }
    None
}
