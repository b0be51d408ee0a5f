//! Acknowledgements that wait until what they acknowledge is safe.
//!
//! A turn's records and the answers that depend on them form a *commit point*. The driver stores the records and
//! reports the point with [`Shard::handle_persisted`]. Where a message went to another shard with a session that
//! survives a restart, the point waits for that shard's word, too: `confirm` travels with the mail, `confirmed` comes
//! back once that shard's own records are safe. Points are released in their order, so a client gets its
//! acknowledgements in the order of its packets. [MQTT-4.6.0-2] [MQTT-4.6.0-3]

use super::Shard;
use crate::Time;
use crate::journal::{QueuedImage, Record, SessionImage, StoredId, WillImage};
use crate::outgoing::Parcel;
use crate::session::{NEVER, Session, Stored};
use crate::slab::Key;
use grovemq_codec::{Packet, PacketType, ReasonCode};
use std::collections::VecDeque;

/// What a turn changed for good, to be stored as one.
#[derive(Debug)]
pub struct Commit {
    /// To be reported to [`Shard::handle_persisted`]; they grow.
    pub point: u64,
    pub records: Vec<Record>,
}

#[derive(Debug)]
pub(super) enum Held {
    Ack(Key, PacketType, u16, ReasonCode),
    /// A whole packet.
    Packet(Key, Box<[u8]>),
    /// A PUBLISH of QoS 2, which must be known after a restart: session and packet id.
    Publish(Key, u16),
}

#[derive(Debug, Default)]
struct Point {
    number: u64,
    /// Shards that have not confirmed yet.
    remote: u64,
    held: Vec<Held>,
}

/// The changes of this turn and the points that wait.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The wall clock at time 0. `None`: nothing survives a restart, and nothing is recorded.
    epoch: Option<u64>,
    /// Session ids given out, in steps of the number of shards.
    next_id: StoredId,
    step: u64,
    records: Vec<Record>,
    current: Point,
    waiting: VecDeque<Point>,
    /// Other shards that want to know about a point, with the number it has there.
    confirms: VecDeque<(u64, u16, u64)>,
    /// Counts what has to be safe before an answer.
    effects: u64,
    /// The latest points handed to the store, stored, and released.
    submitted: u64,
    persisted: u64,
    released: u64,
    /// The store has more to do than it should.
    pub(crate) behind: bool,
}

impl Journal {
    pub(super) fn new(shard: u16, shards: u16, epoch: Option<u64>) -> Self {
        Self {
            epoch,
            next_id: 1 + u64::from(shard),
            step: u64::from(shards.max(1)),
            records: Vec::new(),
            current: Point { number: 1, ..Point::default() },
            waiting: VecDeque::new(),
            confirms: VecDeque::new(),
            effects: 0,
            submitted: 0,
            persisted: 0,
            released: 0,
            behind: false,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.epoch.is_some()
    }

    /// Compared with a later value: whether something has to be stored in between.
    #[inline]
    pub(super) fn mark(&self) -> u64 {
        self.effects
    }

    pub(crate) fn record(&mut self, record: Record) {
        if self.is_on() {
            self.effects += 1;
            self.records.push(record);
        }
    }

    /// A message leaves a session for good.
    pub(crate) fn finished(&mut self, session: Option<StoredId>, seq: u64) {
        if let Some(session) = session.filter(|_| seq != 0) {
            self.record(Record::Finished { session, seq });
        }
    }

    pub(super) fn queued(&mut self, session: StoredId, parcel: &Parcel) {
        let Parcel { message, qos, retain, ids, seq } = parcel.clone();
        self.record(Record::Queued(session, Box::new(QueuedImage { seq, message, qos, retain, ids })));
    }

    /// What follows is to wait until that shard has its part safe; the number to ask it with.
    pub(super) fn wait_for(&mut self, shard: usize) -> u64 {
        self.effects += 1;
        self.current.remote |= 1 << (shard % 64);
        self.current.number
    }

    pub(super) fn hold(&mut self, held: Held) -> u64 {
        self.current.held.push(held);
        self.current.number
    }

    fn wall(&self, at: Time) -> u64 {
        self.epoch.unwrap_or(0).saturating_add(at.0)
    }

    pub(super) fn time(&self, wall: u64) -> Time {
        Time(wall.saturating_sub(self.epoch.unwrap_or(0)))
    }

    /// Session ids begin above this one.
    pub(super) fn begin_above(&mut self, last_id: StoredId) {
        self.next_id += last_id;
    }

    /// The session as it is, for the store.
    pub(super) fn describe(&mut self, session: &Session) {
        let Some(id) = session.stored_id() else { return };
        let will = session.will.as_ref().and_then(|will| {
            let due = self.wall(session.will_due?);
            Some(WillImage { message: will.message.clone(), due, expiry: will.expiry })
        });
        let image = SessionImage {
            id,
            client_id: session.client_id.clone(),
            username: session.username.clone(),
            mount: session.mount.as_deref().map(Box::from),
            expiry: session.expiry,
            expires: session.expires.filter(|_| session.expiry != NEVER).map(|at| self.wall(at)),
            will,
        };
        self.record(Record::Session(Box::new(image)));
    }

    /// A name for a session that from now on survives.
    pub(super) fn adopt(&mut self) -> Stored {
        let id = self.next_id;
        self.next_id += self.step;
        Stored { id, seq: 0 }
    }

    fn is_clean(&self) -> bool {
        self.records.is_empty() && self.current.held.is_empty() && self.current.remote == 0
    }

    /// Ends the turn's point, where there is anything in it.
    fn close_point(&mut self) -> Option<Commit> {
        if self.is_clean() {
            return None;
        }
        let point = self.current.number;
        let next = Point { number: point + 1, ..Point::default() };
        self.waiting.push_back(core::mem::replace(&mut self.current, next));
        if self.records.is_empty() {
            return None;
        }
        self.submitted = point;
        Some(Commit { point, records: core::mem::take(&mut self.records) })
    }

    fn is_safe(&self, point: u64) -> bool {
        point <= self.persisted || self.persisted >= self.submitted
    }

    fn next_ready(&mut self) -> Option<Point> {
        let first = self.waiting.front()?;
        if first.remote != 0 || !self.is_safe(first.number) {
            return None;
        }
        self.released = first.number;
        self.waiting.pop_front()
    }
}

impl Shard {
    /// The turn changed something that [`Shard::poll_commit`] ends.
    pub fn has_changes(&self) -> bool {
        !self.clients.journal.is_clean()
    }

    /// What the driver has to store now, if anything. To be asked at the end of a turn, before [`Shard::poll_mail`], while
    /// [`Shard::has_changes`]; [`Shard::poll_dirty`] may have something again then.
    pub fn poll_commit(&mut self, now: Time) -> Option<Commit> {
        let commit = self.clients.journal.close_point();
        self.release_points(now);
        commit
    }

    /// All records up to this point are as safe as they will be.
    pub fn handle_persisted(&mut self, now: Time, point: u64) {
        self.clients.journal.persisted = point;
        self.release_points(now);
    }

    /// Whether the store has so much to do that publishers should rest.
    pub fn set_store_behind(&mut self, behind: bool) {
        self.clients.journal.behind = behind;
    }

    /// Points that wait for the store or another shard, for the driver to end in good order.
    pub fn has_uncommitted(&self) -> bool {
        !self.clients.journal.waiting.is_empty()
    }

    pub(super) fn want_confirm(&mut self, now: Time, from: u16, point: u64) {
        let journal = &mut self.clients.journal;
        let own = journal.current.number;
        journal.confirms.push_back((own, from, point));
        // at once where there was nothing to store
        self.release_points(now);
    }

    pub(super) fn confirmed(&mut self, now: Time, shard: u16, point: u64) {
        for waiting in &mut self.clients.journal.waiting {
            if waiting.number <= point {
                waiting.remote &= !(1 << (shard % 64));
            }
        }
        self.release_points(now);
    }

    fn release_points(&mut self, now: Time) {
        while let Some((own, shard, point)) = self.clients.journal.confirms.front().copied() {
            // a point still open may get records yet
            let journal = &mut self.clients.journal;
            if own == journal.current.number && !journal.records.is_empty() || !journal.is_safe(own) {
                break;
            }
            journal.confirms.pop_front();
            if let Some(batch) = self.mail.get_mut(usize::from(shard)) {
                batch.confirmed = Some(point);
            }
        }
        while let Some(point) = self.clients.journal.next_ready() {
            for held in point.held {
                match held {
                    Held::Ack(key, kind, id, reason) => self.send_answer(now, key, kind, id, reason),
                    Held::Packet(key, bytes) => self.clients.send_bytes(key, &bytes),
                    Held::Publish(key, id) => {
                        if let Some(session) = self.clients.sessions.get_mut(key) {
                            session.outgoing.release(id);
                            self.clients.pump(now, key, &mut self.variants);
                        }
                    }
                }
            }
        }
    }

    /// Whether an answer to this client must wait: for what changed since `mark`, or behind others that wait.
    #[inline]
    pub(super) fn must_hold(&self, key: Key, mark: u64) -> bool {
        let journal = &self.clients.journal;
        journal.effects != mark
            || self.clients.connections.get(key).is_some_and(|c| c.held > journal.released)
    }

    fn hold(&mut self, key: Key, held: Held) {
        let point = self.clients.journal.hold(held);
        if let Some(c) = self.clients.connections.get_mut(key) {
            c.held = point;
        }
    }

    /// [`Shard::send_answer`] as soon as what changed since `mark` is safe.
    #[inline]
    pub(super) fn answer(
        &mut self,
        now: Time,
        key: Key,
        kind: PacketType,
        id: u16,
        reason: ReasonCode,
        mark: u64,
    ) {
        if self.must_hold(key, mark) {
            self.hold(key, Held::Ack(key, kind, id, reason));
        } else {
            self.send_answer(now, key, kind, id, reason);
        }
    }

    /// [`Shard::send_packet`] as soon as what changed since `mark` is safe.
    pub(super) fn answer_packet(&mut self, now: Time, key: Key, packet: &Packet<'_>, mark: u64) {
        if !self.must_hold(key, mark) {
            return self.send_packet(now, key, packet);
        }
        if let Some(bytes) = self.encode(now, key, packet) {
            self.hold(key, Held::Packet(key, bytes.into()));
        }
    }
}
