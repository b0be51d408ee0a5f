//! What is alive in the log, and where. Messages themselves are not kept here.

use crate::change::{BodyId, Change, Queued};
use crate::near::Near;
use foldhash::fast::FixedState;
use grovemq_core::journal::StoredId;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// A place in the log; 0 is none.
pub(crate) type Position = u64;

/// Stands for a text of a client's choosing. Two keyed hashes: nobody outside can make two texts meet.
type TextKey = u128;

/// Roughly what a change other than a body takes in the log.
const CHANGE_BYTES: u64 = 40;

#[derive(Debug, Default)]
pub(crate) struct Index {
    sessions: HashMap<StoredId, Held, FixedState>,
    bodies: HashMap<BodyId, Body, Near>,
    retained: HashMap<TextKey, Kept, FixedState>,
    subscriptions: u64,
    queued: u64,
    body_bytes: u64,
    /// While the log is read: what has no use yet may get one.
    patient: bool,
    keys: [RandomState; 2],
}

/// What is kept of a session. Those without a description at the end of the log are not sessions.
#[derive(Debug, Default)]
struct Held {
    at: Position,
    subscriptions: BTreeMap<TextKey, Position>,
    queue: BTreeMap<u64, Entry>,
    received: BTreeMap<u16, Position>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Position,
    /// 0 when the receiver owns it.
    body: BodyId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Session,
    /// Only the number is still in use.
    Receiver,
}

#[derive(Debug, Default)]
struct Body {
    at: Position,
    bytes: u32,
    uses: u32,
}

#[derive(Debug)]
struct Kept {
    at: Position,
    body: BodyId,
}

impl Index {
    /// An index that is about to read a log, in which a body may come before or after what it is for.
    pub(crate) fn for_reading() -> Self {
        Self { patient: true, ..Self::default() }
    }

    /// `len` is what the change takes in the log.
    pub(crate) fn apply(&mut self, change: &Change<'_>, at: Position, len: usize) {
        match change {
            Change::Body { id, .. } => {
                let body = self.bodies.entry(*id).or_default();
                self.body_bytes = self.body_bytes - u64::from(body.bytes) + len as u64;
                (body.at, body.bytes) = (at, u32::try_from(len).unwrap_or(u32::MAX));
            }
            Change::Session(session) => self.held(session.id).at = at,
            Change::Ended(session) => self.end(*session),
            Change::Subscribed { session, filter, group, .. } => {
                let key = self.key(filter, *group);
                let new = self.held(*session).subscriptions.insert(key, at).is_none();
                self.subscriptions += u64::from(new);
            }
            Change::Unsubscribed { session, filter, group } => {
                let key = self.key(filter, *group);
                let held = self.sessions.get_mut(session);
                let gone = held.is_some_and(|held| held.subscriptions.remove(&key).is_some());
                self.subscriptions -= u64::from(gone);
            }
            Change::Queued(queued) => self.queue(queued, at),
            Change::Owned { session, seq } => self.replace(*session, *seq, Some(Entry { at, body: 0 })),
            Change::Finished { session, seq } => self.replace(*session, *seq, None),
            Change::Received { session, packet_id } => {
                self.held(*session).received.insert(*packet_id, at);
            }
            Change::Completed { session, packet_id } => {
                if let Some(held) = self.sessions.get_mut(session) {
                    held.received.remove(packet_id);
                }
            }
            Change::Retained { topic, body } => self.retain(topic, Some(Kept { at, body: *body })),
            Change::Cleared { topic } => self.retain(topic, None),
        }
    }

    /// Ends the reading: drops what makes no sense by itself, and says what that was.
    pub(crate) fn settle(&mut self, lost: &mut dyn FnMut(String, String)) {
        self.patient = false;
        let headless: Vec<StoredId> =
            self.sessions.iter().filter(|(_, held)| held.at == 0).map(|(id, _)| *id).collect();
        for id in headless {
            let messages = self.sessions.get(&id).map_or(0, |held| held.queue.len());
            lost(format!("session {id}"), format!("its description, and {messages} messages with it"));
            self.end(id);
        }
        let mut bodiless = Vec::new();
        for (id, held) in &self.sessions {
            for (seq, entry) in &held.queue {
                if entry.body != 0 && !self.has_body(entry.body) {
                    bodiless.push((*id, *seq));
                }
            }
        }
        for (session, seq) in bodiless {
            lost(format!("session {session}, message {seq}"), "its body".into());
            self.replace(session, seq, None);
        }
        let mut missing = 0;
        self.retained.retain(|_, kept| {
            let found = self.bodies.get(&kept.body).is_some_and(|body| body.at != 0);
            missing += u64::from(!found);
            found
        });
        if missing > 0 {
            lost("retained messages".into(), format!("the bodies of {missing}"));
        }
        self.bodies.retain(|_, body| {
            let needed = body.at != 0 && body.uses > 0;
            self.body_bytes -= if needed { 0 } else { body.bytes.into() };
            needed
        });
        self.bodies.shrink_to_fit();
    }

    /// Whether the change that stands at `at` is still what counts.
    pub(crate) fn is_live(&self, change: &Change<'_>, at: Position) -> bool {
        let held = |session| self.sessions.get(session);
        let stands = match change {
            Change::Body { id, .. } => self.bodies.get(id).map(|body| body.at),
            Change::Session(session) => held(&session.id).map(|held| held.at),
            Change::Subscribed { session, filter, group, .. } => {
                held(session).and_then(|held| held.subscriptions.get(&self.key(filter, *group))).copied()
            }
            Change::Queued(Queued { session, seq, .. }) | Change::Owned { session, seq, .. } => {
                held(session).and_then(|held| held.queue.get(seq)).map(|entry| entry.at)
            }
            Change::Received { session, packet_id } => {
                held(session).and_then(|held| held.received.get(packet_id)).copied()
            }
            Change::Retained { topic, .. } => self.retained.get(&self.key(topic, None)).map(|kept| kept.at),
            Change::Ended(_)
            | Change::Unsubscribed { .. }
            | Change::Finished { .. }
            | Change::Completed { .. }
            | Change::Cleared { .. } => None,
        };
        stands == Some(at)
    }

    pub(crate) fn has_session(&self, id: StoredId) -> bool {
        self.sessions.contains_key(&id)
    }

    pub(crate) fn has_body(&self, id: BodyId) -> bool {
        self.bodies.get(&id).is_some_and(|body| body.at != 0)
    }

    pub(crate) fn has_subscription(&self, session: StoredId, filter: &str, group: Option<&str>) -> bool {
        let key = self.key(filter, group);
        self.sessions.get(&session).is_some_and(|held| held.subscriptions.contains_key(&key))
    }

    pub(crate) fn has_received(&self, session: StoredId, packet_id: u16) -> bool {
        self.sessions.get(&session).is_some_and(|held| held.received.contains_key(&packet_id))
    }

    pub(crate) fn has_retained(&self, topic: &str) -> bool {
        self.retained.contains_key(&self.key(topic, None))
    }

    /// Of a message on its way, who has it.
    pub(crate) fn holder(&self, session: StoredId, seq: u64) -> Option<Holder> {
        let entry = self.sessions.get(&session)?.queue.get(&seq)?;
        Some(if entry.body == 0 { Holder::Receiver } else { Holder::Session })
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    pub(crate) fn subscriptions(&self) -> u64 {
        self.subscriptions
    }

    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    pub(crate) fn retained(&self) -> u64 {
        self.retained.len() as u64
    }

    pub(crate) fn bodies(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Roughly what would be left of the log if nothing but what is alive were in it.
    pub(crate) fn live_bytes(&self) -> u64 {
        let changes = self.sessions() * 2 + self.subscriptions + self.queued + self.retained();
        self.body_bytes + changes * CHANGE_BYTES
    }

    fn held(&mut self, session: StoredId) -> &mut Held {
        self.sessions.entry(session).or_default()
    }

    fn queue(&mut self, queued: &Queued<'_>, at: Position) {
        let body = self.bodies.entry(queued.body).or_default();
        body.uses = body.uses.saturating_add(1);
        let entry = Entry { at, body: queued.body };
        self.replace(queued.session, queued.seq, Some(entry));
    }

    fn replace(&mut self, session: StoredId, seq: u64, entry: Option<Entry>) {
        let queue = match entry {
            Some(_) => &mut self.held(session).queue,
            None => match self.sessions.get_mut(&session) {
                Some(held) => &mut held.queue,
                None => return,
            },
        };
        let before = match entry {
            Some(entry) => queue.insert(seq, entry),
            None => queue.remove(&seq),
        };
        self.queued += u64::from(entry.is_some());
        if let Some(before) = before {
            self.queued -= 1;
            self.release(before.body);
        }
    }

    fn retain(&mut self, topic: &str, kept: Option<Kept>) {
        let key = self.key(topic, None);
        if let Some(kept) = &kept {
            let body = self.bodies.entry(kept.body).or_default();
            body.uses = body.uses.saturating_add(1);
        }
        let before = match kept {
            Some(kept) => self.retained.insert(key, kept),
            None => self.retained.remove(&key),
        };
        if let Some(before) = before {
            self.release(before.body);
        }
    }

    fn end(&mut self, session: StoredId) {
        let Some(held) = self.sessions.remove(&session) else { return };
        self.subscriptions -= held.subscriptions.len() as u64;
        self.queued -= held.queue.len() as u64;
        held.queue.values().for_each(|entry| self.release(entry.body));
    }

    fn release(&mut self, id: BodyId) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        body.uses = body.uses.saturating_sub(1);
        if body.uses == 0 && !self.patient {
            self.body_bytes -= u64::from(body.bytes);
            self.bodies.remove(&id);
        }
    }

    fn key(&self, text: &str, group: Option<&str>) -> TextKey {
        let [high, low] = &self.keys;
        let hash = |state: &RandomState| u128::from(state.hash_one((text, group)));
        hash(high) << 64 | hash(low)
    }
}
