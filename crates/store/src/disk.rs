//! The store on a disk: a log, and an index of what is alive in it.
//!
//! ```text
//! write:    records ─needed?─► changes ─► one frame, with what the cleaning saves ─► sync
//! settle:   frame ─► index
//! recover:  log ─► index ─► messages ─► sessions, to the visitor
//! ```

use crate::change::{BodyId, Change, Description, Queued};
use crate::clock::Clock;
use crate::frame::Builder;
use crate::group::Writer;
use crate::index::Index;
use crate::log::{Cleaning, Log, Purpose, Shape, Survey};
use crate::{Error, Recovery, Stats, Store, removes};
use foldhash::fast::FixedState;
use grovemq_core::Message;
use grovemq_core::journal::{
    QueuedImage, Record, Saved, SavedSession, SessionImage, StoredId, SubscriptionImage, WillImage,
};
use hashbrown::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// What [`Store::commit`] promises when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It survives a power cut.
    #[default]
    Durable,
    /// It survives the end of the process; a power cut only from the next [`Store::flush`] on.
    Written,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub mode: Mode,
    /// Bytes on disk; at least 2 MiB, [`u64::MAX`] is no limit.
    pub size_max: u64,
    /// The wall clock at core's `Time(0)`.
    pub epoch: SystemTime,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: Mode::Durable, size_max: u64::MAX, epoch: SystemTime::now() }
    }
}

/// Sessions and messages in a directory of their own.
#[derive(Debug)]
pub struct Disk {
    log: Log,
    index: Index,
    builder: Builder,
    /// Where the last group stands, if the index has not heard of it.
    unsettled: Option<u64>,
    /// What the first survey of the files told, until they are read.
    survey: Option<Survey>,
    clock: Clock,
    next_body: BodyId,
    highest_session: StoredId,
    commits: u64,
    /// When all was full and cleaning of no use, this many bytes were not alive.
    hopeless: Option<u64>,
}

type Bodies = HashMap<BodyId, Arc<Message>, FixedState>;
type Sessions = HashMap<StoredId, SavedSession, FixedState>;

impl Disk {
    /// Opens the store in the directory `path`, or makes one. It is read by [`Store::recover`].
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        Self::open_shaped(path, options, Shape::USUAL)
    }

    pub(crate) fn open_shaped(path: &Path, options: &Options, shape: Shape) -> Result<Self, Error> {
        let (log, survey) = Log::open(path, options.mode, options.size_max, shape)?;
        Ok(Self::new(log, survey, options.epoch))
    }

    /// Opens the store that is in the directory `path`, to look at: no file is changed, and nothing can be committed. As any
    /// other user of a store it has it to itself.
    ///
    /// # Errors
    /// [`Error::Foreign`] if there is none.
    pub fn open_to_read(path: &Path, epoch: SystemTime) -> Result<Self, Error> {
        let (log, survey) = Log::open_to_read(path)?;
        Ok(Self::new(log, survey, epoch))
    }

    fn new(log: Log, survey: Survey, epoch: SystemTime) -> Self {
        Self {
            highest_session: survey.sessions,
            log,
            index: Index::default(),
            builder: Builder::default(),
            unsettled: None,
            survey: Some(survey),
            clock: Clock::new(epoch),
            next_body: 1,
            commits: 0,
            hopeless: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn log_end(&self) -> u64 {
        self.log.end()
    }

    #[cfg(test)]
    pub(crate) fn fail_next(&mut self, error: Error) {
        self.log.fault = Some(error);
    }

    /// What is alive, by the log alone.
    fn read_index(&mut self, survey: &Survey, found: &mut Recovery) {
        self.log.inspect(survey, found);
        let mut index = Index::for_reading();
        self.log.replay(survey, &mut |at, record| match Change::decode(record) {
            Some(change) => {
                if let Change::Body { id, .. } = change {
                    self.next_body = self.next_body.max(id.saturating_add(1));
                }
                if let Change::Session(session) = &change {
                    self.highest_session = self.highest_session.max(session.id);
                }
                index.apply(&change, at, record.len());
            }
            None => found.lose(format!("position {at}"), "a change of an unknown kind"),
        });
        index.settle(&mut |place, what| found.lose(place, what));
        self.index = index;
    }

    /// Every message that is alive, by its number.
    fn read_bodies(&self, survey: &Survey) -> Bodies {
        let capacity = usize::try_from(self.index.bodies()).unwrap_or_default();
        let mut bodies = Bodies::with_capacity_and_hasher(capacity, FixedState::default());
        self.log.replay(survey, &mut |at, record| {
            if let Some(change @ Change::Body { .. }) = Change::decode(record)
                && self.index.is_live(&change, at)
                && let Change::Body { id, letter } = change
            {
                let message = self.clock.message(&letter);
                message.set_stored(id);
                bodies.insert(id, message);
            }
        });
        bodies
    }

    /// Puts sessions together, and hands on retained messages as they come.
    fn read_rest(&self, survey: &Survey, visit: &mut dyn FnMut(Saved)) {
        let bodies = self.read_bodies(survey);
        let mut sessions = Sessions::default();
        self.log.replay(survey, &mut |at, record| {
            let change = Change::decode(record).filter(|change| self.index.is_live(change, at));
            match change {
                Some(Change::Retained { body, .. }) => {
                    if let Some(message) = bodies.get(&body) {
                        visit(Saved::Retained(message.clone()));
                    }
                }
                Some(change) => self.restore(&change, &bodies, &mut sessions),
                None => {}
            }
        });
        drop(bodies);
        for (_, mut session) in sessions.drain() {
            session.queue.sort_unstable_by_key(|(seq, _)| *seq);
            session.queue.shrink_to_fit();
            visit(Saved::Session(Box::new(session)));
        }
    }

    fn restore(&self, change: &Change<'_>, bodies: &Bodies, sessions: &mut Sessions) {
        match change {
            Change::Session(description) => {
                session(sessions, description.id).image = self.session_image(description);
            }
            Change::Subscribed { session: id, filter, group, options, id: number } => {
                let (filter, group) = ((*filter).into(), group.map(Into::into));
                let image = SubscriptionImage { filter, group, options: *options, id: *number };
                session(sessions, *id).subscriptions.push(image);
            }
            Change::Queued(queued) => {
                if let Some(message) = bodies.get(&queued.body) {
                    let image = queued_image(queued, message.clone());
                    session(sessions, queued.session).queue.push((queued.seq, Some(image)));
                }
            }
            Change::Owned { session: id, seq } => session(sessions, *id).queue.push((*seq, None)),
            Change::Received { session: id, packet_id } => session(sessions, *id).received.push(*packet_id),
            _ => {}
        }
    }

    /// Appends a group, together with what the cleaning has to save.
    fn append(&mut self, records: &[Record], purpose: Purpose) -> Result<(), Error> {
        self.update_index();
        self.builder.begin(self.log.next_number(), self.log.salt());
        // before the group: what the group then removes is removed
        let cleaning = self.save_live(purpose);
        let mut writer = Writer::new(&self.index, &mut self.builder, self.clock, &mut self.next_body);
        let highest = writer.write(records).max(self.highest_session);
        if self.builder.is_empty() && !cleaning.frees() {
            self.log.skip(cleaning);
            return Ok(());
        }
        self.unsettled = Some(self.log.append(&mut self.builder, cleaning, highest, purpose)?);
        self.highest_session = highest;
        Ok(())
    }

    /// Tells the index of the last group.
    fn update_index(&mut self) {
        let Some(position) = self.unsettled.take() else { return };
        for (offset, record) in self.builder.records() {
            if let Some(change) = Change::decode(record) {
                self.index.apply(&change, position + offset, record.len());
            }
        }
        self.builder.shrink();
    }

    /// Writes what is alive in the part of the log that is to be cleaned.
    fn save_live(&mut self, purpose: Purpose) -> Cleaning {
        let (index, builder) = (&self.index, &mut self.builder);
        self.log.clean(index.live_bytes(), purpose, &mut |at, record| {
            let Some(change) = Change::decode(record).filter(|change| index.is_live(change, at)) else {
                return;
            };
            builder.push(|out| change.encode(out));
        })
    }

    /// Cleans until there is room again, going over the log once at most. Says whether it was worth it.
    fn make_room(&mut self) -> Result<bool, Error> {
        self.update_index();
        let wasted = self.log.bytes().saturating_sub(self.index.live_bytes());
        if !self.log.is_wasteful(self.index.live_bytes())
            || self.hopeless.is_some_and(|known| wasted <= known)
        {
            return Ok(false);
        }
        let end = self.log.end();
        while !self.log.has_reserve() && self.log.cleaned() < end {
            let before = self.log.cleaned();
            self.append(&[], Purpose::Cleaning)?;
            if self.log.cleaned() == before {
                break;
            }
        }
        // the next attempt is due when enough has been removed that it can do better
        self.hopeless = (!self.log.has_reserve()).then_some(wasted + wasted / 8);
        Ok(true)
    }

    fn session_image(&self, description: &Description<'_>) -> SessionImage {
        let will = description.will.as_ref().map(|will| WillImage {
            message: self.clock.message(&will.letter),
            due: will.due,
            expiry: will.expiry,
        });
        SessionImage {
            id: description.id,
            client_id: description.client_id.into(),
            username: description.username.map(Into::into),
            mount: description.mount.map(Into::into),
            expiry: description.expiry,
            expires: description.expires,
            will,
        }
    }
}

impl Store for Disk {
    fn recover(&mut self, visit: &mut dyn FnMut(Saved)) -> Result<Recovery, Error> {
        let mut found = Recovery::default();
        let Some(survey) = self.survey.take() else { return Ok(found) };
        found.cut = survey.cut;
        self.read_index(&survey, &mut found);
        self.read_rest(&survey, visit);
        found.sessions = self.index.sessions();
        found.subscriptions = self.index.subscriptions();
        found.queued = self.index.queued();
        found.retained = self.index.retained();
        found.highest_session = self.highest_session;
        Ok(found)
    }

    fn write(&mut self, records: &[Record]) -> Result<(), Error> {
        if self.survey.is_some() {
            self.recover(&mut |_| {})?;
        }
        let purpose = if records.iter().all(removes) { Purpose::Removing } else { Purpose::Adding };
        match self.append(records, purpose) {
            Err(e) if e.is_full() && self.make_room()? => self.append(records, purpose)?,
            other => other?,
        }
        self.commits += 1;
        Ok(())
    }

    fn settle(&mut self) {
        self.update_index();
        self.log.prepare();
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.log.flush()
    }

    fn stats(&self) -> Stats {
        Stats {
            bytes: self.log.bytes(),
            sessions: self.index.sessions(),
            subscriptions: self.index.subscriptions(),
            messages: self.index.bodies(),
            queued: self.index.queued(),
            retained: self.index.retained(),
            commits: self.commits,
        }
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.log.flush()
    }
}

fn session(sessions: &mut Sessions, id: StoredId) -> &mut SavedSession {
    sessions.entry(id).or_insert_with(|| empty_session(id))
}

fn empty_session(id: StoredId) -> SavedSession {
    let image = SessionImage {
        id,
        client_id: Box::default(),
        username: None,
        mount: None,
        expiry: 0,
        expires: None,
        will: None,
    };
    SavedSession { image, subscriptions: Vec::new(), queue: Vec::new(), received: Vec::new() }
}

fn queued_image(queued: &Queued<'_>, message: Arc<Message>) -> QueuedImage {
    let ids = (!queued.ids.is_empty()).then(|| (&*queued.ids).into());
    QueuedImage { seq: queued.seq, message, qos: queued.qos, retain: queued.retain, ids }
}
