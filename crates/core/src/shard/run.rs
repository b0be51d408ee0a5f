//! A publisher's burst to one topic on its way as one piece: looked up once, copied once for each receiver.

use super::Shard;
use super::clients::{Clients, Delivery, READING_MILLIS, To};
use super::mail::Target;
use crate::connection::Connection;
use crate::encode::{self, Framing};
use crate::outbox::BY_REFERENCE_MIN;
use crate::router::{Destination, Entry};
use crate::session::Session;
use crate::slab::Key;
use crate::{MessageRef, Time};
use grovemq_codec::{Frame, PublishRun, PublishView, Qos, RunLimits, RunShape, Version};

/// A run's bytes, and those of all its copies: what comes between two looks at other connections stays short.
const BYTES_MAX: usize = 16 << 10;
const COPIES_BYTES_MAX: usize = 1 << 20;
/// So many receivers of a run get no more than that.
const FEW: usize = COPIES_BYTES_MAX / BYTES_MAX;
/// Deliveries of a run to those that get its messages one by one.
const SINGLE_MAX: u32 = 1000;
/// Copying so many bytes counts as another delivery.
const WORK_BYTES: usize = 1024;

/// Where a PUBLISH that nothing is to be changed in stands in the bytes of its connection.
pub(super) struct Burst<'a> {
    pub(super) frame: &'a Frame<'a>,
    /// From that packet on.
    pub(super) bytes: &'a [u8],
    pub(super) version: Version,
    /// Of a packet.
    pub(super) bytes_max: u32,
    /// What was dealt with, from the beginning of `bytes`.
    pub(super) taken: usize,
}

/// Memory for the way of one run.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Destinations that need each message by itself.
    single: Vec<Destination>,
    /// Connections that get the run.
    whole: Vec<Key>,
    /// The run in the other version's form, once somebody needs it.
    other: Vec<u8>,
}

impl Shard {
    /// The run that begins with this packet, if it can go as one piece; `slot` is the topic's in the match cache.
    #[inline]
    pub(super) fn gather<'a>(
        &mut self,
        slot: usize,
        burst: &Burst<'a>,
        view: &PublishView<'a>,
    ) -> Option<PublishRun<'a>> {
        let entry = self.cache.entry(slot)?;
        if !entry.groups.is_empty() || self.clients.trace {
            return None; // members take turns
        }
        let receivers = entry.local.len() + entry.remote.count_ones() as usize;
        let payload_bytes_max = match self.settings.limits.payload_bytes_max as usize {
            0 => BY_REFERENCE_MIN - 1,
            max => max.min(BY_REFERENCE_MIN - 1),
        };
        let limits = RunLimits {
            bytes_max: bytes_max(receivers),
            packet_bytes_max: burst.bytes_max as usize,
            payload_bytes_max,
        };
        PublishRun::gather(burst.bytes, burst.frame, view, burst.version, limits)
    }

    /// What goes of a run at a time to every local receiver, and into the mail for other shards: its bytes, and the work
    /// that was. Its first message is counted as received.
    pub(super) fn route_run(
        &mut self,
        now: Time,
        slot: usize,
        run: &PublishRun<'_>,
        first: usize,
        publisher: Key,
    ) -> (usize, u32) {
        let (run, reached) = self.route_run_local(now, slot, run, Some(publisher));
        let shape = run.shape();
        self.clients.stats.messages_received += u64::from(shape.packets) - 1;
        self.clients.stats.publish_received += u64::from(shape.packets) - 1;
        self.clients.stats.publish_bytes_received += u64::from(shape.payload_bytes) - first as u64;
        let mut remote = self.cache.entry(slot).map_or(0, |entry| entry.remote);
        let shards = remote.count_ones();
        while remote != 0 {
            let to = remote.trailing_zeros() as usize;
            remote &= remote - 1;
            if let Some(batch) = self.mail.get_mut(to) {
                batch.push_run(Some(publisher), Target::Matching, &run);
            }
        }
        (run.bytes().len(), reached + work(shards, &run))
    }

    /// The first part of a run for every local receiver, as much as goes at a time: at most up to the message that makes
    /// its publisher wait, if that is of this shard.
    fn route_run_local<'a>(
        &mut self,
        now: Time,
        slot: usize,
        run: &PublishRun<'a>,
        publisher: Option<Key>,
    ) -> (PublishRun<'a>, u32) {
        let duplicates = self.cache.has_duplicates();
        if run.shape().packets == 1 && !duplicates {
            return (*run, self.route_one(now, slot, run, publisher));
        }
        let Some(entry) = self.cache.entry(slot) else { return (*run, 0) };
        let entry: &Entry = entry;
        let Scratch { single, whole, other } = &mut self.run;
        single.clear();
        whole.clear();
        other.clear();
        let (mut room, mut nowhere) = (bytes_max(entry.local.len()), 0u32);
        for d in &entry.local {
            if d.no_local && publisher == Some(d.session) {
                continue; // [MQTT-3.8.3-3]
            }
            let to = To { session: d.session, qos: d.qos, retain: false, ids: entry.ids(d) };
            // what a session is sent several times is in the order of the messages
            let way = if d.mounted || duplicates { Way::Single } else { self.clients.way(now, to, run) };
            match way {
                Way::Nowhere => nowhere += 1,
                Way::Whole(key, unpressed) => {
                    whole.push(key);
                    room = if publisher.is_some() { room.min(unpressed) } else { room };
                }
                Way::Single => single.push(*d),
            }
        }
        let singles = u32::try_from(single.len()).unwrap_or(u32::MAX);
        let mut run = run.first(room, SINGLE_MAX.checked_div(singles).unwrap_or(u32::MAX));
        if singles > 0 {
            let mut packets = 0;
            for message in messages(&run) {
                self.variants.clear();
                let variants = &mut self.variants;
                let mut delivery = Delivery { message, shared: None, several: singles > 1, variants };
                for d in single.iter() {
                    self.clients.deliver_to(now, entry, d, &mut delivery);
                }
                packets += 1;
                if publisher.is_some() && self.clients.pressure {
                    break;
                }
            }
            run = run.first(usize::MAX, packets);
        }
        for key in whole.iter() {
            self.clients.send_run(now, *key, &run, other);
        }
        let wholes = u32::try_from(whole.len()).unwrap_or(u32::MAX);
        let copies = singles.saturating_mul(run.shape().packets);
        (run, nowhere.saturating_add(copies).saturating_add(work(wholes, &run)))
    }

    /// A run of one message, of which nothing can be cut: no need to look at all receivers before the first is sent it.
    fn route_one(&mut self, now: Time, slot: usize, run: &PublishRun<'_>, publisher: Option<Key>) -> u32 {
        let Some(entry) = self.cache.entry(slot) else { return 0 };
        let entry: &Entry = entry;
        let Scratch { single, other, .. } = &mut self.run;
        single.clear();
        other.clear();
        let mut whole = 0;
        for d in &entry.local {
            if d.no_local && publisher == Some(d.session) {
                continue; // [MQTT-3.8.3-3]
            }
            let to = To { session: d.session, qos: d.qos, retain: false, ids: entry.ids(d) };
            if d.mounted || !self.clients.deliver_one(now, to, run, other) {
                single.push(*d);
            } else {
                whole += 1;
            }
        }
        let mut reached = work(whole, run);
        if !single.is_empty()
            && let Some(message) = messages(run).next()
        {
            self.variants.clear();
            let (several, variants) = (single.len() > 1, &mut self.variants);
            let mut delivery = Delivery { message, shared: None, several, variants };
            for d in single.iter() {
                self.clients.deliver_to(now, entry, d, &mut delivery);
                reached += 1;
            }
        }
        reached
    }

    /// The same of a run from another shard.
    pub(super) fn route_run_mail<'a>(&mut self, now: Time, run: &PublishRun<'a>) -> (PublishRun<'a>, u32) {
        let slot = self.lookup(run.topic(), self.mail_hint);
        self.mail_hint = u32::try_from(slot).unwrap_or(0);
        self.route_run_local(now, slot, run, None)
    }
}

/// How a run reaches a receiver.
enum Way {
    Nowhere,
    /// As one piece, to this connection; so many bytes may be sent there before publishers have to wait.
    Whole(Key, usize),
    /// Message by message.
    Single,
}

impl Clients {
    #[inline]
    fn way(&self, now: Time, to: To<'_>, run: &PublishRun<'_>) -> Way {
        let Some(session) = self.sessions.get(to.session) else { return Way::Nowhere };
        let online = session.connection.and_then(|key| Some((key, self.connections.get(key)?)));
        let upgraded = self.upgrade_qos && to.qos != Qos::AtMostOnce;
        let Some((key, c)) = online else {
            return if self.queue_qos0 || upgraded { Way::Single } else { Way::Nowhere };
        };
        let max = self.output_bytes_max;
        if upgraded || !takes_whole(session, c, to, run, max) {
            return Way::Single;
        }
        let unpressed = (max / 2).saturating_sub(c.outbox.len() + growth(c.is_v5(), run));
        Way::Whole(key, if reads(c, now) { unpressed } else { usize::MAX })
    }

    /// Sends a run of one message, or nothing if that is what happens to it; `false`: that is not for here to say.
    #[inline]
    fn deliver_one(&mut self, now: Time, to: To<'_>, run: &PublishRun<'_>, other: &mut Vec<u8>) -> bool {
        let Some(session) = self.sessions.get(to.session) else { return true };
        let upgraded = self.upgrade_qos && to.qos != Qos::AtMostOnce;
        let online = session.connection.and_then(|key| Some((key, self.connections.get_mut(key)?)));
        let Some((key, c)) = online else { return !self.queue_qos0 && !upgraded };
        if upgraded || !takes_whole(session, c, to, run, self.output_bytes_max) {
            return false;
        }
        self.pressure |= c.outbox.len() > self.output_bytes_max / 2 && reads(c, now);
        c.outbox.lend(&mut self.pool);
        append(c, now, run, other);
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(key);
        }
        self.count_run(run.shape());
        true
    }

    /// Sends a run to one connection as one piece.
    #[inline]
    fn send_run(&mut self, now: Time, key: Key, run: &PublishRun<'_>, other: &mut Vec<u8>) {
        let Some(c) = self.connections.get_mut(key) else { return };
        // before the last of its messages
        let before = run.bytes().len().saturating_sub(run.shape().packet_bytes_max as usize);
        self.pressure |= c.outbox.len() + before > self.output_bytes_max / 2 && reads(c, now);
        c.outbox.lend(&mut self.pool);
        append(c, now, run, other);
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(key);
        }
        self.count_run(run.shape());
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a tenth of the cost of a message to many")]
    fn count_run(&mut self, shape: RunShape) {
        self.stats.publish_sent += u64::from(shape.packets);
        self.stats.messages_sent += u64::from(shape.packets);
        self.stats.publish_bytes_sent += u64::from(shape.payload_bytes);
    }
}

/// Whether the client can be sent the run's bytes, all at once.
#[inline]
fn takes_whole(
    session: &Session,
    c: &Connection,
    to: To<'_>,
    run: &PublishRun<'_>,
    bytes_max: usize,
) -> bool {
    let (v5, shape) = (c.is_v5(), run.shape());
    // if it is sent as version 5, a length of the properties more, and perhaps for that a longer remaining length
    let largest = shape.packet_bytes_max + if shape.v5 { 0 } else { 2 };
    !session.outgoing.holds_qos0()
        && !(v5 && (!to.ids.is_empty() || c.aliases.as_ref().is_some_and(|a| a.assigns())))
        && c.packet_bytes_max >= largest
        && c.outbox.len() + run.bytes().len() + growth(v5, run) <= bytes_max
}

/// What the run may have more in the form for that receiver.
#[inline]
fn growth(v5: bool, run: &PublishRun<'_>) -> usize {
    if v5 && !run.shape().v5 { 2 * run.shape().packets as usize } else { 0 }
}

#[inline]
fn reads(c: &Connection, now: Time) -> bool {
    now.0.saturating_sub(c.last_output.0) < READING_MILLIS
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a tenth of the cost of a message to many")]
fn append(c: &mut Connection, now: Time, run: &PublishRun<'_>, other: &mut Vec<u8>) {
    let v5 = c.is_v5();
    if v5 == run.shape().v5 {
        c.outbox.buffer().extend_from_slice(run.bytes());
        return;
    }
    if other.is_empty() {
        let framing = Framing { v5, ..Framing::default() };
        for message in messages(run) {
            encode::publish(other, now, &message, &framing, true);
        }
    }
    c.outbox.buffer().extend_from_slice(other);
}

/// Bytes of a run that goes to so many receivers.
fn bytes_max(receivers: usize) -> usize {
    if receivers <= FEW { BYTES_MAX } else { COPIES_BYTES_MAX / receivers }
}

/// The run's messages, in order.
fn messages<'a>(run: &PublishRun<'a>) -> impl Iterator<Item = MessageRef<'a>> + use<'a> {
    let topic = run.topic();
    let (properties, payloads) = run.payloads();
    payloads.map(move |payload| MessageRef {
        topic,
        properties,
        payload,
        qos: Qos::AtMostOnce,
        retain: false,
        expires: None,
    })
}

/// What so many copies of a run are worth, in deliveries.
fn work(copies: u32, run: &PublishRun<'_>) -> u32 {
    copies.saturating_mul(1 + u32::try_from(run.bytes().len() / WORK_BYTES).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{COPIES_BYTES_MAX, SINGLE_MAX};
    use crate::access::{Access, Authorize, Who};
    use crate::observe::{Peer, Silent, Stats};
    use crate::outbox::BY_REFERENCE_MIN;
    use crate::{
        Key, Limits, ListenerLimits, ListenerSettings, Next, PublishRate, Router, Settings, Shard, Time,
    };
    use grovemq_codec::{
        Connect, ConnectProperties, Filters, Packet, Publish, PublishProperties, Qos, Subscribe,
        SubscribeOptions, SubscribeProperties, Version,
    };
    use proptest::prelude::*;
    use std::io::IoSlice;
    use std::num::{NonZeroU16, NonZeroU32};
    use std::sync::Arc;

    const NOBODY: Key = Key { index: u32::MAX, generation: 0 };
    const TOPICS: [&str; 4] = ["a", "a/b", "c", "a/secret"];
    const PLAIN: u16 = 0;
    const MOUNTED: u16 = 1;
    const METERED: u16 = 2;

    /// Nobody may write to `c`, and not all may read `a/secret`.
    #[derive(Debug)]
    struct Rules;

    impl Authorize for Rules {
        fn check(&self, who: Who<'_>, access: Access, topic: &str) -> Result<(), String> {
            let write = access == Access::Write;
            let fine = if write { topic != "c" } else { topic != "a/secret" || who.client_id != "v3" };
            if fine { Ok(()) } else { Err("no".into()) }
        }
    }

    /// What differs from world to world.
    #[derive(Clone, Debug)]
    #[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
    struct Kind {
        shards: u16,
        version: Version,
        upgrade: bool,
        queue_qos0: bool,
        duplicates: bool,
        metered: bool,
        groups: bool,
        slow: bool,
    }

    /// Shards with a publisher and all kinds of receivers.
    struct World {
        now: Time,
        shards: Vec<Shard>,
        publisher: (usize, Key),
        receivers: Vec<(usize, Key)>,
        sent: Vec<Vec<u8>>,
        pauses: usize,
        /// Receivers without the one that is away.
        always: usize,
    }

    impl World {
        fn empty(shards: u16, settings: Settings) -> Self {
            let settings = Arc::new(settings);
            let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
            let shard = |id| Shard::new(id, shards, router.clone(), settings.clone(), Box::new(Silent));
            let shards: Vec<Shard> = (0..shards).map(shard).collect();
            let (publisher, receivers) = ((0, NOBODY), Vec::new());
            Self { now: Time(1000), shards, publisher, receivers, sent: Vec::new(), pauses: 0, always: 0 }
        }

        fn new(kind: &Kind) -> Self {
            let listener = ListenerSettings {
                allow_anonymous: true,
                access: Some(Arc::new(Rules)),
                ..ListenerSettings::default()
            };
            let mounted = ListenerSettings { mount_point: Some("a/".into()), ..listener.clone() };
            let publish_rate = PublishRate { messages: NonZeroU32::new(5), bytes: None };
            let limits = ListenerLimits { publish_rate, ..ListenerLimits::default() };
            let metered = ListenerSettings { limits, ..listener.clone() };
            let output_bytes_max = if kind.slow { 700 } else { Limits::default().output_bytes_max };
            let mut world = Self::empty(
                kind.shards,
                Settings {
                    limits: Limits {
                        payload_bytes_max: 900,
                        output_bytes_max,
                        queue_messages_max: 12,
                        ..Limits::default()
                    },
                    listeners: vec![listener, mounted, metered],
                    queue_qos0: kind.queue_qos0,
                    upgrade_outgoing_qos: kind.upgrade,
                    allow_duplicates: kind.duplicates,
                    ..Settings::default()
                },
            );
            let plain = ConnectProperties::default;
            let listener = if kind.metered { METERED } else { PLAIN };
            world.publisher = world.connect("pub", kind.version, listener, plain(), true);
            let aliases = ConnectProperties { topic_alias_maximum: Some(2), ..plain() };
            let small = ConnectProperties { maximum_packet_size: Some(60), ..plain() };
            let edge = ConnectProperties { maximum_packet_size: Some(130), ..plain() };
            let window = ConnectProperties { receive_maximum: Some(3), ..plain() };
            let receivers = [
                ("v3", Version::V311, PLAIN, plain(), 0),
                ("other", Version::V31, PLAIN, plain(), 0),
                ("v5", Version::V5, PLAIN, plain(), 0),
                ("ids", Version::V5, PLAIN, plain(), 7),
                ("aliases", Version::V5, PLAIN, aliases, 0),
                ("small", Version::V5, PLAIN, small, 0),
                ("edge", Version::V5, PLAIN, edge, 0),
                ("window", Version::V5, PLAIN, window, 0),
                ("mounted", Version::V311, MOUNTED, plain(), 0),
            ];
            for (id, version, listener, properties, subscription) in receivers {
                let receiver = world.connect(id, version, listener, properties, true);
                world.subscribe(receiver, version, subscription, false, "a/#");
                world.receivers.push(receiver);
                if id == "ids" {
                    world.subscribe(receiver, version, 0, false, "a/b");
                }
                if kind.groups && version != Version::V5 {
                    world.subscribe(receiver, version, 0, false, "$share/g/a/+");
                }
            }
            world.subscribe(world.publisher, kind.version, 0, true, "a/#");
            world.receivers.push(world.publisher);
            // one that is away
            let away = world.come_back();
            world.subscribe(away, Version::V5, 0, false, "a/#");
            world.feed(away, &[0xe0, 0]);
            world.always = world.receivers.len();
            world.read();
            world
        }

        fn connect(
            &mut self,
            client_id: &str,
            version: Version,
            listener: u16,
            properties: ConnectProperties<'_>,
            clean_start: bool,
        ) -> (usize, Key) {
            let shard = usize::from(self.shards[0].home(client_id));
            let peer = Peer { address: None, listener, secured: None };
            let key = self.shards[shard].handle_open(self.now, peer);
            let connect = Connect {
                version,
                bridge: false,
                clean_start,
                keep_alive: 0,
                properties,
                client_id,
                will: None,
                username: None,
                password: None,
            };
            self.send((shard, key), version, &Packet::Connect(connect));
            (shard, key)
        }

        /// With a window so small that more keeps waiting.
        fn come_back(&mut self) -> (usize, Key) {
            let properties = ConnectProperties {
                session_expiry: Some(1000),
                receive_maximum: Some(1),
                ..ConnectProperties::default()
            };
            self.connect("away", Version::V5, PLAIN, properties, false)
        }

        fn subscribe(&mut self, who: (usize, Key), version: Version, id: u32, no_local: bool, filter: &str) {
            let no_local = no_local && version == Version::V5;
            let options = SubscribeOptions { qos: Qos::AtLeastOnce, no_local, ..SubscribeOptions::default() };
            let properties = SubscribeProperties {
                subscription_id: (id > 0).then_some(id),
                ..SubscribeProperties::default()
            };
            let list = [(filter, options)];
            let filters = Filters::List(&list);
            let packet_id = NonZeroU16::MIN;
            self.send(who, version, &Packet::Subscribe(Subscribe { packet_id, properties, filters }));
        }

        fn send(&mut self, who: (usize, Key), version: Version, packet: &Packet<'_>) {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes).unwrap();
            self.feed(who, &bytes);
        }

        /// As a driver does, until all whole packets are taken.
        fn feed(&mut self, (shard, key): (usize, Key), bytes: &[u8]) -> usize {
            let mut taken = 0;
            loop {
                let progress = self.shards[shard].handle_input(self.now, key, &bytes[taken..]);
                taken += progress.consumed;
                self.deal_with_mail();
                match progress.next {
                    Next::Read => return taken,
                    Next::Yield | Next::Later => {}
                    Next::Pause => self.pauses += 1,
                    Next::Wait => {
                        self.now = self.now + std::time::Duration::from_millis(50);
                        self.shards[shard].handle_timeout(self.now);
                        if self.shards[shard].len().1 == 0 || bytes == [0xe0, 0] {
                            return taken;
                        }
                    }
                }
            }
        }

        fn deal_with_mail(&mut self) {
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    let mail = self.shards[from].poll_mail(u16::try_from(to).unwrap()).map(core::mem::take);
                    if let Some(mut batch) = mail {
                        // a slice each
                        let mut messages = 0;
                        while !batch.is_done() {
                            messages += self.shards[to].handle_mail(self.now, &mut batch, &mut 1);
                        }
                        messages += self.shards[to].handle_mail(self.now, &mut batch, &mut 1);
                        assert_eq!(messages, batch.len());
                    }
                }
            }
        }

        /// All receivers take what there is for them.
        fn read(&mut self) {
            self.sent.resize_with(self.receivers.len(), Vec::new);
            for ((shard, key), sent) in self.receivers.iter().zip(&mut self.sent) {
                loop {
                    let mut slices = [IoSlice::new(&[]); 64];
                    let n = self.shards[*shard].outbox(*key).unwrap().slices(&mut slices);
                    let bytes: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
                    if bytes.is_empty() {
                        break;
                    }
                    sent.extend_from_slice(&bytes);
                    self.shards[*shard].sent(self.now, *key, bytes.len());
                }
            }
        }

        fn interlude(&mut self, back: bool) {
            self.read();
            if back {
                let away = self.come_back();
                self.receivers.push(away);
            }
        }

        /// What each receiver was sent so far, and what all shards count.
        fn outcome(&mut self) -> (&[Vec<u8>], [u64; 7], usize) {
            if self.receivers.len() == self.always {
                let away = self.come_back();
                self.receivers.push(away);
            }
            self.read();
            let count = |f: fn(&Stats) -> u64| self.shards.iter().map(|s| f(&s.stats())).sum();
            let counts = [
                count(|s| s.messages_received),
                count(|s| s.messages_sent),
                count(|s| s.publish_received),
                count(|s| s.publish_sent),
                count(|s| s.publish_dropped),
                count(|s| s.publish_bytes_received),
                count(|s| s.publish_bytes_sent),
            ];
            (&self.sent, counts, self.pauses)
        }
    }

    type Piece = (usize, usize, u8, Option<&'static str>);

    fn piece() -> impl Strategy<Value = Piece> {
        // mostly the same, so that there are runs
        let topic = prop_oneof![8 => Just(1usize), 1 => 0..TOPICS.len()];
        // those around where a remaining length takes another byte as version 5
        let size = prop_oneof![8 => 0usize..40, 1 => 48..56usize, 1 => 118..126usize, 1 => Just(899), 1 => Just(901)];
        let content_type = prop_oneof![5 => Just(None), 1 => Just(Some("text"))];
        (topic, size, prop_oneof![12 => Just(0u8), 1 => Just(1), 1 => Just(2)], content_type)
    }

    fn packets(version: Version, pieces: &[Piece]) -> Vec<Vec<u8>> {
        let mut id = 0;
        let packet = |(n, (topic, size, kind, content_type)): (usize, &Piece)| {
            id += u16::from(*kind == 1);
            let publish = Publish {
                qos: if *kind == 1 { Qos::AtLeastOnce } else { Qos::AtMostOnce },
                retain: *kind == 2,
                packet_id: NonZeroU16::new(id).filter(|_| *kind == 1),
                topic: TOPICS[*topic],
                properties: PublishProperties {
                    content_type: content_type.filter(|_| version == Version::V5),
                    ..PublishProperties::default()
                },
                payload: &vec![u8::try_from(n % 256).unwrap(); *size],
                ..Publish::default()
            };
            let mut bytes = Vec::new();
            Packet::Publish(publish).encode(version, &mut bytes).unwrap();
            bytes
        };
        pieces.iter().enumerate().map(packet).collect()
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let rare = || prop::bool::weighted(0.15);
        let flags = (rare(), any::<bool>(), rare(), rare(), rare(), any::<bool>());
        (1u16..3, any::<bool>(), flags).prop_map(|(shards, v5, flags)| {
            let version = if v5 { Version::V5 } else { Version::V311 };
            let (upgrade, queue_qos0, duplicates, metered, groups, slow) = flags;
            Kind { shards, version, upgrade, queue_qos0, duplicates, metered, groups, slow }
        })
    }

    /// A burst, cut into two, has the effect of its packets one by one on the way of single messages.
    fn check(kind: &Kind, pieces: &[Piece], cut: usize, back: bool) -> [u64; 7] {
        let packets = packets(kind.version, pieces);
        let (mut one_by_one, mut burst) = (World::new(kind), World::new(kind));
        for shard in &mut one_by_one.shards {
            shard.clients.trace = true; // while packets are watched there are no runs, not even of one
        }
        let bytes = packets.concat();
        let cut = cut.min(bytes.len());
        let mut taken = burst.feed(burst.publisher, &bytes[..cut]);
        let mut fed = 0;
        for packet in &packets {
            if fed == taken {
                one_by_one.interlude(back);
            }
            fed += packet.len();
            one_by_one.feed(one_by_one.publisher, packet);
        }
        burst.interlude(back);
        taken += burst.feed(burst.publisher, &bytes[taken..]);
        assert_eq!(taken, bytes.len());
        let (expected, counts, pauses) = one_by_one.outcome();
        let (sent, burst_counts, burst_pauses) = burst.outcome();
        for (receiver, (sent, expected)) in sent.iter().zip(expected).enumerate() {
            assert_eq!(sent, expected, "receiver {receiver}");
        }
        assert_eq!(counts, burst_counts);
        // another shard tells of it once for all that came
        if kind.shards == 1 {
            assert_eq!(pauses, burst_pauses);
        }
        counts
    }

    const USUAL: Kind = Kind {
        shards: 1,
        version: Version::V311,
        upgrade: false,
        queue_qos0: false,
        duplicates: false,
        metered: false,
        groups: false,
        slow: false,
    };

    /// Two of QoS 1 fill the window of the client that comes back, and one of QoS 0 waits behind them: so must the burst.
    #[test]
    fn a_burst_does_not_overtake_what_waited_for_an_absent_client() {
        let queued = [(1, 4, 1, None), (1, 4, 1, None), (1, 4, 0, None)];
        let cut = packets(Version::V311, &queued).concat().len();
        let pieces = [&queued[..], &[(1, 4, 0, None); 5]].concat();
        check(&Kind { queue_qos0: true, ..USUAL }, &pieces, cut, true);
    }

    /// [MQTT-3.1.2-24] as version 5, a packet whose remaining length was 127 is larger by two bytes
    #[test]
    fn a_burst_that_grows_with_its_version_keeps_to_the_maximum_packet_size() {
        let before = check(&USUAL, &[(1, 121, 0, None); 3], 0, false);
        let after = check(&USUAL, &[(1, 122, 0, None); 3], 0, false);
        assert_eq!(after[4] - before[4], 3, "for the client that takes 130 bytes");
    }

    proptest! {
        /// A burst has the effect of its packets one by one, byte for byte, at every kind of receiver, and its publisher
        /// has to wait as often.
        #[test]
        fn a_burst_is_its_packets(
            kind in kind(),
            pieces in prop::collection::vec(piece(), 1..60),
            cut in 0usize..2000,
            back in any::<bool>(),
        ) {
            check(&kind, &pieces, cut, back);
        }
    }

    /// Subscribers of `t` on the last of some shards, and a publisher on the first.
    fn crowd(shards: u16, receivers: usize, subscription: u32, limits: Limits) -> World {
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Settings { limits, listeners: vec![listener], ..Settings::default() };
        let mut world = World::empty(shards, settings);
        let mut n = 0;
        while world.receivers.len() < receivers {
            n += 1;
            let id = format!("r{n}");
            if world.shards[0].home(&id) == shards - 1 {
                let receiver = world.connect(&id, Version::V5, PLAIN, ConnectProperties::default(), true);
                world.subscribe(receiver, Version::V5, subscription, false, "t");
                world.receivers.push(receiver);
            }
        }
        let id = (0..1000).map(|n| format!("p{n}")).find(|id| world.shards[0].home(id) == 0).unwrap();
        world.publisher = world.connect(&id, Version::V5, PLAIN, ConnectProperties::default(), true);
        world
    }

    fn burst(payload: usize, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let publish = Publish { topic: "t", payload: &vec![1; payload], ..Publish::default() };
        Packet::Publish(publish).encode(Version::V5, &mut bytes).unwrap();
        bytes.repeat(bytes_max / bytes.len())
    }

    /// What one look at a connection or at the mail makes of a burst to many, at most.
    #[test]
    fn a_burst_to_many_comes_in_slices() {
        for (shards, receivers, subscription, payload) in [
            (1, 300, 0, 10),
            (1, 300, 0, BY_REFERENCE_MIN / 2),
            (1, 50, 7, 0),
            (1, 300, 7, 0),
            (2, 300, 0, 10),
            (2, 50, 7, 0),
            (2, 300, 7, 0),
        ] {
            let limits = Limits { turn_deliveries_max: 500, ..Limits::default() };
            let mut world = crowd(shards, receivers, subscription, limits);
            let bytes = burst(payload, 40_000);
            let last = world.shards.len() - 1;
            let one = if subscription > 0 { SINGLE_MAX as usize } else { COPIES_BYTES_MAX / (payload + 6) };
            let bound = one.max(receivers) + 500 + receivers;
            let (mut taken, mut slices) = (0, 0);
            while taken < bytes.len() {
                let before = world.shards[last].stats().publish_sent;
                taken += world.shards[0].handle_input(world.now, world.publisher.1, &bytes[taken..]).consumed;
                let mut batch = world.shards[0].poll_mail(1).map(core::mem::take).unwrap_or_default();
                let mut check = |world: &World, before| {
                    let copies = usize::try_from(world.shards[last].stats().publish_sent - before).unwrap();
                    assert!(copies <= bound, "{copies} copies in one slice, not {bound}");
                    slices += usize::from(copies > 0);
                };
                check(&world, before);
                let mut messages = 0;
                while !batch.is_done() {
                    let before = world.shards[last].stats().publish_sent;
                    messages += world.shards[last].handle_mail(world.now, &mut batch, &mut 500);
                    check(&world, before);
                }
                assert_eq!(messages, batch.len());
            }
            assert!(slices > 1);
            let copies = world.shards[last].stats().publish_sent;
            assert_eq!(copies, (bytes.len() / (payload + 6 + usize::from(payload > 122)) * receivers) as u64);
        }
    }

    /// A client that reads, but slowly, loses nothing to a burst before its publisher has been made to wait.
    #[test]
    fn a_burst_waits_for_a_receiver_that_reads() {
        for subscription in [0, 7] {
            let limits = Limits { output_bytes_max: 4000, ..Limits::default() };
            let mut world = crowd(1, 2, subscription, limits);
            world.read();
            let bytes = burst(10, 60_000);
            let mut taken = 0;
            while taken < bytes.len() {
                taken += world.shards[0].handle_input(world.now, world.publisher.1, &bytes[taken..]).consumed;
                let (_, key) = world.receivers[0];
                assert!(world.shards[0].outbox(key).unwrap().len() < 2000 + 50);
                world.read();
            }
            assert_eq!(world.shards[0].stats().publish_dropped, 0);
        }
    }
}
