//! A publisher's burst to one topic on its way as one piece: looked up once, copied once for each receiver.

use super::Shard;
use super::clients::{Clients, Delivery, READING_MILLIS, To};
use super::mail::Target;
use crate::encode::{self, Framing};
use crate::outbox::BY_REFERENCE_MIN;
use crate::router::{Destination, Entry};
use crate::slab::Key;
use crate::{MessageRef, Time};
use grovemq_codec::{Frame, PublishRun, PublishView, Qos, RunLimits, Version};

/// A run's bytes, and those of all its copies: what comes between two looks at other connections stays short.
const BYTES_MAX: usize = 16 << 10;
const COPIES_BYTES_MAX: usize = 1 << 20;
/// So many receivers of a run get no more than that.
const FEW: usize = COPIES_BYTES_MAX / BYTES_MAX;
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
            bytes_max: if receivers <= FEW { BYTES_MAX } else { COPIES_BYTES_MAX / receivers },
            packet_bytes_max: burst.bytes_max as usize,
            payload_bytes_max,
        };
        PublishRun::gather(burst.bytes, burst.frame, view, burst.version, limits)
    }

    /// A run for every local receiver, and into the mail for other shards. Its first message is counted as received.
    pub(super) fn route_run(
        &mut self,
        now: Time,
        slot: usize,
        run: &PublishRun<'_>,
        first: usize,
        publisher: Option<Key>,
    ) -> u32 {
        let shape = run.shape();
        self.clients.stats.messages_received += u64::from(shape.packets) - 1;
        self.clients.stats.publish_received += u64::from(shape.packets) - 1;
        self.clients.stats.publish_bytes_received += u64::from(shape.payload_bytes) - first as u64;
        let Some(entry) = self.cache.entry(slot) else { return 0 };
        let mut remote = entry.remote;
        let shards = remote.count_ones();
        while remote != 0 {
            let to = remote.trailing_zeros() as usize;
            remote &= remote - 1;
            if let Some(batch) = self.mail.get_mut(to) {
                batch.push_run(publisher, Target::Matching, run);
            }
        }
        self.route_run_local(now, slot, run, publisher) + work(shards, run)
    }

    pub(super) fn route_run_local(
        &mut self,
        now: Time,
        slot: usize,
        run: &PublishRun<'_>,
        publisher: Option<Key>,
    ) -> u32 {
        let Some(entry) = self.cache.entry(slot) else { return 0 };
        let entry: &Entry = entry;
        self.run.single.clear();
        self.run.other.clear();
        let mut whole = 0;
        for d in &entry.local {
            if d.no_local && publisher == Some(d.session) {
                continue; // [MQTT-3.8.3-3]
            }
            let to = To { session: d.session, qos: d.qos, retain: false, ids: entry.ids(d) };
            if d.mounted || !self.clients.deliver_run(now, to, run, &mut self.run.other) {
                self.run.single.push(*d);
            } else {
                whole += 1;
            }
        }
        let mut reached = work(whole, run);
        if !self.run.single.is_empty() {
            let several = self.run.single.len() > 1;
            for message in messages(run) {
                self.variants.clear();
                let variants = &mut self.variants;
                let mut delivery = Delivery { message, shared: None, several, variants };
                for d in &self.run.single {
                    self.clients.deliver_to(now, entry, d, &mut delivery);
                    reached += 1;
                }
            }
        }
        reached
    }

    /// A run from another shard.
    pub(super) fn route_run_mail(&mut self, now: Time, run: &PublishRun<'_>) -> u32 {
        let slot = self.lookup(run.topic(), self.mail_hint);
        self.mail_hint = u32::try_from(slot).unwrap_or(0);
        self.route_run_local(now, slot, run, None)
    }
}

impl Clients {
    /// Sends a run to one session as one piece, or drops it if that is what happens to each of its messages. `false`:
    /// they are to be delivered one by one.
    fn deliver_run(&mut self, now: Time, to: To<'_>, run: &PublishRun<'_>, other: &mut Vec<u8>) -> bool {
        let shape = run.shape();
        let Some(session) = self.sessions.get(to.session) else { return true };
        let online = session.connection.and_then(|key| Some((key, self.connections.get_mut(key)?)));
        let Some((key, c)) = online else { return !self.queue_qos0 };
        let v5 = c.is_v5();
        // a property length more, if it is sent as version 5
        let largest = shape.packet_bytes_max + u32::from(!shape.v5);
        if session.outgoing.holds_qos0()
            || (self.upgrade_qos && to.qos != Qos::AtMostOnce)
            || (v5 && (!to.ids.is_empty() || c.aliases.as_ref().is_some_and(|a| a.assigns())))
            || c.packet_bytes_max < largest
            || c.outbox.len() + run.bytes().len() > self.output_bytes_max
        {
            return false;
        }
        self.pressure |= c.outbox.len() > self.output_bytes_max / 2
            && now.0.saturating_sub(c.last_output.0) < READING_MILLIS;
        c.outbox.lend(&mut self.pool);
        if v5 == shape.v5 {
            c.outbox.buffer().extend_from_slice(run.bytes());
        } else {
            if other.is_empty() {
                let framing = Framing { v5, ..Framing::default() };
                for message in messages(run) {
                    encode::publish(other, now, &message, &framing, true);
                }
            }
            c.outbox.buffer().extend_from_slice(other);
        }
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(key);
        }
        self.stats.publish_sent += u64::from(shape.packets);
        self.stats.messages_sent += u64::from(shape.packets);
        self.stats.publish_bytes_sent += u64::from(shape.payload_bytes);
        true
    }
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
    use super::BYTES_MAX;
    use crate::observe::{Peer, Silent, Stats};
    use crate::outbox::BY_REFERENCE_MIN;
    use crate::{Key, Limits, ListenerSettings, Router, Settings, Shard, Time};
    use grovemq_codec::{
        Connect, ConnectProperties, Filters, Packet, Publish, PublishProperties, Qos, Subscribe,
        SubscribeOptions, SubscribeProperties, Version,
    };
    use proptest::prelude::*;
    use std::io::IoSlice;
    use std::num::NonZeroU16;
    use std::sync::Arc;

    const NOW: Time = Time(1000);
    const NOBODY: Key = Key { index: u32::MAX, generation: 0 };
    const TOPICS: [&str; 3] = ["a", "a/b", "c"];

    /// Shards with a publisher and all kinds of receivers.
    struct World {
        shards: Vec<Shard>,
        publisher: (usize, Key),
        receivers: Vec<(usize, Key)>,
    }

    impl World {
        fn new(shards: u16, version: Version, upgrade: bool) -> Self {
            let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
            let mounted = ListenerSettings { mount_point: Some("a/".into()), ..listener.clone() };
            let settings = Settings {
                limits: Limits { payload_bytes_max: 900, ..Limits::default() },
                listeners: vec![listener, mounted],
                queue_qos0: true,
                upgrade_outgoing_qos: upgrade,
                ..Settings::default()
            };
            let settings = Arc::new(settings);
            let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
            let shard = |id| Shard::new(id, shards, router.clone(), settings.clone(), Box::new(Silent));
            let shards: Vec<Shard> = (0..shards).map(shard).collect();
            let mut world = Self { shards, publisher: (0, NOBODY), receivers: Vec::new() };
            let plain = ConnectProperties::default;
            world.publisher = world.connect("pub", version, 0, plain(), true);
            let aliases = ConnectProperties { topic_alias_maximum: Some(2), ..plain() };
            let small = ConnectProperties { maximum_packet_size: Some(60), ..plain() };
            let receivers = [
                ("v3", Version::V311, 0, plain(), 0),
                ("other", Version::V31, 0, plain(), 0),
                ("v5", Version::V5, 0, plain(), 0),
                ("ids", Version::V5, 0, plain(), 7),
                ("aliases", Version::V5, 0, aliases, 0),
                ("small", Version::V5, 0, small, 0),
                ("mounted", Version::V311, 1, plain(), 0),
            ];
            for (id, version, listener, properties, subscription) in receivers {
                let receiver = world.connect(id, version, listener, properties, true);
                world.subscribe(receiver, version, subscription, false);
                world.receivers.push(receiver);
            }
            world.subscribe(world.publisher, version, 0, true);
            world.receivers.push(world.publisher);
            // one that is away
            let away = world.connect("away", Version::V311, 0, plain(), false);
            world.subscribe(away, Version::V311, 0, false);
            world.feed(away, &[0xe0, 0]);
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
            let key = self.shards[shard].handle_open(NOW, Peer { address: None, listener, secured: None });
            let connect = Connect {
                version,
                bridge: false,
                clean_start,
                keep_alive: 60,
                properties,
                client_id,
                will: None,
                username: None,
                password: None,
            };
            self.send((shard, key), version, &Packet::Connect(connect));
            (shard, key)
        }

        fn subscribe(&mut self, who: (usize, Key), version: Version, id: u32, no_local: bool) {
            let no_local = no_local && version == Version::V5;
            let options = SubscribeOptions { qos: Qos::AtLeastOnce, no_local, ..SubscribeOptions::default() };
            let properties = SubscribeProperties {
                subscription_id: (id > 0).then_some(id),
                ..SubscribeProperties::default()
            };
            let list = [("a/#", options), ("b", options)];
            let filters = Filters::List(&list);
            self.send(
                who,
                version,
                &Packet::Subscribe(Subscribe { packet_id: NonZeroU16::MIN, properties, filters }),
            );
        }

        fn send(&mut self, who: (usize, Key), version: Version, packet: &Packet<'_>) {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes).unwrap();
            self.feed(who, &bytes);
        }

        fn feed(&mut self, (shard, key): (usize, Key), bytes: &[u8]) -> usize {
            let taken = self.shards[shard].handle_input(NOW, key, bytes).consumed;
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    let mail = self.shards[from].poll_mail(u16::try_from(to).unwrap()).map(core::mem::take);
                    if let Some(mut batch) = mail {
                        let messages = self.shards[to].handle_mail(NOW, &mut batch, &mut 1_000_000);
                        assert_eq!(messages, batch.len());
                    }
                }
            }
            taken
        }

        /// What each receiver was sent so far, and what all shards count.
        fn outcome(&mut self) -> (Vec<Vec<u8>>, [u64; 7]) {
            let away = self.connect("away", Version::V311, 0, ConnectProperties::default(), false);
            let sent = |(shard, key): &(usize, Key)| {
                let mut slices = [IoSlice::new(&[]); 64];
                let n = self.shards[*shard].outbox(*key).unwrap().slices(&mut slices);
                slices[..n].iter().flat_map(|s| s.iter().copied()).collect::<Vec<u8>>()
            };
            let sent = self.receivers.iter().chain([&away]).map(sent).collect();
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
            (sent, counts)
        }
    }

    type Piece = (usize, usize, u8, Option<&'static str>);

    fn piece() -> impl Strategy<Value = Piece> {
        // mostly the same, so that there are runs
        let topic = prop_oneof![6 => Just(1usize), 1 => 0..TOPICS.len()];
        let size = prop_oneof![8 => 0usize..40, 1 => Just(200), 1 => Just(899), 1 => Just(901)];
        let content_type = prop_oneof![5 => Just(None), 1 => Just(Some("text"))];
        (topic, size, prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2)], content_type)
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

    proptest! {
        /// A burst has the effect of its packets one by one, byte for byte, at every kind of receiver.
        #[test]
        fn a_burst_is_its_packets(
            pieces in prop::collection::vec(piece(), 1..40),
            shards in 1u16..3,
            v5 in any::<bool>(),
            upgrade in prop::bool::weighted(0.2),
            cut in 0usize..2000,
        ) {
            let version = if v5 { Version::V5 } else { Version::V311 };
            let packets = packets(version, &pieces);
            let (mut one_by_one, mut burst) = (World::new(shards, version, upgrade), World::new(shards, version, upgrade));
            for packet in &packets {
                one_by_one.feed(one_by_one.publisher, packet);
            }
            let bytes = packets.concat();
            let cut = cut.min(bytes.len());
            let mut taken = burst.feed(burst.publisher, &bytes[..cut]);
            taken += burst.feed(burst.publisher, &bytes[taken..]);
            prop_assert_eq!(taken, bytes.len());
            let (expected, counts) = one_by_one.outcome();
            let (sent, burst_counts) = burst.outcome();
            for (receiver, (sent, expected)) in sent.iter().zip(&expected).enumerate() {
                prop_assert_eq!(sent, expected, "receiver {}", receiver);
            }
            prop_assert_eq!(counts, burst_counts);
        }
    }

    /// One `handle_input` of a burst to very many copies no more than the bound, and then gives others their turn.
    #[test]
    fn a_burst_to_many_comes_in_slices() {
        const RECEIVERS: usize = 300;
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let limits = Limits { turn_deliveries_max: 500, ..Limits::default() };
        let settings = Arc::new(Settings { limits, listeners: vec![listener], ..Settings::default() });
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        let shard = Shard::new(0, 1, router, settings, Box::new(Silent));
        let (version, publisher, receivers) = (Version::V311, (0, NOBODY), Vec::new());
        let mut world = World { shards: vec![shard], publisher, receivers };
        let plain = ConnectProperties::default;
        for n in 0..RECEIVERS {
            let receiver = world.connect(&format!("r{n}"), version, 0, plain(), true);
            world.subscribe(receiver, version, 0, false);
        }
        let publisher = world.connect("pub", version, 0, plain(), true);
        let payload = vec![1; BY_REFERENCE_MIN / 2];
        let mut bytes = Vec::new();
        let publish = Publish { topic: "a/b", payload: &payload, ..Publish::default() };
        Packet::Publish(publish).encode(version, &mut bytes).unwrap();
        let burst = bytes.repeat(BYTES_MAX * 2 / bytes.len());
        let mut taken = 0;
        let mut slices = 0;
        while taken < burst.len() {
            let before = world.shards[0].stats().publish_sent;
            taken += world.feed(publisher, &burst[taken..]);
            let copies = usize::try_from(world.shards[0].stats().publish_sent - before).unwrap();
            assert!(copies <= RECEIVERS, "{copies} copies of {} bytes in one slice", bytes.len());
            slices += 1;
        }
        assert_eq!(slices, burst.len() / bytes.len());
    }
}
