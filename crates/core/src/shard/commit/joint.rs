//! A message of QoS 2 that several shards store: its packet id and all its places in their sessions are one commit.
//!
//! Were they several, a kill between them would lose the message, or deliver it again when its publisher sends it again.
//! So the shards that have receivers send their records to the publisher's shard (`joined`), which commits them with
//! its own, and tells them when that is safe (`settled`). Until then the message waits in their queues.

use super::{Commit, Journal};
use crate::Time;
use crate::journal::{QueuedImage, Record, StoredId};
use crate::outgoing::Parcel;
use crate::shard::Shard;
use crate::slab::Key;
use std::collections::VecDeque;

/// Whose commit a message belongs to: a shard, and the number of a point there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    shard: u16,
    point: u64,
}

/// What has to come back from a shard that was sent a message, with the number of the point that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// The word that its own records are safe.
    Confirmed(u64),
    /// Its records, to be committed here.
    Joined(u64),
}

/// A point's records that have to be one commit with those of other shards.
#[derive(Debug, Default)]
pub(super) struct Joint {
    /// Shards that take part, and those of them whose part has not come.
    shards: u64,
    missing: u64,
    records: Vec<Record>,
}

#[derive(Debug)]
pub(super) struct Joints {
    shard: u16,
    /// The message routed now has QoS 2 and comes from a session that survives.
    once: bool,
    /// Where the places of the messages delivered now are stored, if not here and at once.
    lot: Option<Lot>,
    /// Closed points whose joint commit was not handed to the store.
    pub(super) open: VecDeque<u64>,
    /// Records that go back to the shard whose mail is read now, by its points.
    foreign: Vec<(u64, Vec<Record>)>,
    /// By shard: messages queued here that are not known to be safe there, by point, with session and place.
    unsettled: Vec<VecDeque<(u64, Key, u64)>>,
}

impl Joints {
    pub(super) fn new(shard: u16, shards: u16) -> Self {
        let unsettled = (0..shards).map(|_| VecDeque::new()).collect();
        Self { shard, once: false, lot: None, open: VecDeque::new(), foreign: Vec::new(), unsettled }
    }
}

impl Journal {
    /// The message routed until [`Journal::end_once`] is to be stored with its packet id, as one.
    pub(in crate::shard) fn begin_once(&mut self) {
        self.joints.once = self.is_on();
        if self.is_on() && (!self.joints.open.is_empty() || self.current.joint.is_some()) {
            // those before it wait for other shards, and it must not be safe before them
            self.join(0);
        }
    }

    pub(in crate::shard) fn end_once(&mut self, session: StoredId, packet_id: u16) {
        self.joints.once = false;
        let received = Record::Received { session, packet_id };
        match (self.joints.lot.take(), &mut self.current.joint) {
            (Some(_), Some(joint)) => joint.records.push(received),
            _ => self.record(received),
        }
    }

    fn join(&mut self, shards: u64) {
        self.effects += 1;
        let joint = self.current.joint.get_or_insert_default();
        joint.shards |= shards;
        joint.missing |= shards;
        self.joints.lot = Some(Lot { shard: self.joints.shard, point: self.current.number });
    }

    /// A message goes to that shard, where somebody has it stored: what its mail has to ask for.
    pub(in crate::shard) fn wait_for(&mut self, shard: usize) -> Wait {
        let bit = 1 << (shard % 64);
        if self.joints.once {
            self.join(bit);
            return Wait::Joined(self.current.number);
        }
        self.effects += 1;
        self.current.remote |= bit;
        Wait::Confirmed(self.current.number)
    }

    /// Messages delivered now may not go out at once.
    #[inline]
    pub(in crate::shard) fn is_joining(&self) -> bool {
        self.joints.lot.is_some()
    }

    /// A message has its place in a stored session; whether it has to wait for [`Shard::settled`].
    pub(in crate::shard) fn queued(&mut self, key: Key, session: StoredId, parcel: &Parcel) -> bool {
        let Parcel { message, qos, retain, ids, seq } = parcel.clone();
        let record = Record::Queued(session, QueuedImage { seq, message, qos, retain, ids });
        let Some(lot) = self.joints.lot else {
            self.record(record);
            return false;
        };
        self.effects += 1;
        if lot.shard != self.joints.shard {
            if let Some((_, records)) = self.joints.foreign.last_mut() {
                records.push(record);
            }
        } else if let Some(joint) = &mut self.current.joint {
            joint.records.push(record);
        }
        if let Some(waiting) = self.joints.unsettled.get_mut(usize::from(lot.shard)) {
            waiting.push_back((lot.point, key, seq));
        }
        true
    }

    /// The next message from another shard belongs to that point there; 0 is none.
    pub(in crate::shard) fn begin_foreign(&mut self, shard: u16, point: u64) {
        self.joints.lot = (point != 0).then_some(Lot { shard, point });
        if point != 0 && self.joints.foreign.last().is_none_or(|(last, _)| *last != point) {
            self.joints.foreign.push((point, Vec::new()));
        }
    }

    /// What the other shard has to store.
    pub(in crate::shard) fn end_foreign(&mut self) -> Vec<(u64, Vec<Record>)> {
        self.joints.lot = None;
        core::mem::take(&mut self.joints.foreign)
    }

    fn joint(&mut self, number: u64) -> Option<&mut Joint> {
        let first = self.waiting.front()?.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.waiting.get_mut(place)?.joint.as_deref_mut()
    }

    pub(super) fn has_whole_joint(&self) -> bool {
        let whole = |number: &u64| {
            let place = usize::try_from(number.checked_sub(self.waiting.front()?.number)?).ok()?;
            Some(self.waiting.get(place)?.joint.as_ref()?.missing == 0)
        };
        self.joints.open.front().and_then(whole).unwrap_or(false)
    }

    /// The first joint commit, if all of it is there.
    pub(super) fn commit_joint(&mut self) -> Option<Commit> {
        if !self.has_whole_joint() {
            return None;
        }
        let number = self.joints.open.pop_front()?;
        let records = core::mem::take(&mut self.joint(number)?.records);
        let commit = self.make_commit(records);
        let place = usize::try_from(number.checked_sub(self.waiting.front()?.number)?).ok()?;
        self.waiting.get_mut(place)?.commit = commit.point;
        Some(commit)
    }
}

impl Shard {
    /// Another shard's part of joint commits has come.
    pub(in crate::shard) fn joined(&mut self, shard: u16, parts: &[(u64, Vec<Record>)]) {
        for (point, records) in parts {
            if let Some(joint) = self.clients.journal.joint(*point) {
                joint.missing &= !(1 << (shard % 64));
                joint.records.extend_from_slice(records);
            }
        }
    }

    /// A joint commit is safe: here and elsewhere its messages go out.
    pub(super) fn settle_joint(&mut self, now: Time, point: u64, joint: &Joint) {
        for (shard, batch) in self.mail.iter_mut().enumerate() {
            if joint.shards & (1 << (shard % 64)) != 0 {
                batch.settled = Some(point);
            }
        }
        self.settled(now, self.id, point);
    }

    /// What that shard stores for us, up to that point, is safe.
    pub(in crate::shard) fn settled(&mut self, now: Time, shard: u16, point: u64) {
        while let Some(waiting) = self.clients.journal.joints.unsettled.get_mut(usize::from(shard))
            && let Some((_, key, seq)) = waiting.front().copied().filter(|(of, ..)| *of <= point)
        {
            waiting.pop_front();
            let Some(session) = self.clients.sessions.get_mut(key) else { continue };
            if session.outgoing.settle(seq) {
                self.clients.journal.finished(session.stored_id(), seq);
            }
            self.clients.pump(now, key, &mut self.variants);
        }
    }
}
