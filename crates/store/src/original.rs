//! What Mosquitto left, looked at as if it were a store.

use crate::{Error, Memory, Recovery, Saved, Stats, Store, read_mosquitto_db, take_over};
use grovemq_core::journal::Record;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A `mosquitto.db`; nothing can be added to it.
#[derive(Debug)]
pub struct Original {
    path: PathBuf,
    bytes: u64,
    memory: Memory,
    found: Recovery,
}

impl Original {
    /// Reads all of it; `epoch` as in [`read_mosquitto_db`].
    pub fn read(path: &Path, epoch: SystemTime) -> Result<Self, Error> {
        let mut memory = Memory::default();
        let found = take_over(&mut memory, |visit| read_mosquitto_db(path, epoch, 1, visit))?;
        let bytes = std::fs::metadata(path).map_err(|e| Error::io(path, "read", e))?.len();
        Ok(Self { path: path.to_owned(), bytes, memory, found })
    }
}

impl Store for Original {
    fn recover(&mut self, visit: &mut dyn FnMut(Saved)) -> Result<Recovery, Error> {
        self.memory.recover(visit)?;
        Ok(self.found.clone())
    }

    fn write(&mut self, _: &[Record]) -> Result<(), Error> {
        Err(Error::Foreign { path: self.path.clone() })
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn stats(&self) -> Stats {
        Stats { bytes: self.bytes, ..self.memory.stats() }
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
