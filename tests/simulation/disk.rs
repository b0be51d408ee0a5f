//! What survives a kill: the store, which is late, and the broker's end and new beginning on it.

use crate::world::World;
use grovemq_core::journal::Saved;
use grovemq_core::observe::Silent;
use grovemq_core::{Commit, Router, Settings, Shard, Time};
use grovemq_store::{Memory, Store};
use grovemq_tests::Random;
use std::collections::VecDeque;
use std::sync::Arc;

/// Commits on their way to a store that syncs when it likes.
pub(crate) struct Disk {
    store: Memory,
    /// A sync takes up to so many milliseconds.
    slowness: usize,
    /// In the order they were submitted, with the time at which they are safe.
    submitted: VecDeque<(Time, usize, Commit)>,
}

impl Disk {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            store: Memory::default(),
            slowness: random.of(&[1, 30, 300, 5000]),
            submitted: VecDeque::new(),
        }
    }

    pub(crate) fn submit(&mut self, now: Time, random: &mut Random, shard: usize, commit: Commit) {
        let due = Time(now.0 + random.below(self.slowness) as u64);
        let due = self.submitted.back().map_or(due, |(last, ..)| due.max(*last));
        self.submitted.push_back((due, shard, commit));
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.submitted.is_empty()
    }

    /// The next commit that is safe by now.
    fn sync(&mut self, now: Time) -> Option<(usize, u64)> {
        self.submitted.front().filter(|(due, ..)| *due <= now)?;
        let (_, shard, commit) = self.submitted.pop_front()?;
        self.store.commit(&commit.records).unwrap();
        Some((shard, commit.point))
    }

    /// Some of what was under way is safe although nobody was told, the rest is gone.
    fn die(&mut self, random: &mut Random) {
        let kept = random.below(self.submitted.len() + 1);
        for (.., commit) in self.submitted.drain(..).take(kept) {
            self.store.commit(&commit.records).unwrap();
        }
    }

    /// What is stored, by session: client id, messages on their way, packet ids received.
    pub(crate) fn sessions(&mut self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        let mut show = |saved| {
            if let Saved::Session(s) = saved {
                found.push((s.image.client_id.to_string(), s.queue.len(), s.received.len()));
            }
        };
        self.store.recover(&mut show).unwrap();
        found
    }
}

impl World {
    /// A broker of some shards, on what the store holds.
    pub(crate) fn boot(&mut self) {
        let seed = self.random.next();
        let hasher = foldhash::fast::FixedState::with_seed(seed);
        self.router = Arc::new(Router::new(hasher));
        let count = self.random.of(&[1, 2, 4]);
        let mut saved = Vec::new();
        let found = self.disk.as_mut().map(|disk| disk.store.recover(&mut |s| saved.push(s)).unwrap());
        let store_epoch = found.is_some().then_some(1_000_000);
        let settings = Arc::new(Settings { seed, store_epoch, ..self.settings.clone() });
        let shard = |id| Shard::new(id, count, self.router.clone(), settings.clone(), Box::new(Silent));
        self.shards = (0..count).map(shard).collect();
        for saved in saved {
            match saved {
                Saved::Retained(message) => drop(self.router.retained_mut().set(message, usize::MAX)),
                Saved::Session(session) => {
                    let home = usize::from(self.shards[0].home(&session.image.client_id));
                    self.shards[home].restore(self.now, *session);
                }
            }
        }
        for shard in &mut self.shards {
            shard.set_last_stored(found.as_ref().map_or(0, |found| found.highest_session));
        }
    }

    /// The broker is killed in the middle of whatever it does, and another starts on its store.
    pub(crate) fn kill(&mut self) {
        self.kills += 1;
        for link in self.links.values_mut().filter(|link| link.broker_open) {
            link.up.tear(&mut self.random);
            link.down.tear(&mut self.random);
            link.broker_open = false;
        }
        self.mail.clear();
        self.verdicts.clear();
        if let Some(disk) = &mut self.disk {
            disk.die(&mut self.random);
        }
        self.boot();
    }

    /// The store finishes what it can by now.
    pub(crate) fn persist(&mut self) {
        while let Some((shard, point)) = self.disk.as_mut().and_then(|disk| disk.sync(self.now)) {
            self.shards[shard].handle_persisted(self.now, point);
        }
    }
}
