//! Sessions and connections of a shard, and the sending of messages to them.

use super::commit::{Held, Journal};
use crate::connection::{Connection, Stage};
use crate::encode::{self, Alias, Framing};
use crate::observe::{Event, Observe, Stats};
use crate::outbox::{BY_REFERENCE_MIN, Pool};
use crate::outgoing::{Outgoing, Parcel, Resend};
use crate::router::{Destination, Entry};
use crate::session::Session;
use crate::slab::{Key, Slab};
use crate::{Limits, Message, MessageRef, QueuePolicy, Time};
use foldhash::fast::FixedState;
use grovemq_codec::{PacketType, Qos, ReasonCode};
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// A client that has taken no bytes for so long is not waited for.
pub(super) const READING_MILLIS: u64 = 100;

#[expect(
    clippy::struct_excessive_bools,
    reason = "settings and flags that have nothing to do with each other"
)]
pub(crate) struct Clients {
    pub(crate) connections: Slab<Connection>,
    pub(crate) sessions: Slab<Session>,
    by_id: HashTable<Key>,
    hasher: FixedState,
    /// Connections with something to send, each once.
    pub(crate) dirty: Vec<Key>,
    /// Sessions with retained messages still to send, each once.
    pub(crate) replaying: Vec<Key>,
    pub(crate) pool: Pool,
    pub(crate) stats: Stats,
    /// Connections that belong to a session.
    pub(crate) connected: u64,
    pub(crate) observer: Box<dyn Observe>,
    /// The observer wants single packets.
    pub(crate) trace: bool,
    pub(crate) limits: Limits,
    /// Nothing new may be held: memory is short.
    pub(crate) short: bool,
    /// Unsent bytes per client above which QoS 0 messages for it are dropped, now.
    pub(crate) output_bytes_max: usize,
    pub(crate) window: Window,
    /// Sessions whose queue is full and whose clients have to go for it.
    pub(crate) overfull: Vec<Key>,
    /// A message just delivered waits at a client that reads, but more slowly than its publisher writes.
    pub(crate) pressure: bool,
    pub(crate) queue_qos0: bool,
    pub(crate) upgrade_qos: bool,
    pub(crate) journal: Journal,
    /// Counts changes of what clients may do.
    pub(crate) rights: u32,
}

/// One message on its way to several receivers: encoded once per variant, shared once.
pub(crate) struct Delivery<'a> {
    pub(crate) message: MessageRef<'a>,
    pub(crate) shared: Option<Arc<Message>>,
    /// More than one receiver.
    pub(crate) several: bool,
    pub(crate) variants: &'a mut Variants,
}

/// Encoded forms of the current message: 3.x and 5, without and with a packet id.
#[derive(Debug, Default)]
pub(crate) struct Variants([Variant; 4]);

#[derive(Debug, Default)]
struct Variant {
    bytes: Vec<u8>,
    id_at: usize,
}

impl Variants {
    pub(crate) fn clear(&mut self) {
        for v in &mut self.0 {
            v.bytes.clear();
        }
    }
}

impl Delivery<'_> {
    fn shared(&mut self) -> Arc<Message> {
        self.shared.get_or_insert_with(|| self.message.to_shared()).clone()
    }
}

/// A receiver of a message.
#[derive(Clone, Copy)]
pub(crate) struct To<'a> {
    pub(crate) session: Key,
    /// The subscription's QoS.
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: &'a [u32],
}

impl Clients {
    pub(crate) fn new(
        observer: Box<dyn Observe>,
        limits: Limits,
        hasher: FixedState,
        journal: Journal,
    ) -> Self {
        Self {
            connections: Slab::default(),
            sessions: Slab::default(),
            by_id: HashTable::new(),
            hasher,
            dirty: Vec::new(),
            replaying: Vec::new(),
            pool: Pool::default(),
            stats: Stats::default(),
            connected: 0,
            observer,
            trace: false,
            short: false,
            output_bytes_max: limits.output_bytes_max,
            window: Window::new(&limits, false),
            overfull: Vec::new(),
            limits,
            pressure: false,
            queue_qos0: false,
            upgrade_qos: false,
            journal,
            rights: 0,
        }
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<Key> {
        let same = |k: &Key| self.sessions.get(*k).is_some_and(|s| *s.client_id == *client_id);
        self.by_id.find(self.hasher.hash_one(client_id), same).copied()
    }

    pub(crate) fn insert(&mut self, session: Session) -> Key {
        let hash = self.hasher.hash_one(&*session.client_id);
        let key = self.sessions.insert(session);
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        let rehash = |k: &Key| sessions.get(*k).map_or(0, |s| hasher.hash_one(&*s.client_id));
        self.by_id.insert_unique(hash, key, rehash);
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Session> {
        let session = self.sessions.remove(key)?;
        let hash = self.hasher.hash_one(&*session.client_id);
        if let Ok(entry) = self.by_id.find_entry(hash, |k| *k == key) {
            entry.remove();
        }
        Some(session)
    }

    /// A message for one of the destinations of its topic.
    #[inline]
    pub(crate) fn deliver_to(
        &mut self,
        now: Time,
        entry: &Entry,
        d: &Destination,
        delivery: &mut Delivery<'_>,
    ) {
        let retain = delivery.message.retain && d.retain_as_published;
        let to = To { session: d.session, qos: d.qos, retain, ids: entry.ids(d) };
        if d.mounted {
            self.deliver_mounted(now, to, delivery);
        } else {
            self.deliver(now, to, delivery);
        }
    }

    /// Sends, queues or drops one message for one session.
    pub(crate) fn deliver(&mut self, now: Time, to: To<'_>, d: &mut Delivery<'_>) {
        let Some(session) = self.sessions.get_mut(to.session) else { return };
        let qos = if self.upgrade_qos { to.qos } else { d.message.qos.min(to.qos) };
        let online = session.connection.and_then(|key| Some((key, self.connections.get_mut(key)?)));
        match online {
            // [MQTT-4.6.0-6] those queued while the client was away go first
            Some((key, c)) if qos == Qos::AtMostOnce && !session.outgoing.holds_qos0() => {
                if c.outbox.len() > self.output_bytes_max {
                    self.drop_one(now, to.session);
                    return;
                }
                self.pressure |= c.outbox.len() > self.output_bytes_max / 2
                    && now.0.saturating_sub(c.last_output.0) < READING_MILLIS;
                let framing = Framing {
                    v5: c.is_v5(),
                    qos,
                    retain: to.retain,
                    ids: if c.is_v5() { to.ids } else { &[] },
                    ..Framing::default()
                };
                self.send(now, key, framing, d);
            }
            Some((key, c))
                if qos != Qos::AtMostOnce
                    && !(self.journal.is_joining() && session.stored.is_some())
                    && session.outgoing.has_room(self.window.of(c, session), session.upcoming())
                    && c.outbox.len() <= self.output_bytes_max =>
            {
                let packet_id = if session.may_resend() {
                    let stored = session.next_seq();
                    let seq = stored.map_or(0, |(_, seq)| seq);
                    let ids = boxed(to.ids);
                    let parcel = Parcel { message: d.shared(), qos, retain: to.retain, ids, seq };
                    if stored.is_some() && qos == Qos::ExactlyOnce || session.outgoing.is_pending() {
                        self.admit_pending(to.session, parcel, true);
                        return;
                    }
                    if let Some((id, _)) = stored {
                        self.journal.queued(to.session, id, &parcel);
                    }
                    session.outgoing.admit(parcel)
                } else {
                    session.outgoing.admit_once(qos, d.message.size())
                };
                let framing = Framing {
                    v5: c.is_v5(),
                    qos,
                    retain: to.retain,
                    packet_id,
                    ids: if c.is_v5() { to.ids } else { &[] },
                    ..Framing::default()
                };
                if !self.send(now, key, framing, d) {
                    self.give_up(to.session, packet_id);
                }
            }
            None if qos == Qos::AtMostOnce && !self.queue_qos0 => {}
            _ => self.enqueue(now, to, qos, d),
        }
    }

    /// Takes a message into flight that is sent once it is safe, or after others that wait for that.
    #[cold]
    fn admit_pending(&mut self, session_key: Key, parcel: Parcel, new: bool) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        if let Some(session) = session.stored_id().filter(|_| new) {
            self.journal.queued(session_key, session, &parcel);
        }
        let packet_id = session.outgoing.admit_pending(parcel);
        self.journal.hold(Held::Publish(session_key, packet_id));
    }

    fn give_up(&mut self, session: Key, packet_id: u16) {
        if let Some(session) = self.sessions.get_mut(session) {
            let seq = session.outgoing.give_up(packet_id);
            self.journal.finished(session.stored_id(), seq);
        }
    }

    /// Writes one PUBLISH to a connection. `false`: the client does not take packets of that size.
    fn send(&mut self, now: Time, key: Key, mut f: Framing<'_>, d: &mut Delivery<'_>) -> bool {
        let Some(c) = self.connections.get_mut(key) else { return true };
        let m = d.message;
        c.outbox.lend(&mut self.pool);
        if f.v5
            && let Some(aliases) = &mut c.aliases
        {
            f.alias = aliases.assign(m.topic);
        }
        if c.packet_bytes_max != u32::MAX && !fits(c, &m, &f) {
            // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
            if let Some(aliases) = &mut c.aliases {
                aliases.unassign(f.alias);
            }
            let first_alias = matches!(f.alias, Alias::New(_));
            f.alias = Alias::None;
            if !first_alias || !fits(c, &m, &f) {
                self.stats.publish_dropped += 1;
                return false;
            }
        }
        if m.payload.len() >= BY_REFERENCE_MIN && (d.several || d.shared.is_some()) {
            encode::publish(c.outbox.buffer(), now, &m, &f, false);
            c.outbox.push_payload(d.shared());
        } else if d.several && f.ids.is_empty() && f.alias == Alias::None {
            d.variants.write(c.outbox.buffer(), now, &m, &f);
        } else {
            encode::publish(c.outbox.buffer(), now, &m, &f, true);
        }
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(key);
        }
        self.stats.publish_sent += 1;
        self.stats.messages_sent += 1;
        self.stats.publish_bytes_sent += m.payload.len() as u64;
        if self.trace {
            self.trace_publish(now, key, &f, &m);
        }
        true
    }

    #[cold]
    fn trace_publish(&mut self, now: Time, key: Key, f: &Framing<'_>, m: &MessageRef<'_>) {
        let Some(Stage::Live(session)) = self.connections.get(key).map(|c| &c.stage) else { return };
        let Some(session) = self.sessions.get(*session) else { return };
        let event = Event::SentPublish {
            client_id: &session.client_id,
            dup: f.dup,
            qos: f.qos,
            retain: f.retain,
            packet_id: f.packet_id,
            topic: m.topic,
            bytes: m.payload.len(),
        };
        self.observer.on(now, event);
    }

    fn enqueue(&mut self, now: Time, to: To<'_>, qos: Qos, d: &mut Delivery<'_>) {
        if self.short {
            self.drop_one(now, to.session);
            self.pressure = true;
            return;
        }
        let Some(session) = self.sessions.get(to.session) else { return };
        if self.limits.is_full(&session.outgoing, 1) {
            if self.limits.queue_policy != QueuePolicy::DropOldest {
                self.refuse_one(now, to.session);
                return;
            }
            self.make_room(now, to.session);
        } else {
            self.pressure |= session.connection.is_some() && self.limits.is_full(&session.outgoing, 2);
        }
        let Some(session) = self.sessions.get_mut(to.session) else { return };
        let stored = if qos == Qos::AtMostOnce { None } else { session.next_seq() };
        let seq = stored.map_or(0, |(_, seq)| seq);
        let parcel = Parcel { message: d.shared(), qos, retain: to.retain, ids: boxed(to.ids), seq };
        if let Some((id, _)) = stored
            && self.journal.queued(to.session, id, &parcel)
        {
            session.outgoing.unsettle(seq);
        }
        session.outgoing.enqueue(parcel);
    }

    /// Drops what has waited longest in a queue that is full.
    #[cold]
    fn make_room(&mut self, now: Time, key: Key) {
        while let Some(session) = self.sessions.get_mut(key)
            && self.limits.is_full(&session.outgoing, 1)
            && let Some(gone) = session.outgoing.get_mut().and_then(Outgoing::drop_oldest)
        {
            self.journal.finished(session.stored_id(), gone);
            self.drop_one(now, key);
        }
    }

    /// Drops a message for a queue that is full; its client may have to go for it.
    #[cold]
    fn refuse_one(&mut self, now: Time, key: Key) {
        self.drop_one(now, key);
        let connected = self.sessions.get(key).is_some_and(|s| s.connection.is_some());
        if connected && self.limits.queue_policy == QueuePolicy::Disconnect && !self.overfull.contains(&key) {
            self.overfull.push(key);
        }
    }

    /// Counts a message dropped for a session; the first of a run is reported.
    #[cold]
    fn drop_one(&mut self, now: Time, session: Key) {
        self.stats.publish_dropped += 1;
        let Some(session) = self.sessions.get_mut(session) else { return };
        if session.outgoing.drops.add() {
            self.observer.on(now, Event::Dropping { client_id: &session.client_id });
        }
    }

    /// The run of dropped messages is over, if there is one.
    #[cold]
    pub(super) fn end_drops(&mut self, now: Time, session: Key) {
        if let Some(session) = self.sessions.get_mut(session)
            && let Some(count) = session.outgoing.get_mut().and_then(|o| o.drops.end())
        {
            self.observer.on(now, Event::Dropped { client_id: &session.client_id, count });
        }
    }

    /// Half of what had been too much for a client is gone.
    fn has_caught_up(&self, session: Key) -> bool {
        let Some(session) = self.sessions.get(session) else { return false };
        let connection = session.connection.and_then(|key| self.connections.get(key));
        connection.is_some_and(|c| c.outbox.len() <= self.output_bytes_max / 2)
            && (session.outgoing.queue_len() == 0
                || !self.short && !self.limits.is_full(&session.outgoing, 2))
    }

    /// While memory is short nothing new may wait.
    pub(super) fn set_memory_short(&mut self, short: bool) {
        self.short = short;
        let limits = &self.limits;
        self.window = Window::new(limits, short);
        let max = if short { limits.output_bytes_max_short } else { usize::MAX };
        self.output_bytes_max = limits.output_bytes_max.min(max);
    }

    /// A message of QoS 1 or 2 for that session goes out at once.
    pub(super) fn takes_at_once(&self, session: Key) -> bool {
        let Some(session) = self.sessions.get(session) else { return false };
        let connection = session.connection.and_then(|key| self.connections.get(key));
        connection.is_some_and(|c| {
            c.outbox.len() <= self.output_bytes_max
                && session.outgoing.has_room(self.window.of(c, session), session.upcoming())
        })
    }

    /// Sends what waits for a session as far as its window and its reading allow.
    pub(crate) fn pump(&mut self, now: Time, session_key: Key, variants: &mut Variants) {
        self.renew_rights(session_key);
        loop {
            let Some(session) = self.sessions.get_mut(session_key) else { return };
            let Some(key) = session.connection else { return };
            let Some(c) = self.connections.get(key) else { return };
            if c.outbox.len() > self.output_bytes_max {
                return;
            }
            let (window, v5) = (self.window.of(c, session), c.is_v5());
            match session.outgoing.get_mut().and_then(|o| o.next_resend(c.window)) {
                Some(Resend::PubRel(id)) => {
                    self.release_again(now, key, id);
                    continue;
                }
                Some(Resend::Publish(parcel, packet_id, again)) => {
                    let parcel = parcel.clone();
                    self.send_parcel(now, session_key, key, v5, &parcel, packet_id, again, variants);
                    continue;
                }
                None => {}
            }
            let unchecked = session.outgoing.is_unchecked();
            let Some(parcel) = session.outgoing.get_mut().and_then(|o| o.next_queued(window)) else {
                if session.outgoing.drops.is_on() && self.has_caught_up(session_key) {
                    self.end_drops(now, session_key);
                }
                self.resume_replay(session_key);
                return;
            };
            if parcel.message.is_expired(now) || (unchecked && !session.may_read(parcel.message.topic())) {
                // [MQTT-3.3.2-5]
                self.stats.publish_dropped += 1;
                self.journal.finished(session.stored_id(), parcel.seq);
                continue;
            }
            let waits = parcel.seq != 0 && parcel.qos == Qos::ExactlyOnce || session.outgoing.is_pending();
            if waits && parcel.qos != Qos::AtMostOnce {
                self.admit_pending(session_key, parcel, false);
                continue;
            }
            let packet_id = match parcel.qos {
                Qos::AtMostOnce => 0,
                _ if session.may_resend() => session.outgoing.admit(parcel.clone()),
                qos => session.outgoing.admit_once(qos, parcel.message.size()),
            };
            self.send_parcel(now, session_key, key, v5, &parcel, packet_id, false, variants);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller's loop body, in two places")]
    fn send_parcel(
        &mut self,
        now: Time,
        session: Key,
        key: Key,
        v5: bool,
        parcel: &Parcel,
        packet_id: u16,
        dup: bool,
        variants: &mut Variants,
    ) {
        let ids = parcel.ids.as_deref().unwrap_or_default();
        let framing = Framing {
            v5,
            dup,
            qos: parcel.qos,
            retain: parcel.retain,
            packet_id,
            ids: if v5 { ids } else { &[] },
            alias: Alias::None,
        };
        let mut d = Delivery {
            message: parcel.message.view(),
            shared: Some(parcel.message.clone()),
            several: false,
            variants,
        };
        if !self.send(now, key, framing, &mut d) {
            self.give_up(session, packet_id);
        }
    }

    /// PUBREL on a new connection. That its receiver owns the message may not be safe yet.
    fn release_again(&mut self, now: Time, key: Key, packet_id: u16) {
        if self.must_hold(key, self.journal.mark()) {
            self.hold(key, Held::Ack(key, PacketType::PubRel, packet_id, ReasonCode::Success));
        } else {
            self.send_ack(now, key, PacketType::PubRel, packet_id);
        }
    }

    /// A successful PUBACK, PUBREC, PUBREL or PUBCOMP.
    #[inline]
    pub(crate) fn send_ack(&mut self, now: Time, key: Key, kind: PacketType, packet_id: u16) {
        let flags = if kind == PacketType::PubRel { 2 } else { 0 };
        let [high, low] = packet_id.to_be_bytes();
        self.send_bytes(key, &[((kind as u8) << 4) | flags, 2, high, low]);
        if self.trace {
            self.trace_sent(now, key, ack_name(kind), packet_id, 0);
        }
    }

    /// Appends a whole packet other than PUBLISH.
    pub(crate) fn send_bytes(&mut self, key: Key, bytes: &[u8]) {
        let Some(c) = self.connections.get_mut(key) else { return };
        c.outbox.lend(&mut self.pool);
        c.outbox.buffer().extend_from_slice(bytes);
        self.stats.messages_sent += 1;
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(key);
        }
    }

    #[cold]
    pub(crate) fn trace_sent(&mut self, now: Time, key: Key, name: &'static str, packet_id: u16, reason: u8) {
        let Some(Stage::Live(session)) = self.connections.get(key).map(|c| &c.stage) else { return };
        let Some(session) = self.sessions.get(*session) else { return };
        self.observer.on(now, Event::Sent { client_id: &session.client_id, name, packet_id, reason });
    }

    /// Takes back the memory of a drained outbox.
    pub(crate) fn recycle(&mut self, key: Key) {
        let Some(c) = self.connections.get_mut(key) else { return };
        self.pool.put(c.outbox.take_buffer());
    }

    /// Gives back memory that is only kept for the next turn.
    pub(crate) fn trim(&mut self) {
        self.pool = Pool::default();
        self.dirty.shrink_to_fit();
        self.replaying.shrink_to_fit();
    }
}

impl Variants {
    /// Appends the message in the form asked for, encoding it only the first time.
    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, now: Time, m: &MessageRef<'_>, f: &Framing<'_>) {
        let which = usize::from(f.v5) * 2 + usize::from(f.qos != Qos::AtMostOnce);
        let Some(variant) = self.0.get_mut(which) else { return };
        if variant.bytes.is_empty() {
            variant.id_at = encode::publish(&mut variant.bytes, now, m, f, true);
        }
        let start = out.len();
        out.extend_from_slice(&variant.bytes);
        if let Some(first) = out.get_mut(start) {
            *first = f.first_byte();
        }
        if f.qos != Qos::AtMostOnce
            && let Some(id) = out.get_mut(start + variant.id_at..start + variant.id_at + 2)
        {
            id.copy_from_slice(&f.packet_id.to_be_bytes());
        }
    }
}

pub(crate) fn ack_name(kind: PacketType) -> &'static str {
    match kind {
        PacketType::PubAck => "PUBACK",
        PacketType::PubRec => "PUBREC",
        PacketType::PubRel => "PUBREL",
        _ => "PUBCOMP",
    }
}

/// Whether the client takes packets of that size.
fn fits(c: &Connection, m: &MessageRef<'_>, f: &Framing<'_>) -> bool {
    encode::publish_len(m, f).is_some_and(|n| n <= c.packet_bytes_max as usize)
}

/// What bounds the messages that all clients may have unanswered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    messages_max: u16,
    /// 0 is no limit.
    bytes_max: u64,
}

impl Window {
    fn new(limits: &Limits, short: bool) -> Self {
        let messages_max = if short { limits.inflight_max_short } else { u16::MAX };
        Self { messages_max, bytes_max: limits.inflight_bytes_max }
    }

    /// Messages the client may have unanswered now; none while too many bytes are.
    #[inline]
    fn of(self, c: &Connection, session: &Session) -> u16 {
        let max = self.bytes_max;
        let full = max > 0 && session.outgoing.inflight_bytes() as u64 >= max;
        if full { 0 } else { c.window.min(self.messages_max) }
    }
}

impl Limits {
    /// Whether so much waits, by number or bytes, as may wait at most, divided by `part`.
    fn is_full(&self, out: &Outgoing, part: u64) -> bool {
        let (messages, bytes) = (u64::from(self.queue_messages_max), self.queue_bytes_max);
        (messages > 0 && out.queue_len() as u64 >= messages / part)
            || (bytes > 0 && out.queue_bytes() as u64 >= bytes / part)
    }
}

fn boxed(ids: &[u32]) -> Option<Box<[u32]>> {
    if ids.is_empty() { None } else { Some(ids.into()) }
}
