//! A store as simple as can be: records applied to maps, and lost where they were not synced.

use grovemq_core::journal::{QueuedImage, Record, Saved, SavedSession, SessionImage, SubscriptionImage};
use grovemq_core::{Commit, Message, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Default)]
pub(crate) struct Disk {
    /// The wall clock at the broker's time 0.
    pub(crate) wall: u64,
    /// Nothing is synced unless asked for.
    pub(crate) stalled: bool,
    submitted: Vec<(usize, u64, Vec<Record>)>,
    sessions: BTreeMap<u64, Session>,
    retained: BTreeMap<String, Arc<Message>>,
    last_id: u64,
}

#[derive(Clone)]
struct Session {
    image: SessionImage,
    subscriptions: BTreeMap<(Box<str>, Option<Box<str>>), SubscriptionImage>,
    queue: BTreeMap<u64, Option<QueuedImage>>,
    received: BTreeSet<u16>,
}

impl Disk {
    pub(crate) fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(crate) fn submit(&mut self, shard: usize, commit: Commit) {
        assert!(!commit.records.is_empty());
        self.submitted.push((shard, commit.point, commit.records));
    }

    /// The points that are safe now.
    pub(crate) fn sync(&mut self) -> Vec<(usize, u64)> {
        let mut done = Vec::new();
        for (shard, point, records) in std::mem::take(&mut self.submitted) {
            for record in records {
                self.apply(record);
            }
            done.push((shard, point));
        }
        done
    }

    pub(crate) fn lose_unsynced(&mut self, now: Time) {
        self.submitted.clear();
        self.wall += now.0;
        self.stalled = false;
    }

    /// What one finds in its sessions, in words: client id, subscriptions, queued, received.
    pub(crate) fn sessions(&self) -> Vec<String> {
        let show = |s: &Session| {
            let counts = (s.subscriptions.len(), s.queue.len(), s.received.len());
            format!("{} {} {} {}", s.image.client_id, counts.0, counts.1, counts.2)
        };
        self.sessions.values().map(show).collect()
    }

    pub(crate) fn recover(&mut self) -> Vec<Saved> {
        let retained = self.retained.values().cloned().map(Saved::Retained);
        let session = |s: &Session| {
            Saved::Session(Box::new(SavedSession {
                image: s.image.clone(),
                subscriptions: s.subscriptions.values().cloned().collect(),
                queue: s.queue.iter().map(|(seq, q)| (*seq, q.clone())).collect(),
                received: s.received.iter().copied().collect(),
            }))
        };
        retained.chain(self.sessions.values().map(session)).collect()
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Session(image) => {
                self.last_id = self.last_id.max(image.id);
                let image = *image;
                self.sessions.entry(image.id).and_modify(|s| s.image = image.clone()).or_insert_with(|| {
                    Session {
                        image,
                        subscriptions: BTreeMap::new(),
                        queue: BTreeMap::new(),
                        received: BTreeSet::new(),
                    }
                });
            }
            Record::Ended(id) => {
                self.sessions.remove(&id).expect("a session that is known");
            }
            Record::Subscribed(id, s) => {
                let key = (s.filter.clone(), s.group.clone());
                self.of(id).subscriptions.insert(key, *s);
            }
            Record::Unsubscribed(id, filter, group) => {
                self.of(id).subscriptions.remove(&(filter, group)).expect("a subscription that is known");
            }
            Record::Queued(id, q) => {
                assert!(self.of(id).queue.insert(q.seq, Some(q)).is_none(), "a place given twice");
            }
            Record::Owned { session, seq } => {
                let entry = self.of(session).queue.get_mut(&seq).expect("a message that is known");
                assert!(entry.take().is_some(), "not owned yet");
            }
            Record::Finished { session, seq } => {
                assert!(self.of(session).queue.remove(&seq).is_some(), "a message that is known");
            }
            Record::Received { session, packet_id } => {
                assert!(self.of(session).received.insert(packet_id));
            }
            Record::Completed { session, packet_id } => {
                assert!(self.of(session).received.remove(&packet_id));
            }
            Record::Retained(message) if message.payload().is_empty() => {
                self.retained.remove(message.topic());
            }
            Record::Retained(message) => {
                self.retained.insert(message.topic().into(), message);
            }
        }
    }

    fn of(&mut self, id: u64) -> &mut Session {
        self.sessions.get_mut(&id).expect("a session that is known")
    }
}
