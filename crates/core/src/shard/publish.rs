//! The way of a message: PUBLISH in, routing, PUBLISH out.

use super::clients::{Delivery, To};
use super::mail::Target;
use super::mount::TOPIC_BYTES_MAX;
use super::run::Burst;
use super::{Action, Request, Shard};
use crate::access::{Access, Source};
use crate::connection::Stage;
use crate::journal::Record;
use crate::observe::{Cause, Event};
use crate::qos::{Arrival, ReceiverStep};
use crate::router::{Entry, Quota, Subscription};
use crate::session::Session;
use crate::slab::Key;
use crate::{Message, MessageRef, Time};
use grovemq_codec::{PacketType, PublishProperties, PublishView, Qos, ReasonCode};
use std::sync::Arc;

/// Topics that only the broker itself writes to.
const RESERVED: [&str; 2] = [SYS, CONTROL];
/// What the broker tells of itself, which a restart makes untrue.
const SYS: &str = "$SYS/";
/// Topics whose messages are requests to the broker itself and go to nobody else.
const CONTROL: &str = "$CONTROL/";

/// After so long without one, a run of refused messages is over.
const RUN_MILLIS: u64 = 10_000;

/// Who sends a message, and what is known of it.
#[derive(Clone, Copy)]
struct Publisher {
    key: Key,
    session: Key,
    v5: bool,
    mounted: bool,
    /// See [`Connection::topic_hint`](crate::connection::Connection::topic_hint).
    hint: u32,
    allowed_serial: u64,
    paced: bool,
}

/// Bridges tell there whether they are up.
const BRIDGE_STATE: [&str; 2] = ["$SYS/broker/connection/", "/state"];

fn is_reserved(topic: &str) -> bool {
    let [start, end] = BRIDGE_STATE;
    let bridge = topic.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    RESERVED.iter().any(|r| topic.starts_with(r)) && bridge.is_none_or(|name| name.contains('/'))
}

impl Shard {
    /// Returns how many receivers it reached, as a measure of work.
    #[inline]
    pub(super) fn on_publish(
        &mut self,
        now: Time,
        key: Key,
        burst: &mut Burst<'_>,
        p: &PublishView<'_>,
    ) -> Result<u32, Cause> {
        self.clients.stats.publish_received += 1;
        self.clients.stats.publish_bytes_received += p.payload.len() as u64;
        if self.clients.trace {
            self.trace_publish(now, key, &p.with(p.properties()?));
        }
        let Some(from) = self.publisher(key, p)? else { return Ok(0) };
        if from.mounted || !p.raw_properties.is_empty() {
            return self.publish_resolved(now, from, p, burst);
        }
        let PublishView { topic, raw_properties: properties, payload, qos, retain, .. } = *p;
        let message = MessageRef { topic, properties, payload, qos, retain, expires: None };
        Ok(self.publish_from(now, from, p, &message, Some(burst)))
    }

    /// The sender, if it is one; an error for what it may not send at all.
    #[inline]
    fn publisher(&self, key: Key, p: &PublishView<'_>) -> Result<Option<Publisher>, Cause> {
        let Some(c) = self.clients.connections.get(key) else { return Ok(None) };
        let Stage::Live(session) = c.stage else { return Ok(None) };
        // by what it was promised, whatever holds for others now
        let Some(listener) = c.terms.listener(c.peer) else { return Ok(None) };
        if p.qos as u8 > listener.limits.qos_max {
            return Err(Cause::QosNotSupported); // [MQTT-3.2.2-11]
        }
        if p.retain && !listener.limits.retain_available {
            return Err(Cause::RetainNotSupported); // [MQTT-3.2.2-14]
        }
        let v5 = c.is_v5();
        if p.qos == Qos::ExactlyOnce
            && v5
            && let Some(s) = self.clients.sessions.get(session)
            && s.received_len() >= usize::from(c.terms.limits.receive_max)
            && !p.packet_id.is_some_and(|id| s.has_received(id.get()))
        {
            return Err(Cause::ReceiveMaximumExceeded); // [MQTT-3.3.4-9]
        }
        let mounted = listener.mount_point.is_some();
        let (hint, allowed_serial, paced) = (c.topic_hint, c.allowed_serial, c.paced);
        Ok(Some(Publisher { key, session, v5, mounted, hint, allowed_serial, paced }))
    }

    /// A message of which topic or properties may have to be rewritten.
    fn publish_resolved(
        &mut self,
        now: Time,
        from: Publisher,
        p: &PublishView<'_>,
        burst: &mut Burst<'_>,
    ) -> Result<u32, Cause> {
        let properties = p.properties()?;
        if !properties.subscription_ids.is_empty() {
            return Err(Cause::Protocol("subscription identifier from a client")); // [MQTT-3.3.4-6]
        }
        let mut scratch =
            (core::mem::take(&mut self.topic_scratch), core::mem::take(&mut self.properties_scratch));
        let result = self.resolve(now, from, p, &properties, &mut scratch);
        let rewritten =
            from.mounted || properties.topic_alias.is_some() || properties.message_expiry.is_some();
        let burst = Some(burst).filter(|_| !rewritten);
        let result = result.map(|message| self.publish_from(now, from, p, &message, burst));
        (self.topic_scratch, self.properties_scratch) = scratch;
        result
    }

    /// The message with its topic spelled out and without the properties that concern this connection only.
    fn resolve<'a>(
        &mut self,
        now: Time,
        from: Publisher,
        p: &PublishView<'a>,
        read: &PublishProperties<'_>,
        scratch: &'a mut (String, Vec<u8>),
    ) -> Result<MessageRef<'a>, Cause> {
        let (topic_scratch, properties_scratch) = scratch;
        let mut topic = p.topic;
        let mut properties = p.raw_properties;
        if read.topic_alias.is_some() || from.mounted {
            topic_scratch.clear();
            if let Some(mount) = self.mount_of(from.session) {
                topic_scratch.push_str(mount);
            }
            topic_scratch.push_str(match read.topic_alias {
                None => p.topic,
                Some(alias) => {
                    let aliases = self.clients.connections.get_mut(from.key).and_then(|c| c.aliases.as_mut());
                    aliases.ok_or(Cause::TopicAliasInvalid)?.resolve(alias, p.topic)?
                }
            });
            if topic_scratch.len() > TOPIC_BYTES_MAX {
                return Err(Cause::TopicNameInvalid);
            }
            topic = topic_scratch;
        }
        if read.topic_alias.is_some() || read.message_expiry.is_some() {
            properties_scratch.clear();
            let kept = PublishProperties { topic_alias: None, message_expiry: None, ..read.clone() };
            if kept.write(properties_scratch).is_err() {
                return Err(Cause::Malformed("properties too long"));
            }
            properties = properties_scratch;
        }
        let expires = read.message_expiry.map(|s| now.after_seconds(s));
        Ok(MessageRef { topic, properties, payload: p.payload, qos: p.qos, retain: p.retain, expires })
    }

    #[cold]
    fn mount_of(&self, session: Key) -> Option<&str> {
        self.clients.sessions.get(session)?.mount.as_deref()
    }

    fn publish_from(
        &mut self,
        now: Time,
        from: Publisher,
        p: &PublishView<'_>,
        message: &MessageRef<'_>,
        burst: Option<&mut Burst<'_>>,
    ) -> u32 {
        let Publisher { key, session, v5, .. } = from;
        let id = p.packet_id.map_or(0, core::num::NonZeroU16::get);
        let slot = self.lookup(message.topic, from.hint);
        let refusal = self.refusal(now, from, slot, message, id);
        let refusal =
            if self.clients.short { refusal.or_else(|| self.shortage(from, slot, message)) } else { refusal };
        let plain = p.qos == Qos::AtMostOnce && !message.retain && !message.topic.starts_with('$');
        if plain && refusal.is_none() && !self.clients.journal.behind {
            return self.publish_plain(now, from, slot, p, message, burst);
        }
        let mark = self.clients.journal.mark();
        // a copy of a message taken over before is answered as such, whatever the rules are now
        let known = |s: &Session| s.has_received(id);
        let mut once = None;
        if p.qos == Qos::ExactlyOnce
            && (refusal.is_none() || !v5 || self.clients.sessions.get(session).is_some_and(known))
            && let Some(s) = self.clients.sessions.get_mut(session)
        {
            if s.on_arrival(id, Arrival::Publish) == ReceiverStep::AckAgain {
                self.answer(now, key, PacketType::PubRec, id, ReasonCode::Success, mark);
                return 0;
            }
            once = s.stored_id();
        }
        if once.is_some() {
            self.clients.journal.begin_once();
        }
        let mut reached = 0;
        let reason = refusal.unwrap_or_else(|| {
            if message.topic.starts_with(CONTROL) {
                self.ask_driver(key, session, message);
                return ReasonCode::Success;
            }
            let mut slot = slot;
            let shared = message.retain.then(|| message.to_shared());
            if let Some(message) = &shared {
                let bridge = self.clients.connections.get(key).is_some_and(|c| c.bridge || c.is_inside());
                let source = self.clients.sessions.get(session).and_then(|s| s.source(bridge));
                self.keep(message.clone(), source);
                // matched after it was kept: who subscribes meanwhile on another shard misses it on neither way
                slot = self.lookup(message.topic(), u32::try_from(slot).unwrap_or(0));
            }
            reached = self.route(now, slot, message, Some(session), shared);
            if reached == 0 { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success }
        });
        if let Some(stored) = once {
            self.clients.journal.end_once(stored, id);
        }
        match p.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.answer(now, key, PacketType::PubAck, id, reason, mark),
            Qos::ExactlyOnce => self.answer(now, key, PacketType::PubRec, id, reason, mark),
        }
        if self.clients.journal.behind
            && self.clients.journal.mark() != mark
            && let Some(c) = self.clients.connections.get_mut(key)
        {
            c.storing = true;
            self.clients.pressure = true;
        }
        reached
    }

    /// A message that nobody has to answer for, and what goes with it.
    #[inline]
    fn publish_plain(
        &mut self,
        now: Time,
        from: Publisher,
        slot: usize,
        p: &PublishView<'_>,
        message: &MessageRef<'_>,
        burst: Option<&mut Burst<'_>>,
    ) -> u32 {
        let Publisher { key, session, paced, .. } = from;
        let run = burst.filter(|_| !paced).and_then(|b| Some((self.gather(slot, b, p)?, b)));
        let reached = if let Some((run, burst)) = run {
            let (taken, reached) = self.route_run(now, slot, &run, message.payload.len(), session);
            burst.taken = taken;
            reached
        } else {
            self.route(now, slot, message, Some(session), None)
        };
        if self.clients.pressure != paced
            && let Some(c) = self.clients.connections.get_mut(key)
        {
            c.paced = self.clients.pressure;
        }
        reached
    }

    /// Slot of the topic in the match cache.
    #[inline]
    pub(super) fn lookup(&mut self, topic: &str, hint: u32) -> usize {
        let sessions = &self.clients.sessions;
        self.cache.lookup(&self.router, topic, hint, |key| {
            sessions.get(key).is_some_and(|s| {
                s.access.as_ref().is_none_or(|a| a.check(s.who(), Access::Read, topic).is_ok())
            })
        })
    }

    /// Why the client may not publish this, if so. Asked once per client and topic in a row.
    #[inline]
    fn refusal(
        &mut self,
        now: Time,
        from: Publisher,
        slot: usize,
        m: &MessageRef<'_>,
        packet_id: u16,
    ) -> Option<ReasonCode> {
        let serial = self.cache.entry(slot)?.serial;
        let max = self.settings.limits.payload_bytes_max as usize;
        if max > 0 && m.payload.len() > max {
            self.clients.stats.publish_dropped += 1;
            return Some(ReasonCode::QuotaExceeded); // the nearest that an acknowledgement may carry
        }
        if from.allowed_serial == serial {
            return self.retain_refusal(now, from.session, m);
        }
        let c = self.clients.connections.get_mut(from.key)?;
        c.topic_hint = u32::try_from(slot).unwrap_or(0);
        let session = self.clients.sessions.get(from.session)?;
        let request = self.settings.control && m.topic.starts_with(CONTROL);
        let reason = if !request && !c.is_inside() && is_reserved(m.topic) {
            Err("reserved for the broker".to_string())
        } else {
            session.access.as_ref().map_or(Ok(()), |a| a.check(session.who(), Access::Write, m.topic))
        };
        let Err(reason) = reason else {
            c.allowed_serial = serial;
            return self.retain_refusal(now, from.session, m);
        };
        self.clients.stats.publish_dropped += 1;
        let event = Event::Denied {
            client_id: &session.client_id,
            username: session.username.as_deref(),
            topic: m.topic,
            qos: m.qos,
            retain: m.retain,
            packet_id,
            bytes: m.payload.len(),
            reason: &reason,
        };
        self.clients.observer.on(now, event);
        Some(ReasonCode::NotAuthorized)
    }

    /// A message that is to be retained needs room.
    #[inline]
    fn retain_refusal(&mut self, now: Time, session: Key, m: &MessageRef<'_>) -> Option<ReasonCode> {
        if !m.retain || m.payload.is_empty() {
            return None;
        }
        let quota = self.retained_quota();
        let size = m.topic.len() + m.properties.len() + m.payload.len();
        let (count, last) = self.retained_refused;
        if self.router.retained().has_room_for(m.topic, size, quota) {
            if count > 0 && now.0.saturating_sub(last.0) >= RUN_MILLIS {
                self.retained_refused.0 = 0;
                self.clients.observer.on(now, Event::RetainedRoom { count });
            }
            return None;
        }
        self.clients.stats.publish_dropped += 1;
        self.retained_refused = (count.saturating_add(1), now);
        if count == 0 {
            let session = self.clients.sessions.get(session)?;
            let event = Event::RetainedFull { client_id: &session.client_id, topic: m.topic };
            self.clients.observer.on(now, event);
        }
        Some(ReasonCode::QuotaExceeded)
    }

    fn retained_quota(&self) -> Quota {
        let limits = &self.settings.limits;
        let bytes = usize::try_from(limits.retained_bytes_max).unwrap_or(usize::MAX);
        if self.clients.short {
            // what is there may be replaced by what is no larger
            return Quota { messages: 0, bytes: 0 };
        }
        let bytes = if bytes == 0 { usize::MAX } else { bytes };
        Quota { messages: limits.retained_max as usize, bytes }
    }

    /// While memory is short, a message that would have to wait for a client is better refused where that can be told;
    /// else its publisher goes slower and it is dropped for the clients that it would have to wait for.
    #[cold]
    fn shortage(&mut self, from: Publisher, slot: usize, m: &MessageRef<'_>) -> Option<ReasonCode> {
        if m.qos == Qos::AtMostOnce || !from.v5 {
            return None;
        }
        let upgrade = self.settings.upgrade_outgoing_qos;
        let waits = self.cache.entry(slot)?.local.iter().any(|d| {
            let qos = if upgrade { d.qos } else { d.qos.min(m.qos) };
            let echo = d.no_local && d.session == from.session;
            qos != Qos::AtMostOnce && !echo && !self.clients.takes_at_once(d.session)
        });
        if !waits {
            return None;
        }
        self.clients.stats.publish_dropped += 1;
        self.clients.pressure = true;
        Some(ReasonCode::QuotaExceeded)
    }

    #[cold]
    fn ask_driver(&mut self, key: Key, session: Key, m: &MessageRef<'_>) {
        let Some(session) = self.clients.sessions.get(session) else { return };
        let request = Request {
            client_id: session.client_id.clone(),
            username: session.username.clone(),
            topic: m.topic.into(),
            payload: m.payload.into(),
        };
        self.actions.push_back(Action::Control(key, request));
    }

    /// A will, if its author may publish it.
    pub(super) fn publish_will(&mut self, now: Time, message: &Arc<Message>, source: Option<Source>) {
        if !is_reserved(message.topic()) && source.as_ref().is_none_or(|s| s.may_write(message.topic())) {
            self.publish_own(now, message, source);
        }
    }

    /// A message that no connection brought.
    pub(super) fn publish_own(&mut self, now: Time, message: &Arc<Message>, source: Option<Source>) {
        if message.view().retain {
            self.keep(message.clone(), source);
        }
        let slot = self.lookup(message.topic(), 0);
        self.route(now, slot, &message.view(), None, Some(message.clone()));
    }

    /// Makes a message the retained one of its topic.
    fn keep(&mut self, message: Arc<Message>, source: Option<Source>) {
        let quota = self.retained_quota();
        let check = self.settings.check_retain_source;
        let source = source.map(|s| Source { access: s.access.filter(|_| check), ..s });
        let source = source.filter(|s| s.bridge || s.access.is_some()).map(Arc::new);
        if self.router.retained_mut().set_from(message.clone(), source, quota)
            && !message.topic().starts_with(SYS)
        {
            self.clients.journal.record(Record::Retained(message));
        }
    }

    /// A message for every local receiver, and into the mail for other shards.
    fn route(
        &mut self,
        now: Time,
        slot: usize,
        message: &MessageRef<'_>,
        publisher: Option<Key>,
        mut shared: Option<Arc<Message>>,
    ) -> u32 {
        let Some(entry) = self.cache.entry(slot) else { return 0 };
        let mut remote = entry.remote;
        let stored = if message.qos == Qos::AtMostOnce { 0 } else { entry.remote_stored };
        if stored != 0 {
            // one for all shards, so that it is stored once
            shared.get_or_insert_with(|| message.to_shared());
        }
        let mut reached = 0;
        while remote != 0 {
            let to = remote.trailing_zeros() as usize;
            remote &= remote - 1;
            if let Some(batch) = self.mail.get_mut(to) {
                batch.push(publisher, Target::Matching, message, &mut shared);
                if stored & (1 << to) != 0 {
                    batch.wait(self.clients.journal.wait_for(to));
                }
                reached += 1;
            }
        }
        if !entry.groups.is_empty() {
            reached += self.route_groups(now, slot, message, publisher, &mut shared);
        }
        reached + self.route_local(now, slot, message, publisher, shared)
    }

    #[inline]
    fn route_local(
        &mut self,
        now: Time,
        slot: usize,
        message: &MessageRef<'_>,
        publisher: Option<Key>,
        shared: Option<Arc<Message>>,
    ) -> u32 {
        let Some(entry) = self.cache.entry(slot) else { return 0 };
        let entry: &Entry = entry;
        let several = entry.local.len() > 1;
        if several {
            self.variants.clear();
        }
        let mut reached = 0;
        let mut delivery = Delivery { message: *message, shared, several, variants: &mut self.variants };
        for d in &entry.local {
            if d.no_local && publisher == Some(d.session) {
                continue; // [MQTT-3.8.3-3]
            }
            self.clients.deliver_to(now, entry, d, &mut delivery);
            reached += 1;
        }
        reached
    }

    /// One member of each shared group: those connected take turns; without any, the others do.
    #[cold]
    fn route_groups(
        &mut self,
        now: Time,
        slot: usize,
        message: &MessageRef<'_>,
        publisher: Option<Key>,
        shared: &mut Option<Arc<Message>>,
    ) -> u32 {
        let mut chosen: Vec<Subscription> = Vec::new();
        if let Some(entry) = self.cache.entry(slot) {
            for (group, turn) in &mut entry.groups {
                let members = &group.members;
                let n = u32::try_from(members.len()).unwrap_or(u32::MAX).max(1);
                let from = *turn % n;
                let order = || (from..n).chain(0..from).filter_map(|i| Some((i, members.get(i as usize)?)));
                let sessions = &self.clients.sessions;
                let id = self.id;
                let may = |s: &Subscription| {
                    s.session.shard != id
                        || sessions.get(s.session.key).is_some_and(|session| {
                            session
                                .access
                                .as_ref()
                                .is_none_or(|a| a.check(session.who(), Access::Read, message.topic).is_ok())
                        })
                };
                let next =
                    order().find(|(_, m)| m.online && may(m)).or_else(|| order().find(|(_, m)| may(m)));
                if let Some((i, member)) = next {
                    *turn = i.wrapping_add(1);
                    chosen.push(*member);
                }
            }
        }
        // those elsewhere first: they decide where the places of those here are stored
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|s| s.session.shard == self.id);
        let reached = here.len() + elsewhere.len();
        for s in &elsewhere {
            if let Some(batch) = self.mail.get_mut(usize::from(s.session.shard)) {
                batch.push(publisher, Target::member(s), message, shared);
                if s.stored && message.qos != Qos::AtMostOnce {
                    batch.wait(self.clients.journal.wait_for(usize::from(s.session.shard)));
                }
            }
        }
        for s in &here {
            self.deliver_to_member(now, Target::member(s), message, shared.as_ref());
        }
        u32::try_from(reached).unwrap_or(u32::MAX)
    }

    pub(super) fn route_mail(
        &mut self,
        now: Time,
        target: Target,
        message: MessageRef<'_>,
        shared: Option<&Arc<Message>>,
    ) -> u32 {
        match target {
            Target::Matching => {
                let slot = self.lookup(message.topic, self.mail_hint);
                self.mail_hint = u32::try_from(slot).unwrap_or(0);
                self.route_local(now, slot, &message, None, shared.cloned())
            }
            Target::Member { session, .. } => {
                let allowed = self.clients.sessions.get(session).is_some_and(|s| {
                    s.access.as_ref().is_none_or(|a| a.check(s.who(), Access::Read, message.topic).is_ok())
                });
                if allowed {
                    self.deliver_to_member(now, target, &message, shared);
                }
                u32::from(allowed)
            }
        }
    }

    fn deliver_to_member(
        &mut self,
        now: Time,
        target: Target,
        message: &MessageRef<'_>,
        shared: Option<&Arc<Message>>,
    ) {
        let Target::Member { session, qos, retain_as_published, id } = target else { return };
        let mut delivery = Delivery {
            message: *message,
            shared: shared.cloned(),
            several: false,
            variants: &mut self.variants,
        };
        let ids = [id];
        let ids = if id == 0 { &[] } else { &ids[..] };
        let retain = message.retain && retain_as_published;
        self.clients.deliver_mounted(now, To { session, qos, retain, ids }, &mut delivery);
    }
}
