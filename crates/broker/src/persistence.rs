//! The store's thread: what all shards changed is committed as one group, and only then do they hear that it is safe.
//!
//! There is no timer: while one group is on its way to the disk the next one gathers. What the store has still to do when a
//! group is safe it does after the acknowledgements are let go.

use crate::inbox::{Inbox, Letter};
use crate::limits::{LENT_RECORDS, STORE_BACKLOG_BYTES, STORE_RETRY, STORE_SYNC};
use crate::log::Log;
use crate::memory::Memory;
use grovemq_config::{Config, PersistenceMode};
use grovemq_core::journal::{Record, Saved};
use grovemq_core::{Commit, MessageRef, Router, Shard, Time};
use grovemq_store::{Disk, Mode, Options, Recovery, Store, read_mosquitto_db, removes, take_over};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Directory of the store, in `persistence_location`.
const STORE: &str = "grovemq.store";

/// The shards' way to the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Persistence {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    filled: Condvar,
    /// What was submitted and is not committed, in bytes, near enough.
    backlog: AtomicUsize,
}

#[derive(Debug, Default)]
struct Jobs {
    /// Each with the shard that it is from, and its size.
    commits: Vec<(usize, Commit, usize)>,
    /// Make safe what is only written.
    save: bool,
    stop: bool,
}

impl Persistence {
    /// Takes what a shard changed; [`Letter::Persisted`] tells it when that is safe.
    pub(crate) fn submit(&self, shard: usize, commit: Commit) {
        let size = size(&commit.records);
        self.queue.backlog.fetch_add(size, Ordering::Relaxed);
        self.tell(|jobs| jobs.commits.push((shard, commit, size)));
    }

    /// The shards should take less from publishers.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.backlog.load(Ordering::Relaxed) > STORE_BACKLOG_BYTES
    }

    /// Makes safe what is only written so far.
    pub(crate) fn save(&self) {
        self.tell(|jobs| jobs.save = true);
    }

    /// The thread commits what there is, and ends.
    pub(crate) fn stop(&self) {
        self.tell(|jobs| jobs.stop = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Jobs)) {
        change(&mut self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        self.queue.filled.notify_one();
    }
}

/// About how much memory the records take.
fn size(records: &[Record]) -> usize {
    let bodies: usize = records
        .iter()
        .map(|record| match record {
            Record::Queued(_, queued) => queued.message.size(),
            Record::Retained(message) => message.size(),
            _ => 0,
        })
        .sum();
    size_of_val(records) + bodies
}

/// The store that the configuration asks for. Made for the first time, it takes over what the original has left.
pub(crate) fn open(
    config: &Config,
    wall_clock: SystemTime,
    log: &Log,
) -> Result<Option<Box<dyn Store>>, grovemq_store::Error> {
    let persistence = &config.persistence;
    if !persistence.is_stored() {
        return Ok(None);
    }
    let mode = match persistence.mode {
        PersistenceMode::Durable => Mode::Durable,
        PersistenceMode::Written | PersistenceMode::Memory => Mode::Written,
    };
    let size_max = persistence.size_max.unwrap_or(u64::MAX);
    let options = Options { mode, size_max, epoch: wall_clock };
    let location = persistence.location.clone().unwrap_or_else(|| ".".into());
    let directory = location.join(STORE);
    let original = location.join(&persistence.file);
    if !directory.exists() && original.metadata().is_ok_and(|file| file.is_file() && file.len() > 0) {
        take_over_original(&original, &directory, &options, log)?;
    }
    Ok(Some(Box::new(Disk::open(&directory, &options)?)))
}

/// Makes the store in `directory` from the original's file. It gets its name only when it is complete, so that a start that
/// was cut short is a first start again.
fn take_over_original(
    original: &Path,
    directory: &Path,
    options: &Options,
    log: &Log,
) -> Result<(), grovemq_store::Error> {
    let unfinished = directory.with_extension("unfinished");
    match std::fs::remove_dir_all(&unfinished) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(grovemq_store::Error::io(&unfinished, "remove", e));
        }
        _ => {}
    }
    let mut store = Box::new(Disk::open(&unfinished, options)?);
    let found = take_over(&mut *store, |visit| read_mosquitto_db(original, options.epoch, 1, visit))?;
    store.close()?;
    std::fs::rename(&unfinished, directory)
        .and_then(|()| File::open(directory.parent().unwrap_or(directory))?.sync_all())
        .map_err(|e| grovemq_store::Error::io(directory, "create", e))?;
    log_losses(&found, &format!("{} is damaged", original.display()), log);
    let Recovery { sessions, subscriptions, queued, retained, .. } = found;
    log.notice(format!(
        "Took over {sessions} sessions with {subscriptions} subscriptions and {queued} queued messages, and {retained} \
         retained messages from {}, which stays as it is.",
        original.display()
    ));
    Ok(())
}

fn log_losses(found: &Recovery, what: &str, log: &Log) {
    for loss in &found.lost {
        log.error(format!("Error: Part of {what} and was left out: {loss}."));
    }
    if found.lost_count > found.lost.len() as u64 {
        log.error(format!("Error: {} damaged parts in all.", found.lost_count));
    }
}

pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Gives shards and router back what the store kept. The shards do not run yet.
pub(crate) fn recover(
    store: &mut dyn Store,
    shards: &mut [Shard],
    router: &Router,
    log: &Log,
) -> Result<Recovery, grovemq_store::Error> {
    let now = Time::default();
    let recovery = store.recover(&mut |saved| match saved {
        Saved::Retained(message) => {
            if !message.is_expired(now) {
                router.retained_mut().set(message, usize::MAX);
            }
        }
        Saved::Session(session) => {
            let home = shards.first().map_or(0, |s| s.home(&session.image.client_id));
            if let Some(shard) = shards.get_mut(usize::from(home)) {
                shard.restore(now, *session);
            }
        }
    })?;
    for shard in shards {
        shard.set_last_stored(recovery.highest_session);
    }
    log_losses(&recovery, "the store is damaged", log);
    if recovery.sessions + recovery.retained > 0 {
        let Recovery { sessions, subscriptions, queued, retained, .. } = recovery;
        log.info(format!(
            "Restored {sessions} sessions with {subscriptions} subscriptions and {queued} queued messages, and {retained} \
             retained messages."
        ));
    }
    Ok(recovery)
}

/// What is committed as one.
#[derive(Default)]
struct Group {
    records: Vec<Record>,
    /// As they were counted when they were submitted.
    size: usize,
}

/// The thread's own part.
pub(crate) struct Keeper {
    store: Box<dyn Store>,
    queue: Arc<Queue>,
    inboxes: Vec<Arc<Inbox>>,
    router: Arc<Router>,
    memory: Arc<Memory>,
    log: Log,
    /// How long a group waits for others to join it.
    delay: Duration,
    /// Commits are not synced by themselves.
    written: bool,
    /// When the first commit was made that is not synced.
    unsynced: Option<Instant>,
    /// The last group failed, which was said.
    failing: bool,
}

impl Keeper {
    pub(crate) fn new(
        store: Box<dyn Store>,
        persistence: &Persistence,
        inboxes: Vec<Arc<Inbox>>,
        router: Arc<Router>,
        memory: Arc<Memory>,
        config: &Config,
        log: Log,
    ) -> Self {
        Self {
            store,
            queue: persistence.queue.clone(),
            inboxes,
            router,
            memory,
            log,
            delay: config.persistence.commit_delay,
            written: config.persistence.mode == PersistenceMode::Written,
            unsynced: None,
            failing: false,
        }
    }

    /// Runs until [`Persistence::stop`].
    pub(crate) fn run(mut self) -> std::io::Result<()> {
        let mut group = Group::default();
        let mut points = vec![0; self.inboxes.len()];
        loop {
            let stop = self.gather(&mut group, &mut points);
            if group.records.is_empty() || self.commit(&mut group) {
                for (shard, point) in points.iter_mut().enumerate().filter(|(_, point)| **point > 0) {
                    let Some(inbox) = self.inboxes.get(shard) else { continue };
                    let letter = Letter::Persisted(core::mem::take(point));
                    // what sends few answers is done here, while its shard sleeps
                    if group.records.len() <= LENT_RECORDS {
                        inbox.hand_over(letter);
                    } else {
                        inbox.post(letter);
                    }
                }
                // while the shards acknowledge
                self.store.settle();
                group = Group::default();
            }
            self.memory.add();
            if self.unsynced.is_some_and(|since| since.elapsed() >= STORE_SYNC) {
                self.sync();
            }
            if stop {
                if !group.records.is_empty() {
                    self.log.error(format!("Error: {} changes could not be stored.", group.records.len()));
                }
                return self.store.close().map_err(|e| std::io::Error::other(e.to_string()));
            }
        }
    }

    /// Waits for something to do and takes all of it; whether that was the last.
    fn gather(&mut self, group: &mut Group, points: &mut [u64]) -> bool {
        let queue = self.queue.clone();
        let mut jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = match self.unsynced {
            _ if self.failing => Some(STORE_RETRY),
            Some(since) => Some(STORE_SYNC.saturating_sub(since.elapsed())),
            None => None,
        };
        // a group that failed is tried again in its own time
        let failing = self.failing;
        let idle = |jobs: &mut Jobs| !jobs.stop && (failing || jobs.commits.is_empty() && !jobs.save);
        jobs = match wait {
            Some(wait) => queue
                .filled
                .wait_timeout_while(jobs, wait, idle)
                .map_or_else(|e| e.into_inner().0, |(jobs, _)| jobs),
            None => queue.filled.wait_while(jobs, idle).unwrap_or_else(PoisonError::into_inner),
        };
        if !self.delay.is_zero() && !jobs.commits.is_empty() && !jobs.stop {
            drop(jobs);
            std::thread::sleep(self.delay);
            jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let commits = core::mem::take(&mut jobs.commits);
        let save = core::mem::take(&mut jobs.save);
        let stop = jobs.stop;
        drop(jobs);
        for (shard, commit, size) in commits {
            if let Some(point) = points.get_mut(shard) {
                *point = commit.point;
            }
            group.size += size;
            if group.records.is_empty() {
                group.records = commit.records;
            } else {
                group.records.extend(commit.records);
            }
        }
        if save {
            self.sync();
        }
        stop
    }

    /// Whether the group is stored; else it stays for another attempt.
    fn commit(&mut self, group: &mut Group) -> bool {
        self.refresh_retained(&mut group.records);
        match self.store.write(&group.records) {
            Ok(()) => {
                if core::mem::take(&mut self.failing) {
                    self.log.notice("The store takes changes again.");
                }
                if self.written {
                    self.unsynced.get_or_insert_with(Instant::now);
                }
                self.queue.backlog.fetch_sub(group.size, Ordering::Relaxed);
                true
            }
            Err(e) => {
                if !core::mem::replace(&mut self.failing, true) {
                    self.log.error(format!(
                        "Error: The store failed: {e}. QoS 1 and 2 messages that need it are not acknowledged until it \
                         works again."
                    ));
                }
                // what makes room need not wait; to say it twice does no harm
                let removals: Vec<Record> = group.records.iter().filter(|r| removes(r)).cloned().collect();
                if !removals.is_empty() {
                    self.store.commit(&removals).ok();
                }
                false
            }
        }
    }

    /// Two shards may have set the same topic in one order and tell of it in another; what counts is what is retained.
    fn refresh_retained(&self, group: &mut [Record]) {
        for record in group {
            if let Record::Retained(message) = record {
                let current = self.router.retained().get(message.topic()).cloned();
                *message = current.unwrap_or_else(|| {
                    MessageRef { payload: &[], properties: &[], ..message.view() }.to_shared()
                });
            }
        }
    }

    fn sync(&mut self) {
        self.unsynced = None;
        if let Err(e) = self.store.flush() {
            self.log.error(format!("Error: The store failed: {e}."));
        }
    }
}
