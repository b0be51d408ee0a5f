//! CONNECT: who is it, may it, which session.

use super::mount::mounted;
use super::reload::same_rules;
use super::{Action, Shard, Verdict};
use crate::access::Login;
use crate::connection::{Aliases, Stage};
use crate::meter::Meter;
use crate::observe::{Cause, Connected, Event, Peer, WillSummary};
use crate::session::{NEVER, Session, Will};
use crate::slab::Key;
use crate::timers::Timer;
use crate::{MessageRef, Time};
use grovemq_codec::{
    ConnAck, ConnAckProperties, Connect, Disconnect, DisconnectProperties, Frame, Packet, ReasonCode,
    Version, decode_frame,
};
use std::sync::Arc;

/// What became of a CONNECT packet.
pub(super) enum Outcome {
    Taken,
    /// It belongs to another shard, which will read it again.
    Moved,
}

impl Shard {
    pub(super) fn on_connect(&mut self, now: Time, key: Key, frame: &Frame<'_>) -> Result<Outcome, Cause> {
        let mut connect = match Connect::parse(frame) {
            Ok(connect) => connect,
            Err(e) => {
                if let Some(c) = self.clients.connections.get_mut(key) {
                    c.version = version_of(frame);
                }
                return Err(self.refuse(key, e.into()));
            }
        };
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.version = connect.version;
            // [MQTT-3.1.2-24] from the first answer on
            c.packet_bytes_max = connect.properties.maximum_packet_size.unwrap_or(u32::MAX);
        }
        let identity = self.clients.connections.get(key).and_then(|c| c.identity.clone());
        if self.wants_identity(key) {
            if identity.is_none() {
                return Err(self.refuse(key, Cause::BadCredentials));
            }
            (connect.username, connect.password) = (identity.as_deref(), None);
        }
        let admitted = self.admit(now, key, frame, &connect);
        if !matches!(admitted, Ok(Outcome::Moved)) {
            self.clients.stats.messages_received += 1;
            self.clients.stats.connects += 1;
        }
        match admitted {
            Ok(outcome) => Ok(outcome),
            Err(cause) => Err(self.refuse(key, cause)),
        }
    }

    fn wants_identity(&self, key: Key) -> bool {
        let peer = self.clients.connections.get(key).map(|c| c.peer);
        peer.and_then(|p| self.listener(p)).is_some_and(|l| l.identity_as_username)
    }

    /// The login was checked.
    pub fn handle_verdict(&mut self, now: Time, key: Key, verdict: Verdict) {
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        if c.dialogue.is_some() {
            self.on_judged(now, key, verdict);
            return;
        }
        let Stage::Authenticating(bytes) = &mut c.stage else { return };
        let bytes = core::mem::take(bytes);
        let cause = match verdict {
            Verdict::Allow => None,
            Verdict::Unavailable => Some(Cause::ServerUnavailable),
            // the original tells a wrong password and a missing right alike
            _ => Some(Cause::NotAuthorized),
        };
        if let Some(cause) = cause {
            self.turn_away(now, key, cause);
            return;
        }
        let stale = c.rights != self.clients.rights;
        let limit = u32::MAX;
        let Ok(Some(frame)) = decode_frame(&bytes, limit) else { return };
        let Ok(connect) = Connect::parse(&frame) else { return };
        if !stale {
            self.accept(now, key, &connect, None);
        } else if let Err(cause) = self.admit(now, key, &frame, &connect) {
            // the rights have changed meanwhile, and it may not even be asked again
            self.turn_away(now, key, cause);
        }
    }

    /// Everything that can be decided at once.
    fn admit(
        &mut self,
        now: Time,
        key: Key,
        frame: &Frame<'_>,
        connect: &Connect<'_>,
    ) -> Result<Outcome, Cause> {
        let Some(c) = self.clients.connections.get(key) else { return Ok(Outcome::Taken) };
        let inside = c.is_inside();
        let Some(listener) = self.settings.listener(c.peer).filter(|l| !l.retired) else {
            return Err(Cause::ServerUnavailable);
        };
        let version = match connect.version {
            Version::V31 => 0,
            Version::V311 => 1,
            Version::V5 => 2,
        };
        if !listener.limits.versions.get(version).is_some_and(|v| *v) {
            return Err(Cause::UnsupportedVersion);
        }
        let client_id = if listener.limits.username_as_client_id {
            connect.username.ok_or(Cause::BadCredentials)?
        } else {
            connect.client_id
        };
        if client_id.is_empty() {
            // [MQTT-3.1.3-8]
            let durable = connect.version != Version::V5 && !connect.clean_start;
            if durable || connect.version == Version::V31 || !listener.limits.empty_client_id {
                return Err(Cause::ClientIdInvalid);
            }
        } else {
            let prefix = self.settings.client_id_prefix.as_deref().filter(|_| !inside);
            if prefix.is_some_and(|p| !client_id.starts_with(p)) {
                return Err(Cause::NotAuthorized);
            }
            let home = self.home(client_id);
            if home != self.id {
                self.actions.push_back(Action::Move(key, home));
                return Ok(Outcome::Moved);
            }
        }
        if let Some(will) = &connect.will {
            if will.qos as u8 > listener.limits.qos_max {
                return Err(Cause::QosNotSupported);
            }
            if will.retain && !listener.limits.retain_available {
                return Err(Cause::RetainNotSupported);
            }
        }
        let max = self.settings.limits.keep_alive_max;
        if max > 0 && connect.version != Version::V5 && (connect.keep_alive == 0 || connect.keep_alive > max)
        {
            return Err(Cause::ClientIdInvalid);
        }
        if self.begin_login(key, frame, connect, client_id)? {
            return Ok(Outcome::Taken);
        }
        self.accept(now, key, connect, None);
        Ok(Outcome::Taken)
    }

    /// Whether somebody else has to say who this is.
    fn begin_login(
        &mut self,
        key: Key,
        frame: &Frame<'_>,
        connect: &Connect<'_>,
        client_id: &str,
    ) -> Result<bool, Cause> {
        let peer = self.clients.connections.get(key).map(|c| c.peer);
        let Some(listener) = peer.and_then(|p| self.listener(p)) else {
            return Err(Cause::ServerUnavailable);
        };
        if let Some(method) = connect.properties.authentication_method {
            if !listener.authenticate {
                return Err(Cause::BadAuthenticationMethod); // [MQTT-4.12.0-1]
            }
            self.begin_exchange(key, frame, connect, client_id, method)?;
            return Ok(true);
        }
        match connect.username {
            Some(_) if listener.identity_as_username => Ok(false),
            Some(username) if listener.authenticate => {
                let login = Login {
                    client_id: client_id.into(),
                    username: Some(username.into()),
                    password: connect.password.map(<[u8]>::to_vec),
                    words: None,
                };
                if let Some(c) = self.clients.connections.get_mut(key) {
                    c.stage = Stage::Authenticating(frame.bytes.into());
                    c.rights = self.clients.rights;
                }
                self.actions.push_back(Action::Authenticate(key, login));
                Ok(true)
            }
            _ if !listener.allow_anonymous => Err(Cause::NotAuthorized),
            _ => Ok(false),
        }
    }

    /// The client is welcome: find or make its session. `proof` is the method by which it proved who it is, and the last
    /// words of that.
    pub(super) fn accept(
        &mut self,
        now: Time,
        key: Key,
        connect: &Connect<'_>,
        proof: Option<(&str, &[u8])>,
    ) {
        let Some(c) = self.clients.connections.get(key) else { return };
        let peer = c.peer;
        let Some(listener) = self.listener(peer) else { return };
        let (limits, access) = (listener.limits.clone(), listener.access.clone());
        let mount = listener.mount_point.clone();
        let assigned;
        let client_id = match connect.username {
            Some(username) if limits.username_as_client_id => username,
            _ if connect.client_id.is_empty() => {
                assigned = self.make_client_id(&limits.auto_id_prefix);
                &*assigned
            }
            _ => connect.client_id,
        };
        let keep_alive = self.settle_keep_alive(connect);
        let expiry = self.settle_expiry(connect);
        let mut connack = self.connack(connect, &limits, client_id, keep_alive, expiry);
        connack.properties.authentication_method = proof.map(|(method, _)| method); // [MQTT-4.12.0-5]
        connack.properties.authentication_data = proof.map(|(_, data)| data).filter(|data| !data.is_empty());
        if !self.fits(key, &Packet::ConnAck(connack.clone())) {
            return self.turn_away(now, key, Cause::PacketTooLarge);
        }
        if let Some(old) = self.clients.find(client_id) {
            self.take_over(now, old, connect.clean_start);
        }
        let known = self.clients.find(client_id);
        if known.is_none() && !self.add_session(peer) {
            return self.turn_away(now, key, Cause::QuotaExceeded);
        }
        let present = known.is_some();
        let session_key = known.unwrap_or_else(|| self.clients.insert(Session::new(client_id)));
        self.settle_connection(key, connect, &limits, session_key, keep_alive, expiry);
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        let same_rights = same_rules(session.access.as_ref(), access.as_ref())
            && session.username.as_deref() == connect.username;
        session.username = connect.username.map(Into::into);
        (session.access, session.mount, session.listener) = (access, mount, Some(peer.listener));
        session.connection = Some(key);
        session.expiry = expiry;
        session.will =
            connect.will.as_ref().and_then(|w| make_will(w, session.mount.as_deref())).map(Box::new);
        if let Some(outgoing) = session.outgoing.get_mut() {
            outgoing.restart();
        }
        self.timers.stop(session.expires.take(), Timer::SessionExpiry(session_key));
        self.timers.stop(session.will_due.take(), Timer::Will(session_key));
        if present {
            self.recheck(session_key);
        }
        if present && !same_rights {
            // cached matches hold the old rights
            self.router.invalidate();
        }
        self.set_members_online(session_key, true);
        self.settle_stored(session_key);
        connack.session_present = present;
        self.send_packet(now, key, &Packet::ConnAck(connack));
        let event = Event::Connected(Connected {
            peer,
            client_id,
            version: connect.version,
            clean_start: connect.clean_start,
            keep_alive,
            username: connect.username,
            bridge: connect.bridge,
            session_present: present,
            will: connect.will.as_ref().map(summary),
        });
        self.clients.observer.on(now, event);
        self.clients.pump(now, session_key, &mut self.variants);
    }

    /// Whether there is room for one session more.
    fn add_session(&self, peer: Peer) -> bool {
        let refused = self.clients.short && peer != Peer::INSIDE;
        !refused && self.router.add_session(self.settings.limits.sessions_max as usize)
    }

    /// An older connection or session with the same client id. [MQTT-3.1.4-3] [MQTT-3.1.2-4]
    fn take_over(&mut self, now: Time, session_key: Key, clean_start: bool) {
        if let Some(old) = self.clients.sessions.get(session_key).and_then(|s| s.connection) {
            self.close(now, old, Cause::TakenOver);
        }
        if clean_start {
            self.end_session(now, session_key);
        }
    }

    /// Another user resumes the session, or the rules have changed meanwhile: what waits in it must still be readable.
    fn recheck(&mut self, session_key: Key) {
        let rights = self.clients.rights;
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        session.rights = rights;
        if session.access.is_some() {
            let mut reader = session.reader();
            let Some(outgoing) = session.outgoing.get_mut() else { return };
            let gone = outgoing.retain(|m| reader.may_read(m.topic()));
            let stored = session.stored_id();
            for seq in gone {
                self.clients.journal.finished(stored, seq);
            }
        }
    }

    fn settle_keep_alive(&self, connect: &Connect<'_>) -> u16 {
        let max = self.settings.limits.keep_alive_max;
        // [MQTT-3.1.2-21]
        if max > 0 && (connect.keep_alive == 0 || connect.keep_alive > max) {
            max
        } else {
            connect.keep_alive
        }
    }

    fn settle_expiry(&self, connect: &Connect<'_>) -> u32 {
        let wanted = match connect.version {
            Version::V5 => connect.properties.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => NEVER,
        };
        self.settings.limits.session_expiry_max.map_or(wanted, |max| wanted.min(max))
    }

    fn settle_connection(
        &mut self,
        key: Key,
        connect: &Connect<'_>,
        limits: &crate::ListenerLimits,
        session: Key,
        keep_alive: u16,
        expiry: u32,
    ) {
        let inflight = match self.settings.limits.inflight_max {
            0 => u16::MAX,
            n => n,
        };
        let (terms, rights) = (self.settings.clone(), self.clients.rights);
        let stored = self.clients.sessions.get(session).is_some_and(|s| s.stored.is_some());
        let Some(c) = self.clients.connections.get_mut(key) else { return };
        if stored {
            // what it asks for again is no safer than when it asked first
            c.held = self.clients.journal.latest();
        }
        let p = &connect.properties;
        (c.terms, c.rights) = (terms, rights);
        c.stage = Stage::Live(session);
        self.clients.connected += 1;
        c.keep_alive = keep_alive;
        c.expiry_at_connect = expiry;
        c.window = p.receive_maximum.unwrap_or(u16::MAX);
        if !c.is_inside() {
            c.window = c.window.min(inflight);
        }
        c.bridge = connect.bridge;
        c.meter = Meter::new(limits.publish_rate);
        c.problem_information = p.request_problem_information.unwrap_or(true);
        if connect.version == Version::V5 {
            let outgoing = p.topic_alias_maximum.unwrap_or(0).min(limits.alias_out_max);
            c.aliases = (limits.alias_in_max > 0 || outgoing > 0)
                .then(|| Box::new(Aliases::new(limits.alias_in_max, outgoing)));
        }
        let deadline = c.keep_alive_deadline();
        self.set_connection_timer(key, deadline);
    }

    /// What is granted, for a session that is new.
    fn connack<'a>(
        &self,
        connect: &Connect<'_>,
        limits: &crate::ListenerLimits,
        client_id: &'a str,
        keep_alive: u16,
        expiry: u32,
    ) -> ConnAck<'a> {
        let global = &self.settings.limits;
        let flag = |b: bool| if b { None } else { Some(false) };
        let properties = ConnAckProperties {
            topic_alias_maximum: (limits.alias_in_max > 0).then_some(limits.alias_in_max),
            assigned_client_id: (client_id != connect.client_id).then_some(client_id),
            server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            session_expiry: (expiry != connect.properties.session_expiry.unwrap_or(0)).then_some(expiry),
            maximum_qos: (limits.qos_max < 2).then_some(limits.qos_max),
            retain_available: flag(limits.retain_available),
            maximum_packet_size: Some(global.packet_bytes_max),
            receive_maximum: Some(global.receive_max).filter(|n| *n != u16::MAX),
            ..ConnAckProperties::default()
        };
        ConnAck { session_present: false, reason: ReasonCode::Success, properties }
    }

    /// Refuses a client that has not been accepted, and closes.
    pub(super) fn turn_away(&mut self, now: Time, key: Key, cause: Cause) {
        let cause = self.refuse(key, cause);
        self.close(now, key, cause);
    }

    /// CONNACK with the reason, where the protocol has one for it; the caller closes.
    pub(super) fn refuse(&mut self, key: Key, cause: Cause) -> Cause {
        let Some(c) = self.clients.connections.get(key) else { return cause };
        let v5 = c.version == Version::V5;
        let reason = match cause {
            // [MQTT-3.1.4-1] a 3.x client that breaks the protocol gets no answer
            Cause::Malformed(_) | Cause::Protocol(_) | Cause::PacketTooLarge | Cause::TopicNameInvalid
                if !v5 =>
            {
                return cause;
            }
            // a 3.x client without a user name is told the same as one with a wrong password's owner
            cause => cause.reason(),
        };
        let connack = ConnAck { session_present: false, reason, properties: ConnAckProperties::default() };
        self.send_packet(Time::default(), key, &Packet::ConnAck(connack));
        cause
    }

    /// `prefix` and a random UUID that lives on this shard.
    fn make_client_id(&mut self, prefix: &str) -> String {
        loop {
            let (a, b) = (self.next_random(), self.next_random());
            let (a, b) = (a & !0xf000 | 0x4000, b & !(3 << 62) | (2 << 62));
            let id = format!(
                "{prefix}{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xffff,
                b >> 48,
                b & 0xffff_ffff_ffff
            );
            if self.home(&id) == self.id && self.clients.find(&id).is_none() {
                return id;
            }
        }
    }

    /// Does the client take packets of this size?
    pub(super) fn fits(&self, key: Key, packet: &Packet<'_>) -> bool {
        let Some(c) = self.clients.connections.get(key) else { return true };
        let mut bytes = Vec::new();
        packet.encode(c.version, &mut bytes).is_ok() && bytes.len() <= c.packet_bytes_max as usize
    }

    /// Encodes and queues any packet but PUBLISH.
    pub(super) fn send_packet(&mut self, now: Time, key: Key, packet: &Packet<'_>) {
        if let Some(bytes) = self.encode(now, key, packet) {
            self.clients.send_bytes(key, &bytes);
        }
    }

    /// The packet for this client, if it takes one of that size; traced as sent.
    pub(super) fn encode(&mut self, now: Time, key: Key, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let c = self.clients.connections.get(key)?;
        let mut bytes = Vec::new();
        if packet.encode(c.version, &mut bytes).is_err() || bytes.len() > c.packet_bytes_max as usize {
            return None;
        }
        // CONNACK is part of the "connected" event
        if self.clients.trace && !matches!(packet, Packet::ConnAck(_)) {
            let (name, packet_id, reason) = describe(packet);
            self.clients.trace_sent(now, key, name, packet_id, reason);
        }
        Some(bytes)
    }

    /// DISCONNECT with a reason, for clients that understand it.
    pub(super) fn send_disconnect(&mut self, now: Time, key: Key, cause: Cause) {
        let Some(c) = self.clients.connections.get(key) else { return };
        if !c.is_v5() || !matches!(c.stage, Stage::Live(_)) {
            return;
        }
        let text = match cause {
            Cause::Malformed(text) | Cause::Protocol(text) => Some(text),
            _ => None,
        };
        let packet = |reason_string| {
            let properties = DisconnectProperties { reason_string, ..DisconnectProperties::default() };
            Packet::Disconnect(Disconnect { reason: cause.reason(), properties })
        };
        let mut disconnect = packet(text.filter(|_| c.problem_information));
        // [MQTT-3.14.2-3]
        if !self.fits(key, &disconnect) {
            disconnect = packet(None);
        }
        self.send_packet(now, key, &disconnect);
    }
}

fn describe(packet: &Packet<'_>) -> (&'static str, u16, u8) {
    match packet {
        Packet::ConnAck(p) => ("CONNACK", u16::from(p.session_present), p.reason as u8),
        Packet::SubAck(p) => ("SUBACK", p.packet_id.get(), 0),
        Packet::UnsubAck(p) => ("UNSUBACK", p.packet_id.get(), 0),
        Packet::Disconnect(p) => ("DISCONNECT", 0, p.reason as u8),
        Packet::Auth(p) => ("AUTH", 0, p.reason as u8),
        Packet::PubAck(p) => ("PUBACK", p.packet_id.get(), p.reason as u8),
        Packet::PubRec(p) => ("PUBREC", p.packet_id.get(), p.reason as u8),
        Packet::PubComp(p) => ("PUBCOMP", p.packet_id.get(), p.reason as u8),
        Packet::PubRel(p) => ("PUBREL", p.packet_id.get(), p.reason as u8),
        Packet::PingResp => ("PINGRESP", 0, 0),
        _ => ("AUTH", 0, 0),
    }
}

fn summary<'a>(w: &grovemq_codec::Will<'a>) -> WillSummary<'a> {
    WillSummary { topic: w.topic, bytes: w.payload.len(), qos: w.qos, retain: w.retain }
}

/// `None` if its topic does not fit behind the mount point.
fn make_will(w: &grovemq_codec::Will<'_>, mount: Option<&str>) -> Option<Will> {
    let mut block = Vec::new();
    let mut properties = w.properties.as_publish();
    properties.message_expiry = None;
    if properties.write(&mut block).is_err() {
        block.clear();
    }
    let message = MessageRef {
        topic: &mounted(mount, w.topic)?,
        properties: &block,
        payload: w.payload,
        qos: w.qos,
        retain: w.retain,
        expires: None,
    };
    Some(Will {
        message: Arc::clone(&message.to_shared()),
        delay: w.properties.delay.unwrap_or(0),
        expiry: w.properties.message_expiry,
    })
}

/// The version a CONNECT that does not parse seems to have, to answer it in its own tongue.
fn version_of(frame: &Frame<'_>) -> Version {
    match frame.body {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] if *level >= 5 => Version::V5,
        _ => Version::V311,
    }
}
