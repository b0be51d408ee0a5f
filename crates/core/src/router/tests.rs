//! The router against a list that is scanned from one end to the other.

use super::*;
use crate::slab::Key;
use crate::{Message, MessageRef, Time};
use grovemq_codec::Qos;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const SHARDS: u16 = 3;
const SESSIONS: u16 = 6;
const GROUPS: [&str; 2] = ["g", "h"];

/// Two sessions live on each shard.
fn session(n: u16) -> SessionRef {
    SessionRef { shard: n % SHARDS, key: Key { index: u32::from(n / SHARDS), generation: 7 } }
}

/// Access rules of the test: this session may not read what begins with `b`.
fn may_read(key: Key, topic: &str) -> bool {
    key.index != 1 || !topic.starts_with('b')
}

#[derive(Clone, Debug)]
enum Op {
    Subscribe {
        session: u16,
        filter: String,
        group: Option<usize>,
        qos: u8,
        flags: (bool, bool),
        id: u32,
    },
    Unsubscribe {
        session: u16,
        filter: String,
        group: Option<usize>,
    },
    UnsubscribeAll {
        session: u16,
    },
    SetOnline {
        session: u16,
        online: bool,
    },
    Invalidate,
    /// `hint`: the slot of the previous topic (`None`), or any other.
    Match {
        shard: u16,
        topic: String,
        hint: Option<u32>,
    },
    /// Changes that no topic of the test matches, more than are remembered.
    Elsewhere {
        times: u16,
    },
}

fn filter() -> impl Strategy<Value = String> {
    "([ab+]?/){0,3}[ab+#]?|\\$[ab]?(/[ab+]?){0,2}|\\$a/#"
        .prop_filter("legal", |f| topic::validate_filter(f).is_ok())
}

fn name() -> impl Strategy<Value = String> {
    "([ab]?/){0,3}[ab]?|\\$[ab]?(/[ab]){0,2}".prop_filter("legal", |t| topic::validate_name(t).is_ok())
}

fn op() -> impl Strategy<Value = Op> {
    let group = || prop::option::weighted(0.3, 0..GROUPS.len());
    prop_oneof![
        8 => (0..SESSIONS, filter(), group(), 0u8..3, any::<(bool, bool)>(), 0u32..4).prop_map(
            |(session, filter, group, qos, flags, id)| Op::Subscribe { session, filter, group, qos, flags, id }
        ),
        4 => (0..SESSIONS, filter(), group())
            .prop_map(|(session, filter, group)| Op::Unsubscribe { session, filter, group }),
        1 => (0..SESSIONS).prop_map(|session| Op::UnsubscribeAll { session }),
        1 => (0..SESSIONS, any::<bool>()).prop_map(|(session, online)| Op::SetOnline { session, online }),
        1 => Just(Op::Invalidate),
        1 => (0u16..300).prop_map(|times| Op::Elsewhere { times }),
        12 => (0..SHARDS, name(), prop::option::of(0u32..6))
            .prop_map(|(shard, topic, hint)| Op::Match { shard, topic, hint }),
    ]
}

/// The list. At most one entry for each (session, filter, group).
#[derive(Default)]
struct Model(Vec<(String, Option<usize>, Subscription)>);

/// Session, QoS, No Local, Retain As Published, subscription identifiers.
type Local = (Key, Qos, bool, bool, Vec<u32>);
/// Session, whether it is online, QoS, subscription identifier.
type Member = (SessionRef, bool, Qos, u32);

/// What a topic matched, in an order that both sides can reach.
#[derive(Debug, PartialEq)]
struct Matched {
    local: Vec<Local>,
    remote: u64,
    groups: Vec<(String, Vec<Member>)>,
}

impl Model {
    fn position(&self, s: SessionRef, filter: &str, group: Option<usize>) -> Option<usize> {
        self.0.iter().position(|(f, g, sub)| f == filter && *g == group && sub.session == s)
    }

    fn matched(&self, shard: u16, name: &str) -> Matched {
        let hits = || self.0.iter().filter(|(f, ..)| topic::matches(f, name));
        let mut local: BTreeMap<Key, Local> = BTreeMap::new();
        let mut remote = 0;
        let mut groups: BTreeMap<(&str, usize), Vec<Member>> = BTreeMap::new();
        for (filter, group, s) in hits() {
            if let Some(group) = group {
                groups.entry((filter, *group)).or_default().push((s.session, s.online, s.qos, s.id));
            } else if s.session.shard != shard {
                remote |= 1 << s.session.shard;
            } else if may_read(s.session.key, name) {
                let d = local.entry(s.session.key).or_insert((
                    s.session.key,
                    Qos::AtMostOnce,
                    true,
                    false,
                    Vec::new(),
                ));
                d.1 = d.1.max(s.qos);
                d.2 &= s.no_local;
                d.3 |= s.retain_as_published;
                d.4.extend((s.id != 0).then_some(s.id));
                d.4.sort_unstable();
            }
        }
        let mut groups: Vec<_> = groups
            .into_iter()
            .map(|((_, group), mut members)| {
                members.sort_unstable();
                (GROUPS[group].to_string(), members)
            })
            .collect();
        groups.sort_unstable();
        Matched { local: local.into_values().collect(), remote, groups }
    }
}

fn matched(cache: &mut MatchCache, slot: usize, name: &str) -> Matched {
    let entry = cache.entry(slot).unwrap();
    assert_eq!(entry.topic(), name, "the slot of another topic");
    let local = entry.local.iter().map(|d| {
        let mut ids = entry.ids(d).to_vec();
        ids.sort_unstable();
        (d.session, d.qos, d.no_local, d.retain_as_published, ids)
    });
    let local = local.collect();
    let groups = entry.groups.iter().map(|(group, _)| {
        let mut members: Vec<_> = group.members.iter().map(|m| (m.session, m.online, m.qos, m.id)).collect();
        members.sort_unstable();
        (group.name.to_string(), members)
    });
    let mut groups: Vec<_> = groups.collect();
    groups.sort_unstable();
    Matched { local, remote: entry.remote, groups }
}

/// The router with caches of several sizes per shard, the list beside it, and what each session remembers.
struct Bench {
    router: Router,
    caches: Vec<(u16, u32, MatchCache)>,
    model: Model,
    nodes: Vec<Subscribed>,
}

impl Bench {
    fn new() -> Self {
        let hasher = FixedState::with_seed(1);
        let cache = |n: u16| {
            let entries_max = [1, 3, 1000][usize::from(n / SHARDS)];
            (n % SHARDS, 0, MatchCache::new(n % SHARDS, entries_max, hasher.clone()))
        };
        Self {
            router: Router::new(hasher.clone()),
            caches: (0..SHARDS * 3).map(cache).collect(),
            model: Model::default(),
            nodes: vec![Subscribed::None; usize::from(SESSIONS)],
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Subscribe { session: n, filter, group, qos, flags: (no_local, retain_as_published), id } => {
                let session = session(n);
                let qos = Qos::from_u8(qos).unwrap();
                let s = Subscription {
                    session,
                    qos,
                    no_local,
                    retain_as_published,
                    mounted: false,
                    online: true,
                    stored: false,
                    id,
                };
                let (node, new) = self.router.subscribe(&filter, group.map(|g| GROUPS[g]), s);
                assert_eq!(self.router.filter(node), filter);
                assert_eq!(self.router.subscription(&filter, group.map(|g| GROUPS[g]), session), Some(s));
                let place = self.model.position(session, &filter, group);
                assert_eq!(new, place.is_none());
                if let Some(place) = place {
                    self.model.0[place].2 = s;
                } else {
                    self.model.0.push((filter, group, s));
                    assert!(self.nodes[usize::from(n)].insert(node, group.map(|g| GROUPS[g])));
                }
            }
            Op::Unsubscribe { session: n, filter, group } => {
                let node = self.router.unsubscribe(&filter, group.map(|g| GROUPS[g]), session(n));
                let place = self.model.position(session(n), &filter, group);
                assert_eq!(node.is_some(), place.is_some());
                if let (Some(node), Some(place)) = (node, place) {
                    self.model.0.remove(place);
                    let known = &mut self.nodes[usize::from(n)];
                    let mut remove = || known.remove(node, group.map(|g| GROUPS[g]));
                    assert!(remove() && !remove(), "the node it was told at subscription, once");
                }
            }
            Op::UnsubscribeAll { session: n } => {
                self.router
                    .unsubscribe_some(session(n), std::mem::take(&mut self.nodes[usize::from(n)]).leave());
                self.model.0.retain(|(.., s)| s.session != session(n));
            }
            Op::SetOnline { session: n, online } => {
                self.router.set_online(session(n), &self.nodes[usize::from(n)], online);
                for (_, group, s) in &mut self.model.0 {
                    if group.is_some() && s.session == session(n) {
                        s.online = online;
                    }
                }
            }
            Op::Invalidate => self.router.invalidate(),
            Op::Elsewhere { times } => {
                let s = plain(0);
                for _ in 0..times {
                    self.router.subscribe("elsewhere", None, s);
                    self.router.unsubscribe("elsewhere", None, s.session).unwrap();
                }
            }
            Op::Match { shard, topic, hint } => {
                let expected = self.model.matched(shard, &topic);
                for (_, last, cache) in self.caches.iter_mut().filter(|(s, ..)| *s == shard) {
                    let hint = hint.unwrap_or(*last);
                    let slot = cache.lookup(&self.router, &topic, hint, |key| may_read(key, &topic));
                    *last = u32::try_from(slot).unwrap();
                    assert_eq!(matched(cache, slot, &topic), expected, "{topic}");
                }
            }
        }
    }

    fn counts(&self) -> (usize, usize) {
        let shared = self.model.0.iter().filter(|(_, group, _)| group.is_some()).count();
        (self.model.0.len() - shared, shared)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn router_and_caches_agree_with_a_list(ops in prop::collection::vec(op(), 0..120)) {
        let mut bench = Bench::new();
        for op in ops {
            bench.run(op);
            prop_assert_eq!(bench.router.subscription_counts(), bench.counts());
        }
        for n in 0..SESSIONS {
            bench.run(Op::UnsubscribeAll { session: n });
        }
        prop_assert_eq!(bench.router.subscription_counts(), (0, 0));
        prop_assert_eq!(bench.router.read().trie.node_count(), 1, "only the root is left");
        prop_assert!(bench.router.read().trie.is_empty());
    }
}

fn plain(n: u16) -> Subscription {
    let (qos, online) = (Qos::AtMostOnce, true);
    Subscription {
        session: session(n),
        qos,
        no_local: false,
        retain_as_published: false,
        mounted: false,
        online,
        stored: false,
        id: 0,
    }
}

/// Fault B24: the same filter subscribed and left over and over, plain and shared.
#[test]
fn b24_jitter_on_one_filter_leaves_nothing() {
    let router = Router::new(FixedState::with_seed(1));
    for n in 0..10_000u16 {
        let s = plain(n % SESSIONS);
        let group = (n % 3 == 0).then_some("g");
        router.subscribe("a/+/b/#", group, s);
        assert!(router.unsubscribe("a/+/b/#", group.is_none().then_some("g"), s.session).is_none());
        assert!(router.unsubscribe("a/+/b/#", group, s.session).is_some());
        assert!(router.unsubscribe("a/+/b/#", group, s.session).is_none());
    }
    assert_eq!(router.read().trie.node_count(), 1);
}

/// Fault B06: many deep filters; their nodes go with them and are used again.
#[test]
fn b06_nodes_are_freed_and_used_again() {
    let router = Router::new(FixedState::with_seed(1));
    let filter = |round: u32, n: u32| format!("{round}/a/{n}/b/{n}/+/c/#");
    for round in 0..3 {
        for n in 0..2000 {
            router.subscribe(&filter(round, n), None, plain(1));
        }
        for n in 0..2000 {
            assert!(router.unsubscribe(&filter(round, n), None, session(1)).is_some());
        }
        let index = router.read();
        assert_eq!(index.trie.node_count(), 1);
    }
}

/// Topics that are used stay; as many entries as allowed, no more.
#[test]
fn the_cache_keeps_what_is_used() {
    let router = Router::new(FixedState::with_seed(1));
    router.subscribe("#", None, plain(0));
    let mut cache = MatchCache::new(0, 8, FixedState::with_seed(1));
    let mut slots = std::collections::BTreeSet::new();
    let hot = cache.lookup(&router, "hot", u32::MAX, |_| true);
    let serial = cache.entry(hot).unwrap().serial;
    for n in 0..1000 {
        slots.insert(cache.lookup(&router, &format!("cold/{n}"), u32::MAX, |_| true));
        assert_eq!(cache.lookup(&router, "hot", u32::MAX, |_| true), hot);
        assert_eq!(cache.entry(hot).unwrap().serial, serial, "made anew in spite of being used");
    }
    assert_eq!(slots.len(), 7);
}

/// Thousands of topics that come once share a slot; those that come again have one each, and all find their receivers.
#[test]
fn a_topic_among_many_has_an_entry_when_it_comes_again() {
    let router = Router::new(FixedState::with_seed(1));
    router.subscribe("even/+", None, plain(0));
    let mut cache = MatchCache::new(0, 1 << 16, FixedState::with_seed(1));
    let name = |n: usize| format!("{}/{n}", if n.is_multiple_of(2) { "even" } else { "odd" });
    let mut pass = || {
        let mut slots = std::collections::BTreeSet::new();
        for n in 0..20_000 {
            let slot = cache.lookup(&router, &name(n), 0, |_| true);
            assert_eq!(cache.lookup(&router, &name(n), u32::try_from(slot).unwrap(), |_| true), slot);
            let entry = cache.entry(slot).unwrap();
            assert_eq!((entry.topic(), entry.local.len()), (&*name(n), 1 - n % 2));
            slots.insert(slot);
        }
        slots.len()
    };
    assert!((1025..2000).contains(&pass()), "a bit for two topics is rare");
    assert_eq!(pass(), 20_000);
}

/// A change concerns only the topics that the filter matches.
#[test]
fn churn_elsewhere_does_not_make_entries_anew() {
    let router = Router::new(FixedState::with_seed(1));
    router.subscribe("a/#", None, plain(0));
    let mut cache = MatchCache::new(0, 8, FixedState::with_seed(1));
    let mut serial = |router: &Router| {
        let slot = cache.lookup(router, "a/b", 0, |_| true);
        cache.entry(slot).unwrap().serial
    };
    let first = serial(&router);
    for n in 0..200 {
        router.subscribe(&format!("b/{n}"), None, plain(1));
    }
    assert_eq!(serial(&router), first);
    router.subscribe("+/b", None, plain(3));
    assert_ne!(serial(&router), first);
}

/// A member's turn must not begin anew with each topic, or one member gets all topics that are seen once.
#[test]
fn groups_begin_with_different_members() {
    let router = Router::new(FixedState::with_seed(1));
    for n in 0..4 {
        router.subscribe("t/#", Some("g"), plain(n));
    }
    let mut cache = MatchCache::new(0, 1000, FixedState::with_seed(1));
    let mut first = [0; 4];
    for n in 0..100 {
        let slot = cache.lookup(&router, &format!("t/{n}"), 0, |_| true);
        let (group, turn) = &cache.entry(slot).unwrap().groups[0];
        first[*turn as usize % group.members.len()] += 1;
    }
    assert_eq!(first, [25; 4]);
}

mod retained {
    use super::*;

    const MAX: usize = 8;

    #[derive(Clone, Debug)]
    enum Op {
        Set {
            topic: String,
            payload: Vec<u8>,
            expires: Option<u64>,
        },
        Remove {
            topic: String,
        },
        Sweep {
            now: u64,
            budget: usize,
        },
        Collect {
            filter: String,
        },
        /// A walk in slices, with these changes between them.
        Walk {
            filter: String,
            budget: usize,
            changes: Vec<(String, u8)>,
        },
    }

    fn op() -> impl Strategy<Value = Op> {
        let payload = || prop::collection::vec(any::<u8>(), 0..3);
        let change = (name(), 0u8..3);
        prop_oneof![
            6 => (name(), payload(), prop::option::of(0u64..20))
                .prop_map(|(topic, payload, expires)| Op::Set { topic, payload, expires }),
            1 => name().prop_map(|topic| Op::Remove { topic }),
            1 => (0u64..20, 1usize..5).prop_map(|(now, budget)| Op::Sweep { now, budget }),
            2 => filter().prop_map(|filter| Op::Collect { filter }),
            2 => (filter(), 1usize..4, prop::collection::vec(change, 0..6))
                .prop_map(|(filter, budget, changes)| Op::Walk { filter, budget, changes }),
        ]
    }

    fn message(topic: &str, payload: &[u8], expires: Option<u64>) -> Arc<Message> {
        let (qos, expires) = (Qos::AtMostOnce, expires.map(Time));
        MessageRef { topic, properties: &[], payload, qos, retain: true, expires }.to_shared()
    }

    #[derive(Default)]
    struct Bench {
        retained: Retained,
        model: BTreeMap<String, (Vec<u8>, Option<u64>)>,
    }

    impl Bench {
        fn set(&mut self, topic: &str, payload: &[u8], expires: Option<u64>) {
            let fits = payload.is_empty() || self.model.contains_key(topic) || self.model.len() < MAX;
            assert_eq!(self.retained.set(message(topic, payload, expires), MAX), fits);
            if payload.is_empty() {
                self.model.remove(topic);
            } else if fits {
                self.model.insert(topic.to_string(), (payload.to_vec(), expires));
            }
        }

        fn matching(&self, filter: &str) -> Vec<String> {
            self.model.keys().filter(|t| topic::matches(filter, t)).cloned().collect()
        }

        fn run(&mut self, op: Op) {
            match op {
                Op::Set { topic, payload, expires } => self.set(&topic, &payload, expires),
                Op::Remove { topic } => {
                    self.retained.remove(&topic);
                    self.model.remove(&topic);
                }
                Op::Sweep { now, budget } => self.sweep(now, budget),
                Op::Collect { filter } => {
                    let mut found = Vec::new();
                    self.retained.collect(&filter, None, &mut Cursor::Start, usize::MAX, &mut found);
                    let found: Vec<_> = found.iter().map(|m| (m.topic(), m.payload())).collect();
                    let expected = self.matching(&filter);
                    let expected: Vec<_> = expected.iter().map(|t| (&**t, &*self.model[t].0)).collect();
                    assert_eq!(found, expected);
                }
                Op::Walk { filter, budget, changes } => self.walk(&filter, budget, &changes),
            }
            let bytes = self.model.iter().map(|(t, (p, _))| t.len() + p.len()).sum::<usize>();
            assert_eq!((self.retained.len(), self.retained.bytes()), (self.model.len(), bytes));
            assert_eq!(self.retained.is_empty(), self.model.is_empty());
        }

        fn sweep(&mut self, now: u64, budget: usize) {
            let mut cursor = Cursor::Start;
            let mut swept = 0;
            loop {
                swept += self.retained.sweep(Time(now), &mut cursor, budget).len();
                if cursor == Cursor::Start {
                    break;
                }
            }
            let before = self.model.len();
            self.model.retain(|_, (_, expires)| expires.is_none_or(|t| t > now));
            assert_eq!(swept, before - self.model.len());
        }

        /// What was there all the time comes exactly once; what was never there, or does not match, never.
        fn walk(&mut self, filter: &str, budget: usize, changes: &[(String, u8)]) {
            let mut always = self.matching(filter);
            let mut ever = always.clone();
            let mut cursor = Cursor::Start;
            let mut found = Vec::new();
            let mut changes = changes.iter();
            while cursor != Cursor::End {
                let before = found.len();
                self.retained.collect(filter, None, &mut cursor, budget, &mut found);
                assert!(found.len() - before <= budget);
                for m in &found[before..] {
                    assert_eq!(m.payload(), self.model[m.topic()].0, "the value of that moment");
                }
                if let Some((topic, len)) = changes.next() {
                    self.set(topic, &vec![1; usize::from(*len)], None);
                    let now = self.matching(filter);
                    always.retain(|t| now.contains(t));
                    ever.extend(now);
                }
            }
            let found: Vec<_> = found.iter().map(|m| m.topic().to_string()).collect();
            assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
            assert!(always.iter().all(|t| found.contains(t)), "{always:?} of {found:?}");
            assert!(found.iter().all(|t| ever.contains(t)), "{found:?} of {ever:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(ops in prop::collection::vec(op(), 0..60)) {
            let mut bench = Bench::default();
            for op in ops {
                bench.run(op);
            }
        }
    }
}

/// An entry being made is not the one that makes room, wherever the hand stands and though all others are in use.
#[test]
fn the_cache_never_evicts_what_was_asked_for() {
    let topics = ["0", "1", "2", "3", "4"];
    for grown in topics {
        let router = Router::new(FixedState::default());
        router.subscribe("#", None, plain(0));
        let mut cache = MatchCache::new(0, 100, FixedState::default()).bytes_max(1000);
        for topic in topics.iter().chain(&topics) {
            cache.lookup(&router, topic, 0, |_| true);
        }
        for n in 1..50 {
            let key = Key { index: n, generation: 0 };
            let session = SessionRef { shard: 0, key };
            router.subscribe(grown, None, Subscription { session, ..plain(0) });
        }
        let slot = cache.lookup(&router, grown, 0, |_| true);
        let entry = cache.entry(slot).unwrap();
        assert_eq!((entry.topic(), entry.local.len()), (grown, 50));
    }
}
