//! Where an event loop gets its post: new connections, verdicts, other shards' messages.

use crate::acceptor::{Acceptor, Door, DoorChange};
use crate::event_loop::EventLoop;
use crate::limits::{INBOX_MESSAGES_MAX, SPARE_BATCH_BYTES_MAX, SPARE_BATCHES_MAX};
use grovemq_codec::Qos;
use grovemq_core::observe::{Census, Peer, Stats};
use grovemq_core::{Batch, Key, Revoked, Settings, Verdict};
use grovemq_net::Stream;
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// A piece of post.
#[derive(Debug)]
pub(crate) enum Letter {
    Accepted(Arrival),
    /// The listening sockets, for the first shard to serve.
    Doors(Box<Acceptor>),
    /// Gives the doors of these listeners back, closed to everybody.
    TakeDoors(Vec<u16>, Sender<Vec<Door>>),
    ChangeDoors(Box<DoorChange>),
    /// Other settings, with the users whose logins no longer count; an answer once they are in force.
    Settings(Arc<Settings>, Arc<[Revoked]>, Sender<()>),
    /// A connection whose client lives here, with the bytes read so far.
    Moved(Arrival, Vec<u8>),
    Mail(Batch),
    /// The store has all of this shard up to that commit point.
    Persisted(u64),
    Verdict(Key, Verdict),
    /// A message of the broker itself.
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
    },
    /// What is counted and held here, please.
    Report(Sender<(Stats, Census)>),
    /// An answer says that the loop turns.
    Pulse(Sender<()>),
    /// Who the sessions from this slot on are.
    ClientIds(u32, Sender<ClientIds>),
    Stop,
}

/// Some sessions with their client ids, and the next slot.
pub(crate) type ClientIds = (Vec<(Key, Box<str>)>, Option<u32>);

#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// The user name that the client's certificate says.
    pub(crate) identity: Option<Box<str>>,
    /// Given back when the connection ends.
    pub(crate) permit: Permit,
    /// There may be something to read before the first event says so.
    pub(crate) readable: bool,
}

/// A place among the connections allowed.
#[derive(Debug, Default)]
pub(crate) struct Permit([Arc<AtomicUsize>; 2]);

impl Permit {
    /// Takes a place in each counter; `None` when one is full.
    pub(crate) fn take(counters: [(&Arc<AtomicUsize>, Option<usize>); 2]) -> Option<Self> {
        // what is taken comes back when the permit is dropped
        let mut full = false;
        let permit = Self(counters.map(|(counter, max)| {
            full |= counter.fetch_add(1, Ordering::Relaxed) >= max.unwrap_or(usize::MAX);
            counter.clone()
        }));
        (!full).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for counter in &self.0 {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Post for one event loop. Writers take a short lock, and wake the loop, or take its turn, only if it sleeps. No two share a
/// cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Inbox {
    letters: Mutex<Vec<Letter>>,
    /// Batches that others have dealt with, empty, for those to come.
    spares: Mutex<Vec<Batch>>,
    /// Messages in batches of other shards that were not delivered yet.
    messages: AtomicUsize,
    asleep: AtomicBool,
    waker: Waker,
    /// Whose it is.
    owner: OnceLock<Weak<Mutex<EventLoop>>>,
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            letters: Mutex::default(),
            spares: Mutex::default(),
            messages: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            waker,
            owner: OnceLock::new(),
        }
    }

    /// Its loop may have turns taken for it from now on.
    pub(crate) fn set_owner(&self, owner: Weak<Mutex<EventLoop>>) {
        // nobody sets it twice
        drop(self.owner.set(owner));
    }

    pub(crate) fn post(&self, letter: Letter) {
        if self.put(letter) {
            self.wake();
        }
    }

    /// The same for what may be little: if the loop sleeps, its turn is taken here and now.
    pub(crate) fn hand_over(&self, letter: Letter) {
        // who brings something else is not to deliver others' messages
        let with_mail = matches!(letter, Letter::Mail(_));
        if self.put(letter) && !self.take_turn(with_mail) {
            self.wake();
        }
    }

    fn take_turn(&self, with_mail: bool) -> bool {
        let owner = self.owner.get().and_then(Weak::upgrade);
        // its thread may be about to fall asleep, or awake again
        owner
            .is_some_and(|owner| owner.try_lock().is_ok_and(|mut event_loop| event_loop.lent_turn(with_mail)))
    }

    fn wake(&self) {
        // a failed wake-up costs the loop one of its regular rounds
        self.waker.wake().ok();
    }

    /// Whether the loop was asleep. Nobody else is told so until it is again.
    fn put(&self, letter: Letter) -> bool {
        if let Letter::Mail(batch) = &letter {
            self.messages.fetch_add(batch.len(), Ordering::Relaxed);
        }
        lock(&self.letters).push(letter);
        self.asleep.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn has_post(&self) -> bool {
        !lock(&self.letters).is_empty()
    }

    /// Moves all post to the end of `into`.
    pub(crate) fn collect(&self, into: &mut Vec<Letter>) {
        let mut letters = lock(&self.letters);
        if into.is_empty() {
            core::mem::swap(&mut *letters, into);
        } else {
            into.append(&mut letters);
        }
    }

    /// An empty batch to send, with the memory of an earlier one if there is one.
    pub(crate) fn spare(&self) -> Batch {
        lock(&self.spares).pop().unwrap_or_default()
    }

    /// Another shard is done with a batch of this one.
    pub(crate) fn give_back(&self, mut batch: Batch) {
        if batch.capacity() <= SPARE_BATCH_BYTES_MAX {
            batch.clear();
            let mut spares = lock(&self.spares);
            if spares.len() < SPARE_BATCHES_MAX {
                spares.push(batch);
            }
        }
    }

    /// Gives back memory that is only kept for the next turn.
    pub(crate) fn trim(&self) {
        drop(core::mem::take(&mut *lock(&self.spares)));
        lock(&self.letters).shrink_to_fit();
    }

    /// So many messages of other shards have been delivered.
    pub(crate) fn dealt_with(&self, messages: usize) {
        if messages > 0 {
            self.messages.fetch_sub(messages, Ordering::Relaxed);
        }
    }

    /// Whether other shards should rest before they send more.
    pub(crate) fn is_crowded(&self) -> bool {
        self.messages.load(Ordering::Relaxed) > INBOX_MESSAGES_MAX
    }

    /// The loop is about to sleep; `false` when there is post and it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = lock(&self.letters).is_empty();
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    pub(crate) fn waker(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_core::{ListenerSettings, Router, Shard, Time};
    use mio::{Poll, Token};

    /// A batch with so many messages from one shard to another.
    fn batch(messages: usize) -> Batch {
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Arc::new(Settings { listeners: vec![listener], ..Settings::default() });
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        let mut shards: Vec<Shard> = (0..2)
            .map(|id| {
                let silent = Box::new(grovemq_core::observe::Silent);
                Shard::new(id, 2, router.clone(), settings.clone(), silent)
            })
            .collect();
        let id = (b'a'..=b'z').find(|id| shards[1].home(std::str::from_utf8(&[*id]).unwrap()) == 1).unwrap();
        let peer = Peer { address: None, listener: 0, secured: None };
        let key = shards[1].handle_open(Time(0), peer);
        let connect = [b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01".as_slice(), &[id]].concat();
        shards[1].handle_input(Time(0), key, &connect);
        shards[1].handle_input(Time(0), key, b"\x82\x06\0\x01\0\x01#\0");
        for _ in 0..messages {
            shards[0].handle_publish(Time(0), "t", b"x", Qos::AtMostOnce, false);
        }
        core::mem::take(shards[0].poll_mail(1).unwrap())
    }

    #[test]
    fn batches_come_back_empty_with_their_memory_until_it_is_trimmed() {
        let poll = Poll::new().unwrap();
        let inbox = Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (few, many) = (batch(3), batch(100_000));
        assert!(many.capacity() > SPARE_BATCH_BYTES_MAX);
        let capacity = few.capacity();
        inbox.give_back(few);
        inbox.give_back(many);
        let spare = inbox.spare();
        assert!(spare.is_empty());
        assert_eq!(spare.capacity(), capacity, "the one that is too large is not kept");
        inbox.give_back(spare);
        inbox.trim();
        assert_eq!(inbox.spare().capacity(), 0);
    }

    #[test]
    fn it_is_crowded_until_the_work_is_done_not_only_taken() {
        let poll = Poll::new().unwrap();
        let inbox = Inbox::new(Waker::new(poll.registry(), Token(0)).unwrap());
        inbox.post(Letter::Mail(batch(INBOX_MESSAGES_MAX + 10)));
        assert!(inbox.is_crowded());
        let mut letters = Vec::new();
        inbox.collect(&mut letters);
        assert!(inbox.is_crowded(), "nothing is delivered yet");
        inbox.dealt_with(9);
        assert!(inbox.is_crowded());
        inbox.dealt_with(1);
        assert!(!inbox.is_crowded());
    }
}
