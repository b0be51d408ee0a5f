//! Acknowledgements that wait until what they acknowledge is safe.
//!
//! A turn's records and the answers that depend on them form a *commit point*. The driver stores the records and
//! reports the point with [`Shard::handle_persisted`]. Where a message went to another shard with a session that
//! survives a restart, the point waits for that shard's word, too: `confirm` travels with the mail, `confirmed` comes
//! back once that shard's own records are safe. Points are released in their order, so a client gets its
//! acknowledgements in the order of its packets. [MQTT-4.6.0-2] [MQTT-4.6.0-3]

mod joint;

pub(super) use joint::Wait;

use super::Shard;
use super::clients::Clients;
use crate::Time;
use crate::journal::{Record, SessionImage, StoredId, WillImage};
use crate::session::{NEVER, Session, Stored};
use crate::slab::Key;
use grovemq_codec::{Packet, PacketType, ReasonCode};
use joint::Joint;
use std::collections::VecDeque;

/// What a turn changed for good, to be stored as one.
#[derive(Debug)]
pub struct Commit {
    /// To be reported to [`Shard::handle_persisted`]; they grow by one.
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
    /// The commit that has to be safe, with all before it.
    commit: u64,
    /// Shards that have not confirmed yet.
    remote: u64,
    held: Vec<Held>,
    joint: Option<Box<Joint>>,
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
    /// Their numbers have no gaps.
    waiting: VecDeque<Point>,
    /// Other shards that want to know about a commit, and the point it is about there.
    confirms: VecDeque<(u64, u16, u64)>,
    joints: joint::Joints,
    /// Counts what has to be safe before an answer.
    effects: u64,
    /// The latest commits handed to the store and stored, and the latest point released.
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
            joints: joint::Joints::new(shard, shards),
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
        let Point { held, remote, joint, .. } = &self.current;
        self.records.is_empty() && held.is_empty() && *remote == 0 && joint.is_none()
    }

    /// Ends the turn's point, where there is anything in it.
    fn close_point(&mut self) -> Option<Commit> {
        if self.is_clean() {
            return None;
        }
        let next = Point { number: self.current.number + 1, ..Point::default() };
        let mut point = core::mem::replace(&mut self.current, next);
        let commit = (!self.records.is_empty()).then(|| core::mem::take(&mut self.records));
        let commit = commit.map(|records| self.make_commit(records));
        point.commit = self.submitted;
        if point.joint.is_some() {
            self.joints.open.push_back(point.number);
        }
        self.waiting.push_back(point);
        commit
    }

    fn make_commit(&mut self, records: Vec<Record>) -> Commit {
        self.submitted += 1;
        Commit { point: self.submitted, records }
    }

    /// The latest point with anything in it.
    pub(super) fn latest(&self) -> u64 {
        self.current.number - u64::from(self.is_clean())
    }

    fn next_ready(&mut self) -> Option<Point> {
        let first = self.waiting.front()?;
        let is_open = self.joints.open.front() == Some(&first.number);
        if first.remote != 0 || is_open || first.commit > self.persisted {
            return None;
        }
        self.released = first.number;
        self.waiting.pop_front()
    }
}

impl Clients {
    /// Whether an answer to this client must wait: for what changed since `mark`, or behind others that wait.
    #[inline]
    pub(super) fn must_hold(&self, key: Key, mark: u64) -> bool {
        let journal = &self.journal;
        journal.effects != mark || self.connections.get(key).is_some_and(|c| c.held > journal.released)
    }

    pub(super) fn hold(&mut self, key: Key, held: Held) {
        let point = self.journal.hold(held);
        if let Some(c) = self.connections.get_mut(key) {
            c.held = point;
        }
    }
}

impl Shard {
    /// The turn changed something that [`Shard::poll_commit`] ends.
    pub fn has_changes(&self) -> bool {
        let journal = &self.clients.journal;
        !journal.is_clean() || journal.has_whole_joint()
    }

    /// What the driver has to store now, if anything. To be asked at the end of a turn, before [`Shard::poll_mail`], while
    /// [`Shard::has_changes`]; [`Shard::poll_dirty`] may have something again then.
    pub fn poll_commit(&mut self, now: Time) -> Option<Commit> {
        let journal = &mut self.clients.journal;
        let commit = journal.close_point().or_else(|| journal.commit_joint());
        self.release_points(now);
        commit
    }

    /// All records up to this commit are as safe as they will be.
    pub fn handle_persisted(&mut self, now: Time, point: u64) {
        self.clients.journal.persisted = point;
        self.release_points(now);
    }

    /// Whether the store has so much to do that publishers should rest.
    pub fn set_store_behind(&mut self, behind: bool) {
        self.clients.journal.behind = behind;
    }

    /// Whether clients make the broker hold so much memory that nothing new may be held: messages that would have to wait
    /// are refused or dropped, and so are those to be retained and new sessions.
    pub fn set_memory_short(&mut self, short: bool) {
        if short != self.clients.short {
            self.clients.set_memory_short(short);
        }
    }

    /// Points that wait for the store or another shard, for the driver to end in good order.
    pub fn has_uncommitted(&self) -> bool {
        !self.clients.journal.waiting.is_empty()
    }

    pub(super) fn want_confirm(&mut self, now: Time, from: u16, point: u64) {
        let journal = &mut self.clients.journal;
        // what this turn has recorded is the next commit
        let own = journal.submitted + u64::from(!journal.records.is_empty());
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
            let journal = &mut self.clients.journal;
            if own > journal.persisted {
                break;
            }
            journal.confirms.pop_front();
            if let Some(batch) = self.mail.get_mut(usize::from(shard)) {
                batch.confirmed = Some(point);
            }
        }
        while let Some(point) = self.clients.journal.next_ready() {
            if let Some(joint) = point.joint {
                self.settle_joint(now, point.number, &joint);
            }
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
        if self.clients.must_hold(key, mark) {
            self.clients.hold(key, Held::Ack(key, kind, id, reason));
        } else {
            self.send_answer(now, key, kind, id, reason);
        }
    }

    /// [`Shard::send_packet`] as soon as what changed since `mark` is safe.
    pub(super) fn answer_packet(&mut self, now: Time, key: Key, packet: &Packet<'_>, mark: u64) {
        if !self.clients.must_hold(key, mark) {
            return self.send_packet(now, key, packet);
        }
        if let Some(bytes) = self.encode(now, key, packet) {
            self.clients.hold(key, Held::Packet(key, bytes.into()));
        }
    }
}
