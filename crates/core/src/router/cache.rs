//! A shard's memory of which of its sessions a topic goes to.
//!
//! An entry is checked by one counter; when that has moved on, the filters that changed since decide whether the
//! entry still holds. So a change of one subscription costs only the topics it concerns.
//!
//! Beyond the first thousand, a topic gets an entry when it comes a second time; until then it takes a few bits. A device
//! that announces itself with a retained message on a topic of its own leaves nothing else here.

use super::{Group, Matches, Router, Subscription};
use crate::slab::Key;
use foldhash::fast::FixedState;
use grovemq_codec::Qos;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// A session of this shard that gets the messages of a topic: all its matching subscriptions in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub session: Key,
    /// The highest QoS of the matching subscriptions. [MQTT-3.3.5-1]
    pub qos: Qos,
    /// All of them are No Local.
    pub no_local: bool,
    pub retain_as_published: bool,
    /// The session has a mount point.
    pub mounted: bool,
    /// Subscription identifiers: a range of [`Entry::ids`].
    ids: (u32, u32),
}

/// What is known of one topic.
#[derive(Debug)]
pub struct Entry {
    topic: Box<str>,
    generation: u64,
    /// Distinct for every version of every entry.
    pub serial: u64,
    pub local: Vec<Destination>,
    ids: Vec<u32>,
    /// A bit for each other shard with a subscriber.
    pub remote: u64,
    /// Of these, the shards where a session survives a restart.
    pub remote_stored: u64,
    /// Shared groups, with their members in all shards and whose turn it is.
    pub groups: Vec<(Group, u32)>,
    /// Used since the clock hand last passed.
    used: bool,
}

impl Entry {
    pub fn ids(&self, d: &Destination) -> &[u32] {
        self.ids.get(d.ids.0 as usize..d.ids.1 as usize).unwrap_or_default()
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn new(topic: &str) -> Self {
        Self {
            topic: topic.into(),
            generation: 0,
            serial: 0,
            local: Vec::new(),
            ids: Vec::new(),
            remote: 0,
            remote_stored: 0,
            groups: Vec::new(),
            used: false, // a topic seen once must not push out those seen often
        }
    }

    /// Memory it takes, in bytes, near enough.
    fn size(&self) -> usize {
        let members: usize = self.groups.iter().map(|(g, _)| g.members.capacity()).sum();
        size_of::<Self>()
            + self.topic.len()
            + self.local.capacity() * size_of::<Destination>()
            + self.ids.capacity() * size_of::<u32>()
            + self.groups.capacity() * size_of::<(Group, u32)>()
            + members * size_of::<Subscription>()
    }
}

/// The slot of the topic that came last and has no entry of its own; it is not in the table.
const PASSING: usize = 0;

/// So many topics get an entry when they come for the first time.
const EAGER_MAX: usize = 1024;

#[derive(Debug)]
pub struct MatchCache {
    shard: u16,
    entries: Vec<Entry>,
    table: HashTable<u32>,
    hasher: FixedState,
    /// Slots of entries that were evicted.
    free: Vec<u32>,
    /// Topics without an entry. The last of them is in the slot [`PASSING`].
    seen: Seen,
    entries_max: usize,
    bytes: usize,
    bytes_max: usize,
    hand: usize,
    serial: u64,
    duplicates: bool,
}

impl MatchCache {
    pub fn new(shard: u16, entries_max: usize, hasher: FixedState) -> Self {
        Self {
            shard,
            entries: vec![Entry::new("")],
            table: HashTable::new(),
            hasher,
            free: Vec::new(),
            seen: Seen::default(),
            entries_max: entries_max.max(1),
            bytes: 0,
            bytes_max: usize::MAX,
            hand: 0,
            serial: 0,
            duplicates: false,
        }
    }

    /// Forgets everything, as after a change of rights; `duplicates` as for [`MatchCache::duplicates`].
    pub fn reset(&mut self, duplicates: bool) {
        self.entries.clear();
        self.entries.push(Entry::new(""));
        self.table.clear();
        self.free.clear();
        (self.bytes, self.hand, self.duplicates) = (0, 0, duplicates);
    }

    /// Bounds the memory of all entries together; one alone may be larger.
    #[must_use]
    pub fn bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// A session gets a copy for each of its matching subscriptions instead of one for all.
    #[must_use]
    pub fn duplicates(self, duplicates: bool) -> Self {
        Self { duplicates, ..self }
    }

    /// Whether a session can be there several times in one entry.
    pub fn has_duplicates(&self) -> bool {
        self.duplicates
    }

    /// The slot of an up-to-date entry. `hint` is the slot of the caller's previous topic, often the same.
    /// `allowed` says whether a session may receive the topic; it is asked only when the entry is made.
    #[inline]
    pub fn lookup(
        &mut self,
        router: &Router,
        topic: &str,
        hint: u32,
        allowed: impl Fn(Key) -> bool,
    ) -> usize {
        let slot = match self.entries.get(hint as usize) {
            Some(e) if *e.topic == *topic => hint as usize,
            _ => match self.find(topic) {
                Some(slot) => slot,
                None => return self.make(router, topic, allowed),
            },
        };
        let generation = router.generation();
        if let Some(e) = self.entries.get_mut(slot) {
            e.used = true;
            if e.generation != generation {
                if router.unchanged_for(topic, e.generation) {
                    e.generation = generation;
                } else {
                    self.remake(router, slot, allowed);
                }
            }
        }
        slot
    }

    #[inline]
    pub fn entry(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)
    }

    fn find(&self, topic: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(topic);
        let same = |i: &u32| self.entries.get(*i as usize).is_some_and(|e| *e.topic == *topic);
        self.table.find(hash, same).map(|i| *i as usize)
    }

    #[cold]
    fn make(&mut self, router: &Router, topic: &str, allowed: impl Fn(Key) -> bool) -> usize {
        let hash = self.hasher.hash_one(topic);
        let slot = if self.table.len() < EAGER_MAX || self.seen.insert(hash, self.entries_max) {
            self.insert(hash, topic)
        } else {
            self.put(PASSING, topic);
            PASSING
        };
        self.remake(router, slot, allowed);
        slot
    }

    fn insert(&mut self, hash: u64, topic: &str) -> usize {
        if self.table.len() >= self.entries_max {
            self.evict(None);
        }
        let slot = self.free.pop().map_or(self.entries.len(), |slot| slot as usize);
        self.put(slot, topic);
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |i: &u32| entries.get(*i as usize).map_or(0, |e| hasher.hash_one(&*e.topic));
        self.table.insert_unique(hash, u32::try_from(slot).unwrap_or(u32::MAX), rehash);
        slot
    }

    fn put(&mut self, slot: usize, topic: &str) {
        let entry = Entry::new(topic);
        self.bytes += entry.size();
        match self.entries.get_mut(slot) {
            Some(e) => {
                if slot == PASSING && !e.topic.is_empty() {
                    self.bytes -= e.size();
                }
                *e = entry;
            }
            None => self.entries.push(entry),
        }
    }

    #[cold]
    fn remake(&mut self, router: &Router, slot: usize, allowed: impl Fn(Key) -> bool) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        self.bytes -= entry.size();
        let index = router.read();
        let mut found =
            Found { shard: self.shard, local: Vec::new(), remote: 0, remote_stored: 0, groups: Vec::new() };
        entry.generation = router.generation();
        index.trie.matches(&entry.topic, &mut found);
        drop(index);
        self.serial += 1;
        entry.serial = self.serial;
        (entry.remote, entry.remote_stored) = (found.remote, found.remote_stored);
        // each topic begins with another member: most topics may be seen only once
        let turn = u32::try_from(self.serial % u64::from(u32::MAX)).unwrap_or(0);
        entry.groups = found.groups.into_iter().map(|g| (g, turn)).collect();
        (entry.local, entry.ids) = merge(found.local, allowed, self.duplicates);
        self.bytes += entry.size();
        while self.bytes > self.bytes_max && self.table.len() > 1 {
            self.evict(Some(slot));
        }
    }

    /// Drops an entry not used lately, but not the one in `keep`. There is another one in the table.
    fn evict(&mut self, keep: Option<usize>) {
        loop {
            self.hand = (self.hand + 1) % self.entries.len();
            if keep == Some(self.hand) {
                continue;
            }
            let Some(e) = self.entries.get_mut(self.hand) else { return };
            if e.used {
                e.used = false;
                continue;
            }
            let hash = self.hasher.hash_one(&*e.topic);
            let hand = self.hand;
            if let Ok(found) = self.table.find_entry(hash, |i| *i as usize == hand) {
                found.remove();
                self.bytes -= e.size();
                *e = Entry::new("");
                self.free.extend(u32::try_from(hand));
                return;
            }
        }
    }
}

/// Which topics have come lately: a bit for each, now and then one bit for two.
#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
    /// Those of the time before.
    older: Vec<u64>,
    count: usize,
}

impl Seen {
    /// Whether it was there. It remembers the last `topics_max` topics at least, and forgets those before the last twice as
    /// many.
    fn insert(&mut self, hash: u64, topics_max: usize) -> bool {
        if self.bits.is_empty() || self.count >= topics_max {
            let words = topics_max.next_power_of_two().div_ceil(4); // 16 bits for a topic
            self.older = core::mem::replace(&mut self.bits, vec![0; words]);
            self.count = 0;
        }
        let mask = self.bits.len().saturating_sub(1);
        let (word, bit) = ((hash >> 6) as usize & mask, 1 << (hash % 64));
        let is_in = |words: &[u64]| words.get(word).is_some_and(|w| w & bit != 0);
        if is_in(&self.bits) || is_in(&self.older) {
            return true;
        }
        if let Some(w) = self.bits.get_mut(word) {
            *w |= bit;
        }
        self.count += 1;
        false
    }
}

struct Found {
    shard: u16,
    local: Vec<Subscription>,
    remote: u64,
    remote_stored: u64,
    groups: Vec<Group>,
}

impl Matches for Found {
    fn subscription(&mut self, s: &Subscription) {
        if s.session.shard == self.shard {
            self.local.push(*s);
        } else {
            let bit = 1 << (s.session.shard % 64);
            self.remote |= bit;
            self.remote_stored |= if s.stored { bit } else { 0 };
        }
    }

    fn group(&mut self, group: &Group) {
        self.groups.push(group.clone());
    }
}

/// One destination per session, in the order of sessions.
fn merge(
    mut found: Vec<Subscription>,
    allowed: impl Fn(Key) -> bool,
    duplicates: bool,
) -> (Vec<Destination>, Vec<u32>) {
    found.sort_by_key(|s| s.session.key);
    let mut local: Vec<Destination> = Vec::with_capacity(found.len());
    let mut ids: Vec<u32> = Vec::new();
    for s in found {
        match local.last_mut() {
            Some(d) if d.session == s.session.key && !duplicates => {
                d.qos = d.qos.max(s.qos);
                d.no_local &= s.no_local;
                d.retain_as_published |= s.retain_as_published;
            }
            _ => {
                if !allowed(s.session.key) {
                    continue;
                }
                let end = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                local.push(Destination {
                    session: s.session.key,
                    qos: s.qos,
                    no_local: s.no_local,
                    retain_as_published: s.retain_as_published,
                    mounted: s.mounted,
                    ids: (end, end),
                });
            }
        }
        if s.id != 0
            && let Some(d) = local.last_mut()
        {
            ids.push(s.id);
            d.ids.1 += 1;
        }
    }
    (local, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has come is remembered for as many topics as there may be entries, and no memory grows.
    #[test]
    fn topics_seen_are_forgotten_in_time() {
        let mut seen = Seen::default();
        let hash = |n: u64| FixedState::with_seed(1).hash_one(n);
        assert!(!seen.insert(hash(0), 64));
        for n in 1..64 {
            seen.insert(hash(n), 64);
        }
        assert!(seen.insert(hash(0), 64));
        for n in 64..1000 {
            seen.insert(hash(n), 64);
        }
        assert!(!seen.insert(hash(0), 64));
        assert_eq!((seen.bits.len(), seen.older.len()), (16, 16));
    }
}
