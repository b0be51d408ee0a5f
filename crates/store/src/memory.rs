//! A store that forgets with its process, for tests and the simulation.

use crate::error::Limit;
use crate::{Error, Picture, Recovery, Stats, Store, removes};
use grovemq_core::journal::{Record, Saved};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps every group as it came. Its clones are one store: what a test holds on to while a broker has the other.
///
/// Message expiry stays what it was: the clock of whoever recovers has to go on where the other's stopped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    groups: Arc<Mutex<Groups>>,
}

#[derive(Debug, Default)]
struct Groups {
    committed: Vec<Vec<Record>>,
    full: bool,
}

impl Memory {
    /// As if the process had died when only the first `groups` groups were safe.
    pub fn crash(&self, groups: u64) {
        self.lock().committed.truncate(usize::try_from(groups).unwrap_or(usize::MAX));
    }

    /// From now on, or no longer, every group but one that only removes is refused.
    pub fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        // a group is pushed whole or not at all
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        self.lock().committed.iter().flatten().for_each(|record| picture.apply(record));
        picture
    }
}

impl Store for Memory {
    fn recover(&mut self, visit: &mut dyn FnMut(Saved)) -> Result<Recovery, Error> {
        Ok(self.picture().visit(visit))
    }

    fn write(&mut self, records: &[Record]) -> Result<(), Error> {
        let mut groups = self.lock();
        if groups.full && !records.iter().all(removes) {
            return Err(Error::Full { path: "memory".into(), limit: Limit::Disk });
        }
        groups.committed.push(records.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Adds everything up, so it is slow.
    fn stats(&self) -> Stats {
        let mut messages = HashSet::new();
        let found = self.picture().visit(&mut |saved| match saved {
            Saved::Retained(message) => drop(messages.insert(Arc::as_ptr(&message).addr())),
            Saved::Session(session) => messages.extend(
                session
                    .queue
                    .iter()
                    .filter_map(|(_, entry)| Some(Arc::as_ptr(&entry.as_ref()?.message).addr())),
            ),
        });
        Stats {
            bytes: 0,
            sessions: found.sessions,
            subscriptions: found.subscriptions,
            messages: messages.len() as u64,
            queued: found.queued,
            retained: found.retained,
            commits: self.lock().committed.len() as u64,
        }
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_codec::{Qos, SubscribeOptions};
    use grovemq_core::journal::{QueuedImage, SessionImage, SubscriptionImage};
    use grovemq_core::{Message, MessageRef};

    fn message(topic: &str, payload: &[u8]) -> Arc<Message> {
        let qos = Qos::ExactlyOnce;
        MessageRef { topic, properties: &[], payload, qos, retain: false, expires: None }.to_shared()
    }

    fn session(id: u64) -> Record {
        Record::Session(Box::new(SessionImage {
            id,
            client_id: "c".into(),
            username: None,
            mount: None,
            expiry: u32::MAX,
            expires: None,
            will: None,
        }))
    }

    fn queued(session: u64, seq: u64, message: &Arc<Message>) -> Record {
        let (message, qos) = (message.clone(), Qos::ExactlyOnce);
        let image = QueuedImage { seq, message, qos, retain: false, ids: None };
        Record::Queued(session, image)
    }

    fn recovered(mut store: Memory) -> (Vec<Saved>, Recovery) {
        let mut all = Vec::new();
        let found = store.recover(&mut |saved| all.push(saved)).unwrap();
        (all, found)
    }

    #[test]
    fn a_message_is_there_until_it_is_finished() {
        let mut store = Memory::default();
        let hello = message("a", b"hello");
        store.commit(&[session(7), queued(7, 1, &hello), queued(7, 2, &hello)]).unwrap();
        store
            .commit(&[Record::Owned { session: 7, seq: 1 }, Record::Finished { session: 7, seq: 2 }])
            .unwrap();
        assert_eq!(
            store.stats(),
            Stats { sessions: 1, messages: 0, queued: 1, commits: 2, ..Stats::default() }
        );

        let (all, found) = recovered(store.clone());
        let [Saved::Session(saved)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(saved.queue, [(1, None)]);
        assert_eq!(found.highest_session, 7);

        store.crash(1);
        let (all, _) = recovered(store);
        let [Saved::Session(saved)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(saved.queue.len(), 2);
        assert_eq!(saved.queue[0].1.as_ref().map(|image| image.seq), Some(1));
    }

    #[test]
    fn an_ended_session_takes_all_of_it_along() {
        let mut store = Memory::default();
        let filter = SubscriptionImage {
            filter: "a/#".into(),
            group: None,
            options: SubscribeOptions::default(),
            id: 0,
        };
        store.commit(&[session(1), Record::Subscribed(1, Box::new(filter))]).unwrap();
        store.commit(&[Record::Received { session: 1, packet_id: 3 }]).unwrap();
        assert_eq!(store.stats().subscriptions, 1);
        store.commit(&[Record::Ended(1), Record::Received { session: 1, packet_id: 4 }]).unwrap();
        let (all, found) = recovered(store);
        assert!(all.is_empty(), "{all:?}");
        assert_eq!(found.highest_session, 1);
    }

    #[test]
    fn a_full_store_still_takes_what_removes() {
        let mut store = Memory::default();
        store
            .commit(&[session(1), queued(1, 1, &message("a", b"x")), Record::Retained(message("r", b"1"))])
            .unwrap();
        store.fill(true);
        assert!(store.commit(&[Record::Retained(message("r", b"2"))]).is_err_and(|e| e.is_full()));
        store
            .commit(&[Record::Finished { session: 1, seq: 1 }, Record::Retained(message("r", b""))])
            .unwrap();
        assert_eq!(store.stats(), Stats { sessions: 1, commits: 2, ..Stats::default() });
        store.fill(false);
        store.commit(&[Record::Retained(message("r", b"3"))]).unwrap();
        assert_eq!(store.stats().retained, 1);
    }
}
