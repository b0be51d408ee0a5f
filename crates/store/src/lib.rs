//! What survives a restart: sessions, their subscriptions, messages on their way, and retained messages.
//!
//! The broker's shards make [`Record`]s; one thread commits all that came together as one group and only then lets the
//! acknowledgements go. After a restart [`Store::recover`] gives back what the records add up to.
//!
//! Invariant: decides nothing; a record is kept, not judged. Opens no socket.
#![forbid(unsafe_code)]

mod change;
mod clock;
mod disk;
mod error;
mod frame;
mod group;
mod index;
mod log;
mod memory;
pub mod mosquitto_db;
mod near;
mod original;
mod picture;
mod segment;
#[cfg(test)]
mod tests;
mod transfer;

pub use disk::{Disk, Mode, Options};
pub use error::{Error, Limit};
pub use memory::Memory;
pub use mosquitto_db::{parse_mosquitto_db, read_mosquitto_db};
pub use original::Original;
pub use picture::Picture;
pub use transfer::{export, import, take_over};

/// What a store gives back.
pub use grovemq_core::journal::Saved;

use grovemq_core::journal::{Record, StoredId};
use std::fmt;

/// For the fuzzer: whatever lies in the log under a correct checksum, it is read without harm and has one form.
#[doc(hidden)]
pub fn fuzz_change(bytes: &[u8]) {
    if let Some(change) = change::Change::decode(bytes) {
        let mut again = Vec::new();
        change.encode(&mut again);
        assert_eq!(change::Change::decode(&again), Some(change));
    }
}

/// Keeps records. Of one store, there is one at a time, on one thread.
pub trait Store: Send + fmt::Debug {
    /// Gives what survived to `visit`: each session and each retained message once, in no particular order. To be called
    /// once, before the first commit. What is damaged is left out and named in [`Recovery::lost`]; it is no error.
    fn recover(&mut self, visit: &mut dyn FnMut(Saved)) -> Result<Recovery, Error>;

    /// Keeps all of a group or, when this fails, nothing of it. When it returns, the group is as safe as the store's mode
    /// promises.
    ///
    /// After [`Error::Full`] the store goes on: a group whose records all remove ([`removes`]) is still taken.
    fn commit(&mut self, records: &[Record]) -> Result<(), Error> {
        self.write(records)?;
        self.settle();
        Ok(())
    }

    /// As [`Store::commit`], but leaves to [`Store::settle`] what nobody has to wait for.
    fn write(&mut self, records: &[Record]) -> Result<(), Error>;

    /// What the last [`Store::write`] has left to do. Without it the next one does that first, and [`Store::stats`] is a
    /// group behind.
    fn settle(&mut self) {}

    /// Makes everything committed so far safe from a power cut, whatever the mode.
    fn flush(&mut self) -> Result<(), Error>;

    fn stats(&self) -> Stats;

    /// As [`Store::flush`], and lets go of the files.
    fn close(self: Box<Self>) -> Result<(), Error>;
}

/// What [`Store::recover`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub sessions: u64,
    pub subscriptions: u64,
    /// Messages on their way, one that waits for two sessions counted twice.
    pub queued: u64,
    pub retained: u64,
    /// The highest id any session ever had here; new ones begin above.
    pub highest_session: StoredId,
    /// The last group was not finished, and left out. Nobody had been told that it was safe.
    pub cut: bool,
    /// What could not be read, the first [`Recovery::LOST_MAX`] of it.
    pub lost: Vec<Loss>,
    /// How many losses there were in all.
    pub lost_count: u64,
}

impl Recovery {
    /// Losses named one by one.
    pub const LOST_MAX: usize = 100;

    /// Counts a loss, and names it unless there are too many.
    pub fn lose(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.lost_count += 1;
        if self.lost.len() < Self::LOST_MAX {
            self.lost.push(Loss { place: place.into(), what: what.into() });
        }
    }
}

/// Something that was committed and is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// File and offset, or session and sequence number.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// On disk, in bytes; 0 for [`Memory`].
    pub bytes: u64,
    pub sessions: u64,
    pub subscriptions: u64,
    /// Message bodies, each counted once however many sessions wait for it.
    pub messages: u64,
    /// Messages on their way, one that waits for two sessions counted twice.
    pub queued: u64,
    pub retained: u64,
    /// Groups committed since it was opened.
    pub commits: u64,
}

/// Whether a record makes what is stored smaller: such groups are taken even when the store is full.
pub fn removes(record: &Record) -> bool {
    match record {
        Record::Ended(_)
        | Record::Unsubscribed(..)
        | Record::Owned { .. }
        | Record::Finished { .. }
        | Record::Completed { .. } => true,
        Record::Retained(message) => message.payload().is_empty(),
        Record::Session(_) | Record::Subscribed(..) | Record::Queued(..) | Record::Received { .. } => false,
    }
}
