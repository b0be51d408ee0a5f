//! SUBSCRIBE, UNSUBSCRIBE and the retained messages that answer a new subscription.

use super::clients::{Clients, Delivery, To};
use super::mount::mounted;
use super::{Shard, suback_code};
use crate::access::{Access, Who};
use crate::connection::Connection;
use crate::journal::{Record, SubscriptionImage};
use crate::observe::{Cause, Event};
use crate::router::{ADDED_LEVELS, ADDED_MAX, Cursor, NodeId, SessionRef, Subscription};
use crate::session::Replay;
use crate::slab::Key;
use crate::{Message, Time};
use core::num::NonZeroU16;
use grovemq_codec::{
    AckProperties, Filters, Frame, Packet, PacketType, Qos, ReasonCode, ReasonCodes, RetainHandling, SubAck,
    SubscribeOptions, Topics, UnsubAck, Version, topic,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Retained topics looked at for one session in one turn, sessions that have theirs in one turn, and unsent bytes above
/// which a session must wait.
const REPLAY_TOPICS: usize = 512;
const REPLAY_SESSIONS: usize = 16;
const REPLAY_OUTPUT_BYTES: usize = 256 << 10;

/// More than the work of any packet: it is to be given again, and then goes on.
pub(super) const UNFINISHED: u32 = u32::MAX;

/// A SUBSCRIBE or UNSUBSCRIBE of which the filters before `at` are done; the packet itself stays with the driver.
#[derive(Debug)]
pub(super) struct Unfinished {
    packet_id: NonZeroU16,
    /// The subscription identifier; 0 is none.
    id: u32,
    at: usize,
    codes: Vec<ReasonCode>,
    mark: u64,
}

impl Shard {
    /// SUBSCRIBE or UNSUBSCRIBE, as far as the turn has room for. Returns the number of filters, or [`UNFINISHED`].
    pub(super) fn on_filters(
        &mut self,
        now: Time,
        key: Key,
        frame: &Frame<'_>,
        version: Version,
    ) -> Result<u32, Cause> {
        let Some(session_key) = self.session_of(key) else { return Ok(0) };
        if self.filters_left == 0 {
            self.clients.stats.messages_received -= 1; // it comes again
            return Ok(UNFINISHED);
        }
        let mut task = match self.unfinished.remove(&key) {
            Some(task) => task,
            None => self.begin_filters(now, key, frame, version)?,
        };
        let rest = frame.bytes.get(task.at..).unwrap_or_default();
        let rest = if frame.kind == PacketType::Subscribe {
            self.subscribe_some(now, key, session_key, Filters::Encoded(rest, version), &mut task)?
        } else {
            self.unsubscribe_some(now, session_key, Topics::Encoded(rest), &mut task)
        };
        if !rest.is_empty() {
            task.at = frame.bytes.len() - rest.len();
            self.unfinished.insert(key, task);
            self.clients.stats.messages_received -= 1;
            return Ok(UNFINISHED);
        }
        let Unfinished { packet_id, codes, mark, .. } = task;
        let filters = u32::try_from(codes.len()).unwrap_or(u32::MAX - 1);
        let (codes, properties) = (ReasonCodes::List(&codes), AckProperties::default());
        if frame.kind == PacketType::Subscribe {
            let suback = SubAck { packet_id, properties, codes };
            self.answer_packet(now, key, &Packet::SubAck(suback), mark);
            self.replay_session(now, session_key);
        } else {
            let unsuback = UnsubAck { packet_id, properties, codes };
            self.answer_packet(now, key, &Packet::UnsubAck(unsuback), mark);
        }
        Ok(filters)
    }

    /// Checks the whole packet, before anything of it is done.
    fn begin_filters(
        &mut self,
        now: Time,
        key: Key,
        frame: &Frame<'_>,
        version: Version,
    ) -> Result<Unfinished, Cause> {
        let packet = Packet::parse(frame, version)?;
        if self.clients.trace {
            self.trace_received(now, key, &packet);
        }
        let (packet_id, id, filters, payload) = match packet {
            Packet::Subscribe(p) => {
                let id = p.properties.subscription_id.unwrap_or(0);
                (p.packet_id, id, p.filters.len(), p.filters.iter().rest())
            }
            Packet::Unsubscribe(p) => (p.packet_id, 0, p.topics.len(), p.topics.iter().rest()),
            _ => return Err(Cause::Protocol("neither SUBSCRIBE nor UNSUBSCRIBE")),
        };
        if self.clients.connections.get(key).is_some_and(|c| !takes_codes(c, filters)) {
            return Err(Cause::PacketTooLarge);
        }
        if filters > self.settings.limits.filters_max {
            return Err(Cause::QuotaExceeded);
        }
        let mark = self.clients.journal.mark();
        let at = frame.bytes.len() - payload.len();
        Ok(Unfinished { packet_id, id, at, codes: Vec::with_capacity(filters), mark })
    }

    /// Returns those for which the turn has no room.
    fn subscribe_some<'a>(
        &mut self,
        now: Time,
        key: Key,
        session_key: Key,
        filters: Filters<'a>,
        task: &mut Unfinished,
    ) -> Result<&'a [u8], Cause> {
        let Some(c) = self.clients.connections.get(key) else { return Ok(&[]) };
        let (version, bridge) = (c.version, c.bridge);
        let qos_max = self.listener(c.peer).map_or(2, |l| l.limits.qos_max);
        let qos_max = Qos::from_u8(qos_max).unwrap_or_default();
        let Some(session) = self.clients.sessions.get(session_key) else { return Ok(&[]) };
        let mount = session.mount.clone();
        let max = self.settings.limits.subscriptions_max as usize;
        let mut filters = filters.iter();
        let mut wanted = Vec::with_capacity(ADDED_MAX);
        let mut fault = None;
        while self.filters_left > 0 && fault.is_none() {
            let len = self.clients.sessions.get(session_key).map_or(0, |s| s.subscriptions.len());
            // one by one, where some may be too many
            let some = if len + ADDED_MAX > max { 1 } else { ADDED_MAX };
            let mut levels = 0;
            while wanted.len() < some
                && levels < ADDED_LEVELS
                && self.filters_left > 0
                && let Some((filter, mut options)) = filters.next()
            {
                self.filters_left -= 1;
                options.qos = options.qos.min(qos_max);
                let split = split(filter);
                let group = split.and_then(|(group, _)| group);
                let inner = split.and_then(|(_, inner)| mounted(mount.as_deref(), inner));
                if group.is_some() && inner.is_some() && options.no_local {
                    // [MQTT-3.8.3-4]
                    fault = Some(Cause::Protocol("no local on a shared subscription"));
                    break;
                }
                if bridge && group.is_none() {
                    // what a bridge of 3.x cannot ask for: no echo, and messages as they were
                    (options.no_local, options.retain_as_published) = (true, true);
                }
                levels += filter.bytes().filter(|b| *b == b'/').count() + 1;
                let code =
                    if inner.is_some() { granted(options.qos) } else { ReasonCode::TopicFilterInvalid };
                let inner = inner.unwrap_or_default();
                wanted.push(Wanted { filter, group, inner, options, code });
            }
            if wanted.is_empty() {
                break;
            }
            self.subscribe_slice(now, session_key, &mut wanted, task.id);
            task.codes.extend(wanted.drain(..).map(|w| suback_code(version, w.code)));
        }
        match fault {
            None => Ok(filters.rest()),
            Some(cause) => Err(cause),
        }
    }

    fn subscribe_slice(&mut self, now: Time, session_key: Key, wanted: &mut [Wanted<'_>], id: u32) {
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
        let of = SessionRef { shard: self.id, key: session_key };
        if let [one] = &mut *wanted
            && !one.code.is_error()
            && session.subscriptions.len() >= self.settings.limits.subscriptions_max as usize
            && self.router.subscription(&one.inner, one.group, of).is_none()
        {
            one.code = ReasonCode::QuotaExceeded;
            return;
        }
        let (mounted, stored) = (session.mount.is_some(), session.stored.is_some());
        let subscription = |options: SubscribeOptions| Subscription {
            session: of,
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            mounted,
            online: true,
            stored,
            id,
        };
        let mut added = [(NodeId::default(), false); ADDED_MAX];
        let mut places = added.iter_mut();
        let legal = || wanted.iter().filter(|w| !w.code.is_error());
        let all = legal().map(|w| (&*w.inner, w.group, subscription(w.options)));
        self.router.subscribe_some(all, |node, new| {
            if let Some(place) = places.next() {
                *place = (node, new);
            }
        });
        let retained = self.router.retained();
        for (Wanted { group, inner, options, .. }, (node, new)) in legal().zip(added) {
            let (group, inner, options) = (*group, &**inner, *options);
            if new {
                session.subscriptions.insert(node, group);
            }
            if let Some(stored) = session.stored_id() {
                let image =
                    SubscriptionImage { filter: inner.into(), group: group.map(Box::from), options, id };
                self.clients.journal.record(Record::Subscribed(stored, Box::new(image)));
            }
            let asked = match options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::IfNew => new,
                RetainHandling::Never => false,
            };
            // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; none for shared subscriptions
            if asked && group.is_none() && retained.may_match(inner) {
                session.replays.insert(inner.into(), Replay { options, id, cursor: Cursor::Start });
            }
        }
        drop(retained);
        for &Wanted { filter, options, code: granted, .. } in legal() {
            let event = Event::Subscribed { client_id: &session.client_id, filter, options, granted };
            self.clients.observer.on(now, event);
        }
    }

    /// Returns those for which the turn has no room.
    fn unsubscribe_some<'a>(
        &mut self,
        now: Time,
        session_key: Key,
        filters: Topics<'a>,
        task: &mut Unfinished,
    ) -> &'a [u8] {
        let mut filters = filters.iter();
        while self.filters_left > 0
            && let Some(filter) = filters.next()
        {
            self.filters_left -= 1;
            task.codes.push(self.unsubscribe_one(now, session_key, filter));
        }
        filters.rest()
    }

    fn unsubscribe_one(&mut self, now: Time, session_key: Key, filter: &str) -> ReasonCode {
        let Some((group, inner)) = split(filter) else { return ReasonCode::TopicFilterInvalid };
        let Some(session) = self.clients.sessions.get_mut(session_key) else { return ReasonCode::Success };
        let Some(inner) = mounted(session.mount.as_deref(), inner) else {
            return ReasonCode::TopicFilterInvalid;
        };
        let inner = &*inner;
        let session_ref = SessionRef { shard: self.id, key: session_key };
        let node = self.router.unsubscribe(inner, group, session_ref);
        if let Some(node) = node {
            session.subscriptions.remove(node, group);
            if let Some(stored) = session.stored_id() {
                let record = Record::Unsubscribed(stored, inner.into(), group.map(Box::from));
                self.clients.journal.record(record);
            }
            if group.is_none() {
                session.replays.remove(inner);
            }
        }
        let event = Event::Unsubscribed { client_id: &session.client_id, filter };
        self.clients.observer.on(now, event);
        if node.is_some() { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted }
    }

    pub(super) fn set_members_online(&mut self, session_key: Key, online: bool) {
        if let Some(session) = self.clients.sessions.get(session_key) {
            let session_ref = SessionRef { shard: self.id, key: session_key };
            self.router.set_online(session_ref, &session.subscriptions, online);
        }
    }

    /// Goes on sending retained messages, a slice for each session that waits for some.
    pub(super) fn replay_retained(&mut self, now: Time) {
        let some = self.clients.replaying.len().min(REPLAY_SESSIONS);
        for session in self.clients.replaying.drain(..some).collect::<Vec<_>>() {
            if let Some(s) = self.clients.sessions.get_mut(session) {
                s.replaying = false;
            }
            self.replay_session(now, session);
        }
    }

    /// One session's slice: some topics of one filter, or so many filters that name a single topic.
    fn replay_session(&mut self, now: Time, session_key: Key) {
        for _ in 0..REPLAY_TOPICS {
            if self.clients.is_crowded(session_key) {
                return; // until `resume_replay`
            }
            let Some(session) = self.clients.sessions.get_mut(session_key) else { return };
            if session.connection.is_none() {
                session.replays.clear();
            }
            let Some((filter, replay)) = session.replays.pop_first() else { return };
            if session.replays.is_empty() {
                // an empty map keeps a node of nearly a kilobyte
                session.replays = BTreeMap::new();
            }
            let is_slice = topic::is_wildcard(&filter);
            self.replay_filter(now, session_key, filter, replay);
            if is_slice {
                break;
            }
        }
        if !self.clients.is_crowded(session_key) {
            self.clients.keep_replaying(session_key);
        }
    }

    fn replay_filter(&mut self, now: Time, session_key: Key, filter: Box<str>, mut replay: Replay) {
        let Some(session) = self.clients.sessions.get(session_key) else { return };
        let mut found = Vec::new();
        // [MQTT-3.8.3-3] else a bridge would undo what has happened at the other broker meanwhile
        let except = replay.options.no_local.then_some(&*session.client_id);
        self.router.retained().collect(&filter, except, &mut replay.cursor, REPLAY_TOPICS, &mut found);
        let access = session.access.clone();
        let (id, user) = (session.client_id.clone(), session.username.clone());
        let who = Who { client_id: &id, username: user.as_deref() };
        let mut last: Option<Arc<Message>> = None;
        for message in found {
            if let Some(last) = last.filter(|_| self.clients.is_crowded(session_key)) {
                replay.cursor = Cursor::After(last.topic().into());
                break;
            }
            let readable =
                access.as_ref().is_none_or(|a| a.check(who, Access::Read, message.topic()).is_ok());
            if readable && !message.is_expired(now) {
                self.send_retained(now, session_key, &replay, &message);
            }
            last = Some(message);
        }
        if replay.cursor != Cursor::End
            && let Some(session) = self.clients.sessions.get_mut(session_key)
        {
            session.replays.insert(filter, replay);
        }
    }

    fn send_retained(&mut self, now: Time, session: Key, replay: &Replay, message: &Arc<Message>) {
        let ids = [replay.id];
        let to = To {
            session,
            qos: replay.options.qos,
            retain: true, // [MQTT-3.3.1-8]
            ids: if replay.id == 0 { &[] } else { &ids },
        };
        let mut delivery = Delivery {
            message: message.view(),
            shared: Some(message.clone()),
            several: false,
            variants: &mut self.variants,
        };
        self.clients.deliver_mounted(now, to, &mut delivery);
    }
}

impl Clients {
    /// Lets retained messages go on that had to wait, once half of what waits before them is gone.
    pub(super) fn resume_replay(&mut self, session_key: Key) {
        let half = self.replay_queue_max() / 2;
        if self.sessions.get(session_key).is_some_and(|s| s.outgoing.queue_len() <= half) {
            self.keep_replaying(session_key);
        }
    }

    fn keep_replaying(&mut self, session_key: Key) {
        if let Some(session) = self.sessions.get_mut(session_key)
            && !session.replays.is_empty()
            && !session.replaying
        {
            session.replaying = true;
            self.replaying.push(session_key);
        }
    }

    /// Too much waits for a client to add retained messages to it: some would be dropped.
    fn is_crowded(&self, session_key: Key) -> bool {
        let Some(session) = self.sessions.get(session_key) else { return false };
        let out = &session.outgoing;
        let bytes_max = self.limits.queue_bytes_max / 2;
        let connection = session.connection.and_then(|key| self.connections.get(key));
        connection.is_some_and(|c| c.outbox.len() > REPLAY_OUTPUT_BYTES.min(self.output_bytes_max))
            || (self.short && !self.takes_at_once(session_key))
            || out.queue_len() >= self.replay_queue_max()
            || (bytes_max > 0 && out.queue_bytes() as u64 >= bytes_max)
    }

    /// Queued messages above which retained ones wait.
    fn replay_queue_max(&self) -> usize {
        match self.limits.queue_messages_max as usize {
            0 => REPLAY_TOPICS / 4,
            max => (max / 2).clamp(1, REPLAY_TOPICS / 4),
        }
    }
}

/// A filter of a SUBSCRIBE on its way into the index.
struct Wanted<'a> {
    filter: &'a str,
    group: Option<&'a str>,
    /// Without the group, with the mount point; empty where that is not legal.
    inner: Cow<'a, str>,
    options: SubscribeOptions,
    /// The answer, if nothing else comes in between.
    code: ReasonCode,
}

fn granted(qos: Qos) -> ReasonCode {
    match qos {
        Qos::AtMostOnce => ReasonCode::Success,
        Qos::AtLeastOnce => ReasonCode::GrantedQos1,
        Qos::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}

/// Whether the client takes an answer with so many codes; there is nothing else in it that could be left out. Whoever
/// asks for more than it takes an answer to cannot be served. [MQTT-3.1.2-24]
fn takes_codes(c: &Connection, codes: usize) -> bool {
    let body = 3 + codes;
    let header = 1 + (1..4).find(|n| body < 1 << (7 * n)).unwrap_or(4);
    c.packet_bytes_max == u32::MAX || header + body <= c.packet_bytes_max as usize
}

/// Group and filter, where the filter is legal.
fn split(filter: &str) -> Option<(Option<&str>, &str)> {
    match topic::parse_shared(filter) {
        Ok(Some((group, inner))) => topic::validate_filter(inner).ok().map(|()| (Some(group), inner)),
        Ok(None) => topic::validate_filter(filter).ok().map(|()| (None, filter)),
        Err(_) => None,
    }
}
