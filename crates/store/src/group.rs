//! From the records of a group to the changes that have to be written.

use crate::change::{BodyId, Change, Description, Queued, Will};
use crate::clock::Clock;
use crate::frame::Builder;
use crate::index::{Holder, Index};
use foldhash::fast::{FixedState, RandomState};
use grovemq_core::Message;
use grovemq_core::journal::{QueuedImage, Record, SessionImage, StoredId};
use hashbrown::{HashMap, HashSet};

/// Writes a group, and each message body once.
pub(crate) struct Writer<'a> {
    index: &'a Index,
    builder: &'a mut Builder,
    clock: Clock,
    next_body: &'a mut BodyId,
    /// Bodies written with this group have this name or a later one.
    fresh: BodyId,
    /// The group has messages whose receivers own them now.
    owns: bool,
    /// What the group has made of messages on their way, if it `owns`.
    holders: HashMap<(StoredId, u64), Option<Holder>, FixedState>,
    /// Sessions that ended: what the index knows of them counts no longer.
    ended: HashSet<StoredId, FixedState>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        index: &'a Index,
        builder: &'a mut Builder,
        clock: Clock,
        next_body: &'a mut BodyId,
    ) -> Self {
        let (holders, ended) = (HashMap::default(), HashSet::default());
        Self { index, builder, clock, fresh: *next_body, next_body, owns: false, holders, ended }
    }

    /// Returns the highest id of a session described in the group, or 0.
    pub(crate) fn write(&mut self, records: &[Record]) -> StoredId {
        let mut highest = 0;
        let needed = needed(records, self.index);
        self.owns = records.iter().any(|record| matches!(record, Record::Owned { .. }));
        for (record, _) in records.iter().zip(needed).filter(|(_, needed)| *needed) {
            match record {
                Record::Session(image) => {
                    highest = highest.max(image.id);
                    let description = self.description(image);
                    self.put(&Change::Session(description));
                }
                Record::Queued(session, image) => self.queue(*session, image),
                Record::Retained(message) if message.payload().is_empty() => {
                    self.put(&Change::Cleared { topic: message.topic() });
                }
                Record::Retained(message) => {
                    let body = self.body(message);
                    self.put(&Change::Retained { topic: message.topic(), body });
                }
                Record::Owned { session, seq } => self.own(*session, *seq),
                other => self.put_plain(other),
            }
        }
        highest
    }

    fn put(&mut self, change: &Change<'_>) {
        self.builder.push(|out| change.encode(out));
    }

    fn put_plain(&mut self, record: &Record) {
        let change = match record {
            Record::Ended(id) => {
                self.ended.insert(*id);
                Change::Ended(*id)
            }
            Record::Subscribed(id, image) => Change::Subscribed {
                session: *id,
                filter: &image.filter,
                group: image.group.as_deref(),
                options: image.options,
                id: image.id,
            },
            Record::Unsubscribed(id, filter, group) => {
                Change::Unsubscribed { session: *id, filter, group: group.as_deref() }
            }
            Record::Finished { session, seq } => {
                self.hold((*session, *seq), None);
                Change::Finished { session: *session, seq: *seq }
            }
            Record::Received { session, packet_id } => {
                Change::Received { session: *session, packet_id: *packet_id }
            }
            Record::Completed { session, packet_id } => {
                Change::Completed { session: *session, packet_id: *packet_id }
            }
            Record::Session(_) | Record::Queued(..) | Record::Retained(_) | Record::Owned { .. } => return,
        };
        self.put(&change);
    }

    fn queue(&mut self, session: StoredId, image: &QueuedImage) {
        let QueuedImage { seq, message, qos, retain, ids } = image;
        let body = self.body(message);
        self.hold((session, *seq), Some(Holder::Session));
        self.put(&Change::Queued(Queued {
            session,
            seq: *seq,
            body,
            qos: *qos,
            retain: *retain,
            ids: ids.as_deref().unwrap_or_default().into(),
        }));
    }

    fn own(&mut self, session: StoredId, seq: u64) {
        let holder = match self.holders.get(&(session, seq)) {
            Some(holder) => *holder,
            None if self.ended.contains(&session) => None,
            None => self.index.holder(session, seq),
        };
        if holder == Some(Holder::Session) {
            self.hold((session, seq), Some(Holder::Receiver));
            self.put(&Change::Owned { session, seq });
        }
    }

    fn hold(&mut self, message: (StoredId, u64), holder: Option<Holder>) {
        if self.owns {
            self.holders.insert(message, holder);
        }
    }

    /// The name of a message, which is written before if it has none.
    fn body(&mut self, message: &Message) -> BodyId {
        let id = message.stored();
        if (self.fresh..*self.next_body).contains(&id) || (id != 0 && self.index.has_body(id)) {
            return id;
        }
        let id = *self.next_body;
        *self.next_body += 1;
        message.set_stored(id);
        let letter = self.clock.letter(message);
        self.put(&Change::Body { id, letter });
        id
    }

    fn description<'r>(&self, image: &'r SessionImage) -> Description<'r> {
        let will = image.will.as_ref().map(|will| Will {
            letter: self.clock.letter(&will.message),
            due: will.due,
            expiry: will.expiry,
        });
        Description {
            id: image.id,
            client_id: &image.client_id,
            username: image.username.as_deref(),
            mount: image.mount.as_deref(),
            expiry: image.expiry,
            expires: image.expires,
            will,
        }
    }
}

/// What a record is about. Of several about the same, the last counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject<'a> {
    Session(StoredId),
    Subscription(StoredId, &'a str, Option<&'a str>),
    Message(StoredId, u64),
    Received(StoredId, u16),
    Retained(&'a str),
}

/// For each record whether it changes what is stored; the others are undone later in the group, or about nothing.
///
/// A message queued and finished in one group leaves no trace, however often it was sent in between.
fn needed(records: &[Record], index: &Index) -> Vec<bool> {
    let mut needed = known_sessions(records, index);
    let mut settled: HashSet<Subject<'_>, RandomState> = HashSet::default();
    let mut ended: HashSet<StoredId, RandomState> = HashSet::default();
    for (record, needed) in records.iter().zip(&mut needed).rev().filter(|(_, known)| **known) {
        let about = session(record);
        let over = about.is_some_and(|id| ended.contains(&id));
        if let (Record::Ended(_), Some(id)) = (record, about) {
            *needed = !over && index.has_session(id);
            ended.insert(id);
            continue;
        }
        let subject = subject(record);
        *needed = !over && !settled.contains(&subject) && !removes_nothing(record, index);
        // of a message on its way, all that was before the end of it counts
        if !matches!(record, Record::Queued(..) | Record::Owned { .. }) {
            settled.insert(subject);
        }
    }
    needed
}

/// For each record whether the session that it is about is there by then.
fn known_sessions(records: &[Record], index: &Index) -> Vec<bool> {
    // what the group has made of a session so far: there, or gone
    let mut changed: HashMap<StoredId, bool, RandomState> = HashMap::default();
    let known = |record: &Record| {
        let id = session(record)?;
        let known = changed.get(&id).copied().unwrap_or_else(|| index.has_session(id));
        match record {
            Record::Session(_) => drop(changed.insert(id, true)),
            Record::Ended(_) => drop(changed.insert(id, false)),
            _ => {}
        }
        Some(known || matches!(record, Record::Session(_)))
    };
    records.iter().map(known).map(|known| known.unwrap_or(true)).collect()
}

fn removes_nothing(record: &Record, index: &Index) -> bool {
    match record {
        Record::Unsubscribed(id, filter, group) => !index.has_subscription(*id, filter, group.as_deref()),
        Record::Finished { session, seq } => index.holder(*session, *seq).is_none(),
        Record::Completed { session, packet_id } => !index.has_received(*session, *packet_id),
        Record::Retained(message) => message.payload().is_empty() && !index.has_retained(message.topic()),
        _ => false,
    }
}

fn subject(record: &Record) -> Subject<'_> {
    match record {
        Record::Session(image) => Subject::Session(image.id),
        Record::Ended(id) => Subject::Session(*id),
        Record::Subscribed(id, image) => Subject::Subscription(*id, &image.filter, image.group.as_deref()),
        Record::Unsubscribed(id, filter, group) => Subject::Subscription(*id, filter, group.as_deref()),
        Record::Queued(id, image) => Subject::Message(*id, image.seq),
        Record::Owned { session, seq } | Record::Finished { session, seq } => {
            Subject::Message(*session, *seq)
        }
        Record::Received { session, packet_id } | Record::Completed { session, packet_id } => {
            Subject::Received(*session, *packet_id)
        }
        Record::Retained(message) => Subject::Retained(message.topic()),
    }
}

fn session(record: &Record) -> Option<StoredId> {
    match record {
        Record::Retained(_) => None,
        Record::Session(image) => Some(image.id),
        Record::Ended(id)
        | Record::Subscribed(id, _)
        | Record::Unsubscribed(id, ..)
        | Record::Queued(id, _) => Some(*id),
        Record::Owned { session, .. }
        | Record::Finished { session, .. }
        | Record::Received { session, .. }
        | Record::Completed { session, .. } => Some(*session),
    }
}
