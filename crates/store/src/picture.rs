//! What a list of records adds up to, kept in plain maps.

use crate::Recovery;
use grovemq_core::Message;
use grovemq_core::journal::{
    QueuedImage, Record, Saved, SavedSession, SessionImage, StoredId, SubscriptionImage,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Sessions and retained messages, in memory. What [`crate::Memory`] is made of, and what other stores are measured by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    sessions: BTreeMap<StoredId, Session>,
    retained: BTreeMap<Box<str>, Arc<Message>>,
    highest_session: StoredId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    image: SessionImage,
    subscriptions: BTreeMap<(Box<str>, Option<Box<str>>), SubscriptionImage>,
    queue: BTreeMap<u64, Option<QueuedImage>>,
    received: BTreeSet<u16>,
}

impl Picture {
    /// A record about a session that is not there changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Session(image) => self.describe(image),
            Record::Ended(id) => drop(self.sessions.remove(id)),
            Record::Retained(message) if message.payload().is_empty() => {
                self.retained.remove(message.topic());
            }
            Record::Retained(message) => {
                self.retained.insert(message.topic().into(), message.clone());
            }
            Record::Subscribed(id, image) => self.with(*id, |session| {
                session.subscriptions.insert((image.filter.clone(), image.group.clone()), (**image).clone());
            }),
            Record::Unsubscribed(id, filter, group) => self.with(*id, |session| {
                session.subscriptions.remove(&(filter.clone(), group.clone()));
            }),
            Record::Queued(id, image) => self.with(*id, |session| {
                session.queue.insert(image.seq, Some(image.clone()));
            }),
            Record::Owned { session, seq } => self.with(*session, |session| {
                if let Some(entry) = session.queue.get_mut(seq) {
                    *entry = None;
                }
            }),
            Record::Finished { session, seq } => self.with(*session, |session| {
                session.queue.remove(seq);
            }),
            Record::Received { session, packet_id } => self.with(*session, |session| {
                session.received.insert(*packet_id);
            }),
            Record::Completed { session, packet_id } => self.with(*session, |session| {
                session.received.remove(packet_id);
            }),
        }
    }

    /// Takes over what another store gives back.
    pub fn insert(&mut self, saved: Saved) {
        match saved {
            Saved::Retained(message) => drop(self.retained.insert(message.topic().into(), message)),
            Saved::Session(saved) => {
                let SavedSession { image, subscriptions, queue, received } = *saved;
                self.highest_session = self.highest_session.max(image.id);
                let key = |s: &SubscriptionImage| (s.filter.clone(), s.group.clone());
                let session = Session {
                    subscriptions: subscriptions.into_iter().map(|s| (key(&s), s)).collect(),
                    queue: queue.into_iter().collect(),
                    received: received.into_iter().collect(),
                    image,
                };
                self.sessions.insert(session.image.id, session);
            }
        }
    }

    /// Gives all of it to `visit`, sessions by id, then retained messages by topic.
    pub fn visit(&self, visit: &mut dyn FnMut(Saved)) -> Recovery {
        let mut found = Recovery { highest_session: self.highest_session, ..Recovery::default() };
        for session in self.sessions.values() {
            found.sessions += 1;
            found.subscriptions += session.subscriptions.len() as u64;
            found.queued += session.queue.len() as u64;
            visit(Saved::Session(Box::new(session.saved())));
        }
        for message in self.retained.values() {
            found.retained += 1;
            visit(Saved::Retained(message.clone()));
        }
        found
    }

    fn describe(&mut self, image: &SessionImage) {
        self.highest_session = self.highest_session.max(image.id);
        if let Some(session) = self.sessions.get_mut(&image.id) {
            session.image = image.clone();
            return;
        }
        let session = Session {
            image: image.clone(),
            subscriptions: BTreeMap::new(),
            queue: BTreeMap::new(),
            received: BTreeSet::new(),
        };
        self.sessions.insert(image.id, session);
    }

    fn with(&mut self, id: StoredId, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&id) {
            change(session);
        }
    }
}

impl Session {
    fn saved(&self) -> SavedSession {
        SavedSession {
            image: self.image.clone(),
            subscriptions: self.subscriptions.values().cloned().collect(),
            queue: self.queue.iter().map(|(seq, entry)| (*seq, entry.clone())).collect(),
            received: self.received.iter().copied().collect(),
        }
    }
}
