//! Who gets what: the filter tree and the retained messages all shards share, and a match cache per shard.

mod cache;
mod marks;
mod retained;
mod subscribed;
#[cfg(test)]
mod tests;
mod trie;

pub use cache::{Destination, Entry, MatchCache};
pub use retained::{Cursor, Quota, Retained};
pub use subscribed::{Leaving, Subscribed};
pub use trie::{Group, Listing, Matches, NodeId, SessionRef, Subscription, Trie};

use foldhash::fast::FixedState;
use grovemq_codec::topic;
use marks::Marks;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult};

/// Filters remembered as recently changed; a cache entry older than these is made anew.
const CHANGES_MAX: usize = 256;
/// Memory of one of them that is used again.
const CHANGE_BYTES: usize = 128;
/// Subscriptions taken away before other shards may have the index: so few that who waits for it need not fall asleep.
const LOCKED_MAX: usize = 4;
/// The same for those added, which take less, and the levels of their filters from which on no further one is added.
pub(crate) const ADDED_MAX: usize = 8;
pub(crate) const ADDED_LEVELS: usize = 48;

/// Attempts to lock the index before its lock is waited for, and pauses of the processor between them, of some 10 to 40 ns each.
const ATTEMPTS: u32 = 64;
const PAUSES: u32 = 8;

/// What the shards share. Only a miss in the match cache, a change of subscriptions and retained messages take a
/// lock; a hit reads one counter, and some marks after a change.
#[derive(Debug)]
pub struct Router {
    index: RwLock<Index>,
    /// Counts changes of the index.
    generation: Apart<AtomicU64>,
    marks: Marks,
    retained: RwLock<Retained>,
    sessions: AtomicUsize,
}

/// Alone in its cache lines: every shard reads it with each message, and locks beside it are written to by readers, too.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Debug)]
struct Index {
    trie: Trie,
    /// The filters of the latest generations, oldest first.
    changes: VecDeque<String>,
}

impl Router {
    pub fn new(hasher: FixedState) -> Self {
        let index = Index { trie: Trie::new(hasher.clone()), changes: VecDeque::new() };
        Self {
            index: RwLock::new(index),
            generation: Apart(AtomicU64::new(0)),
            marks: Marks::new(hasher),
            retained: RwLock::default(),
            sessions: AtomicUsize::new(0),
        }
    }

    /// Adds or replaces a subscription; `true` when it is new.
    pub fn subscribe(&self, filter: &str, group: Option<&str>, subscription: Subscription) -> (NodeId, bool) {
        let mut added = None;
        self.subscribe_some([(filter, group, subscription)], |node, new| added = Some((node, new)));
        added.unwrap_or_default()
    }

    /// The same for no more than [`ADDED_MAX`] of them, whose nodes are told in order.
    pub(crate) fn subscribe_some<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a str, Option<&'a str>, Subscription)>,
        mut added: impl FnMut(NodeId, bool),
    ) {
        let mut index = self.write();
        for (filter, group, subscription) in wanted {
            let (node, new) = index.trie.subscribe(filter, group, subscription);
            self.changed(&mut index, filter);
            added(node, new);
        }
    }

    /// The node, when there was such a subscription.
    pub fn unsubscribe(&self, filter: &str, group: Option<&str>, session: SessionRef) -> Option<NodeId> {
        let mut index = self.write();
        let node = index.trie.unsubscribe(filter, group, session)?;
        self.changed(&mut index, filter);
        Some(node)
    }

    /// Removes all of a session's subscriptions.
    pub fn unsubscribe_some(
        &self,
        session: SessionRef,
        nodes: impl Iterator<Item = (NodeId, Option<Box<str>>)>,
    ) {
        let mut nodes = nodes.peekable();
        while nodes.peek().is_some() {
            // the other shards have their turn in between
            let mut index = self.write();
            for (node, group) in nodes.by_ref().take(LOCKED_MAX) {
                let filter = index.trie.filter(node);
                index.trie.unsubscribe_node(node, group.as_deref(), session);
                self.changed(&mut index, &filter);
            }
        }
    }

    /// Marks a member of shared groups as connected or not.
    pub fn set_online(&self, session: SessionRef, nodes: &Subscribed, online: bool) {
        let mut nodes = nodes.shared().peekable();
        while nodes.peek().is_some() {
            let mut index = self.write();
            for (node, group) in nodes.by_ref().take(LOCKED_MAX) {
                let filter = index.trie.filter(node);
                index.trie.set_online(node, group, session, online);
                self.changed(&mut index, &filter);
            }
        }
    }

    /// The session's subscription to that filter.
    pub fn subscription(
        &self,
        filter: &str,
        group: Option<&str>,
        session: SessionRef,
    ) -> Option<Subscription> {
        self.read().trie.get(filter, group, session).copied()
    }

    /// Another member of that group than this session: one that is connected, if there is one, and rather on the session's
    /// own shard; else the next by `turn`.
    pub(crate) fn other_member(
        &self,
        node: NodeId,
        group: &str,
        session: SessionRef,
        turn: usize,
    ) -> Option<Subscription> {
        let index = self.read();
        let others = index.trie.members(node, group).iter().filter(|m| m.session != session);
        let rank = |m: &Subscription| (m.online, m.session.shard == session.shard);
        let best = others.clone().map(rank).max()?;
        let best = others.filter(|m| rank(m) == best);
        best.clone().nth(turn % best.count().max(1)).copied()
    }

    /// The filter a node stands for.
    pub fn filter(&self, node: NodeId) -> String {
        self.read().trie.filter(node)
    }

    /// Makes every cached match be looked up again, as after a change of access rules.
    pub fn invalidate(&self) {
        let mut index = self.write();
        index.changes.clear();
        let generation = self.generation() + CHANGES_MAX as u64 + 1;
        self.marks.set_all(generation);
        self.generation.0.store(generation, Ordering::Release);
    }

    /// All subscriptions, some at a time, so that clients may subscribe in between. See [`Trie::list`].
    pub fn list(&self, from: (u32, usize), budget: usize) -> (Vec<Listing>, Option<(u32, usize)>) {
        self.read().trie.list(from, budget)
    }

    /// Plain and shared subscriptions.
    pub fn subscription_counts(&self) -> (usize, usize) {
        let index = self.read();
        (index.trie.len(), index.trie.shared_len())
    }

    /// Counts a new session of any shard in; `false` when there are `max` already.
    pub(crate) fn add_session(&self, max: usize) -> bool {
        let fits = self.sessions.fetch_add(1, Ordering::Relaxed) < max;
        if !fits {
            self.remove_session();
        }
        fits
    }

    pub(crate) fn remove_session(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn retained(&self) -> RwLockReadGuard<'_, Retained> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn retained_mut(&self) -> RwLockWriteGuard<'_, Retained> {
        self.retained.write().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn generation(&self) -> u64 {
        self.generation.0.load(Ordering::Acquire)
    }

    /// `true` when nothing that changed after `generation` concerns the topic; else the caller matches anew.
    fn unchanged_for(&self, topic: &str, generation: u64) -> bool {
        if !self.marks.may_concern(topic, generation) {
            return true;
        }
        let index = self.read();
        let age = self.generation().saturating_sub(generation);
        let Ok(age) = usize::try_from(age) else { return false };
        if age > index.changes.len() {
            return false;
        }
        index.changes.iter().rev().take(age).all(|filter| !topic::matches(filter, topic))
    }

    fn changed(&self, index: &mut Index, filter: &str) {
        let oldest = if index.changes.len() < CHANGES_MAX { None } else { index.changes.pop_front() };
        let mut change = oldest.unwrap_or_default();
        change.clear();
        // long ones are rare, and their memory is not kept for short ones
        change.shrink_to(CHANGE_BYTES);
        change.push_str(filter);
        index.changes.push_back(change);
        // nobody else counts: the index is locked
        let generation = self.generation() + 1;
        self.marks.set(filter, generation);
        self.generation.0.store(generation, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        spin(|| self.index.try_read())
            .unwrap_or_else(|| self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        spin(|| self.index.try_write())
            .unwrap_or_else(|| self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tries for about as long as others have the index: to fall asleep for it takes longer.
fn spin<T>(mut attempt: impl FnMut() -> TryLockResult<T>) -> Option<T> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => (0..PAUSES).for_each(|_| core::hint::spin_loop()),
        }
    }
    None
}
