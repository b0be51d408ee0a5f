//! Keeps the session in the user's store: on a thread where waiting for a disk harms nobody, one group of changes after the
//! other.

use crate::{Change, Error, SessionStore};
use grovemq_core::client::{Protocol, Time};
use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::task::{JoinHandle, spawn_blocking};

#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn SessionStore>,
    /// What is still to be kept.
    waiting: Vec<Change>,
    saving: Option<JoinHandle<(Vec<Change>, io::Result<()>)>>,
    /// The store has refused; the next connection tries again.
    failed: bool,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self { store, waiting: Vec::new(), saving: None, failed: false }
    }

    /// Gives the protocol what an earlier run of the program has kept. Damaged entries are left out
    /// and removed.
    pub(crate) async fn load(&mut self, protocol: &mut Protocol, now: Time) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let loaded = spawn_blocking(move || store.load()).await.map_err(io::Error::other);
        let entries = loaded.and_then(|loaded| loaded).map_err(|e| Error::Store(e.to_string()))?;
        let damaged = protocol.restore(now, entries);
        self.waiting.extend(damaged.iter().map(|&key| Change::Remove { key }));
        Ok(())
    }

    /// A new connection, a new attempt.
    pub(crate) fn try_again(&mut self) {
        self.failed = false;
    }

    /// Whether a group is on its way.
    pub(crate) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether something is not kept yet, so that no output may be taken.
    pub(crate) fn owes(&self, protocol: &Protocol) -> bool {
        self.is_saving() || !self.waiting.is_empty() || protocol.has_changes()
    }

    /// Ready when everything the protocol has done is kept, or when the store refuses: what it has not kept is kept
    /// before anything else later.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, protocol: &mut Protocol) -> Poll<Result<(), Error>> {
        loop {
            if let Some(saving) = &mut self.saving {
                let (changes, result) = match ready!(Pin::new(saving).poll(cx)) {
                    Ok(saved) => saved,
                    Err(broken) => (Vec::new(), Err(io::Error::other(broken))),
                };
                self.saving = None;
                if let Err(error) = result {
                    self.failed = true;
                    self.waiting.splice(0..0, changes);
                    return Poll::Ready(Err(Error::Store(error.to_string())));
                }
            }
            self.waiting.extend(protocol.take_changes());
            if self.waiting.is_empty() || self.failed {
                return Poll::Ready(Ok(()));
            }
            let (store, changes) = (Arc::clone(&self.store), mem::take(&mut self.waiting));
            self.saving = Some(spawn_blocking(move || {
                let result = store.commit(&changes);
                (changes, result)
            }));
        }
    }
}
