//! The index of topic filters: a tree of levels in one table.
//!
//! A node is found by (parent, level) in a single hash table; the wildcards `+` and `#` hang directly on their
//! parent. A node disappears with its last subscription and its last child.

use crate::slab::Key;
use ecow::EcoString;
use foldhash::fast::FixedState;
use grovemq_codec::Qos;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// A session anywhere in the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    pub shard: u16,
    pub key: Key,
}

/// One session's subscription to one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, one byte wide")]
pub struct Subscription {
    pub session: SessionRef,
    pub qos: Qos,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// The session has a mount point.
    pub mounted: bool,
    /// The session has a connection now; kept true to life for members of shared groups only.
    pub online: bool,
    /// The session survives a restart.
    pub stored: bool,
    /// 0 is none.
    pub id: u32,
}

/// A node of the tree; sessions keep it to unsubscribe without a second look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    /// Most levels are short enough to need no memory beside the node's.
    level: EcoString,
    parent: u32,
    /// Children in the table; `plus` and `hash` not counted.
    children: u32,
    plus: u32,
    hash: u32,
    subscriptions: Subscriptions,
    #[expect(clippy::box_collection, reason = "one word in each of many nodes")]
    groups: Option<Box<Vec<Group>>>,
}

/// Sorted by session. Most filters have one subscriber.
#[derive(Debug, Default)]
enum Subscriptions {
    #[default]
    None,
    One(Subscription),
    #[expect(clippy::box_collection, reason = "one word in each of many nodes")]
    Many(Box<Vec<Subscription>>),
}

/// A shared subscription: each message goes to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: Box<str>,
    pub members: Vec<Subscription>,
}

/// What a topic name matched.
pub trait Matches {
    fn subscription(&mut self, subscription: &Subscription);
    fn group(&mut self, group: &Group);
}

/// A subscription with its filter, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub filter: Arc<str>,
    /// The shared group.
    pub group: Option<Box<str>>,
    pub session: SessionRef,
    pub qos: Qos,
}

#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Children by parent and level. Several tables, because one with everybody's subscriptions would make them all wait while
    /// it grows.
    tables: Box<[HashTable<u32>; TABLES]>,
    hasher: FixedState,
    subscriptions: usize,
    shared: usize,
    latest: Latest,
}

const TABLES: usize = 64;

/// The filter that was subscribed to last, and its nodes: the next one often begins likewise.
#[derive(Debug, Default)]
struct Latest {
    filter: String,
    nodes: Vec<u32>,
}

impl Latest {
    /// The last node that both have, how many levels it is from the root, and where in `filter` the rest begins.
    fn common(&self, filter: &str) -> (u32, usize, usize) {
        let pairs = self.filter.bytes().zip(filter.bytes());
        let (mut levels, mut rest) = (0_usize, 0);
        for (at, _) in pairs.take_while(|(a, b)| a == b).enumerate().filter(|(_, (a, _))| *a == b'/') {
            (levels, rest) = (levels + 1, at + 1);
        }
        let node = levels.checked_sub(1).and_then(|last| self.nodes.get(last));
        node.map_or((ROOT, 0, 0), |node| (*node, levels, rest))
    }

    fn forget(&mut self) {
        self.filter.clear();
        self.nodes.clear();
    }
}

impl Trie {
    pub fn new(hasher: FixedState) -> Self {
        let root = Node::new("", NONE);
        Self {
            nodes: vec![root],
            free: Vec::new(),
            tables: Box::new([const { HashTable::new() }; TABLES]),
            hasher,
            subscriptions: 0,
            shared: 0,
            latest: Latest::default(),
        }
    }

    /// Adds or replaces; `true` when the session did not have this subscription before.
    pub fn subscribe(
        &mut self,
        filter: &str,
        group: Option<&str>,
        subscription: Subscription,
    ) -> (NodeId, bool) {
        let (mut at, levels, rest) = self.latest.common(filter);
        self.latest.nodes.truncate(levels);
        for level in filter.get(rest..).unwrap_or_default().split('/') {
            at = self.child_or_new(at, level);
            self.latest.nodes.push(at);
        }
        self.latest.filter.truncate(rest);
        self.latest.filter.push_str(filter.get(rest..).unwrap_or_default());
        let Some(node) = self.nodes.get_mut(at as usize) else { return (NodeId(at), false) };
        let new = match group {
            None => node.subscriptions.insert(subscription),
            Some(name) => node.insert_shared(name, subscription),
        };
        if new {
            *(if group.is_some() { &mut self.shared } else { &mut self.subscriptions }) += 1;
        }
        (NodeId(at), new)
    }

    /// The node, when the session had this subscription.
    pub fn unsubscribe(&mut self, filter: &str, group: Option<&str>, session: SessionRef) -> Option<NodeId> {
        self.find(filter).filter(|node| self.unsubscribe_node(*node, group, session))
    }

    pub fn unsubscribe_node(&mut self, node: NodeId, group: Option<&str>, session: SessionRef) -> bool {
        let Some(n) = self.nodes.get_mut(node.0 as usize) else { return false };
        let had = match group {
            None => n.subscriptions.remove(session),
            Some(name) => n.remove_shared(name, session),
        };
        if had {
            *(if group.is_some() { &mut self.shared } else { &mut self.subscriptions }) -= 1;
            self.prune(node.0);
        }
        had
    }

    /// Marks a member of a shared group as connected or not.
    pub fn set_online(&mut self, node: NodeId, group: &str, session: SessionRef, online: bool) {
        let groups = self.nodes.get_mut(node.0 as usize).and_then(|n| n.groups.as_mut());
        let group = groups.and_then(|g| g.iter_mut().find(|g| &*g.name == group));
        if let Some(member) = group.and_then(|g| g.members.iter_mut().find(|m| m.session == session)) {
            member.online = online;
        }
    }

    /// The members of a shared group.
    pub fn members(&self, node: NodeId, group: &str) -> &[Subscription] {
        let groups = self.nodes.get(node.0 as usize).and_then(|n| n.groups.as_ref());
        let group = groups.and_then(|g| g.iter().find(|g| &*g.name == group));
        group.map_or(&[], |g| &g.members)
    }

    pub fn get(&self, filter: &str, group: Option<&str>, session: SessionRef) -> Option<&Subscription> {
        let node = self.nodes.get(self.find(filter)?.0 as usize)?;
        match group {
            None => node.subscriptions.as_slice().iter().find(|s| s.session == session),
            Some(name) => {
                let group = node.groups.as_ref()?.iter().find(|g| &*g.name == name)?;
                group.members.iter().find(|s| s.session == session)
            }
        }
    }

    /// Subscriptions from that place on, no more than `budget` of them; the place of the next, if there are more.
    pub fn list(&self, from: (u32, usize), budget: usize) -> (Vec<Listing>, Option<(u32, usize)>) {
        let (mut at, mut skip) = from;
        let mut found = Vec::new();
        let mut nodes = 0;
        while let Some(node) = self.nodes.get(at as usize) {
            let plain = node.subscriptions.as_slice().iter().map(|s| (None, s));
            let groups = node.groups.iter().flat_map(|groups| groups.iter());
            let shared = groups.flat_map(|g| g.members.iter().map(|s| (Some(&*g.name), s)));
            let mut rest = plain.chain(shared).skip(skip).peekable();
            if rest.peek().is_some() {
                let filter: Arc<str> = self.filter(NodeId(at)).into();
                for (group, s) in rest.by_ref() {
                    if found.len() == budget {
                        return (found, Some((at, skip)));
                    }
                    let (filter, group) = (filter.clone(), group.map(Box::from));
                    found.push(Listing { filter, group, session: s.session, qos: s.qos });
                    skip += 1;
                }
            }
            (at, skip, nodes) = (at + 1, 0, nodes + 1);
            if nodes == budget {
                return (found, Some((at, skip)));
            }
        }
        (found, None)
    }

    /// The filter a node stands for.
    pub fn filter(&self, node: NodeId) -> String {
        let mut levels = Vec::new();
        let mut at = node.0;
        while at != ROOT
            && let Some(n) = self.nodes.get(at as usize)
        {
            levels.push(n.level.as_str());
            at = n.parent;
        }
        levels.reverse();
        levels.join("/")
    }

    /// Calls `found` for each subscription and group that matches the topic name.
    pub fn matches(&self, topic: &str, found: &mut impl Matches) {
        // Nodes to visit with the rest of the topic; `None` is past its last level. The stack holds at most one
        // entry per level more than it has visited, and topics have a bounded number of levels.
        let mut stack = vec![(ROOT, Some(topic))];
        while let Some((at, rest)) = stack.pop() {
            let Some(node) = self.nodes.get(at as usize) else { continue };
            // [MQTT-4.7.2-1] wildcards do not match a first level that begins with `$`
            let hidden = at == ROOT && topic.starts_with('$');
            if !hidden && let Some(n) = self.nodes.get(node.hash as usize) {
                n.report(found);
            }
            let Some(rest) = rest else {
                node.report(found);
                continue;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            if !hidden && node.plus != NONE {
                stack.push((node.plus, rest));
            }
            if node.children > 0
                && let Some(child) = self.lookup(at, level)
            {
                stack.push((child, rest));
            }
        }
    }

    /// Plain subscriptions.
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0 && self.shared == 0
    }

    /// Memberships of shared groups.
    pub fn shared_len(&self) -> usize {
        self.shared
    }

    /// Nodes in use, the root included.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn find(&self, filter: &str) -> Option<NodeId> {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = self.child(at, level)?;
        }
        Some(NodeId(at))
    }

    fn child(&self, parent: u32, level: &str) -> Option<u32> {
        let node = self.nodes.get(parent as usize)?;
        match level {
            "+" => Some(node.plus).filter(|n| *n != NONE),
            "#" => Some(node.hash).filter(|n| *n != NONE),
            _ => self.lookup(parent, level),
        }
    }

    fn lookup(&self, parent: u32, level: &str) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one((parent, level)), parent, level)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, parent: u32, level: &str) -> Option<u32> {
        let same =
            |i: &u32| self.nodes.get(*i as usize).is_some_and(|n| n.parent == parent && *n.level == *level);
        self.tables.get(table(hash))?.find(hash, same).copied()
    }

    fn child_or_new(&mut self, parent: u32, level: &str) -> u32 {
        let hash = self.hasher.hash_one((parent, level));
        let known = match level {
            "+" | "#" => self.child(parent, level),
            _ => self.find_hashed(hash, parent, level),
        };
        if let Some(child) = known {
            return child;
        }
        let node = Node::new(level, parent);
        let index = if let Some(i) = self.free.pop() {
            if let Some(slot) = self.nodes.get_mut(i as usize) {
                *slot = node;
            }
            i
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        };
        if let Some(p) = self.nodes.get_mut(parent as usize) {
            match level {
                "+" => p.plus = index,
                "#" => p.hash = index,
                _ => {
                    p.children += 1;
                    let (nodes, hasher) = (&self.nodes, &self.hasher);
                    let rehash = |i: &u32| {
                        nodes.get(*i as usize).map_or(0, |n| hasher.hash_one((n.parent, &*n.level)))
                    };
                    if let Some(table) = self.tables.get_mut(table(hash)) {
                        table.insert_unique(hash, index, rehash);
                    }
                }
            }
        }
        index
    }

    /// Removes a node that holds nothing any more, then its parents likewise.
    fn prune(&mut self, mut at: u32) {
        if self.nodes.get(at as usize).is_some_and(Node::is_unused) {
            self.latest.forget();
        }
        while at != ROOT
            && let Some(node) = self.nodes.get_mut(at as usize)
            && node.is_unused()
        {
            let level = core::mem::take(&mut node.level);
            let parent = node.parent;
            if let Some(p) = self.nodes.get_mut(parent as usize) {
                match &*level {
                    "+" => p.plus = NONE,
                    "#" => p.hash = NONE,
                    _ => {
                        p.children -= 1;
                        let hash = self.hasher.hash_one((parent, &*level));
                        let table = self.tables.get_mut(table(hash));
                        if let Some(Ok(entry)) = table.map(|t| t.find_entry(hash, |i| *i == at)) {
                            entry.remove();
                        }
                    }
                }
            }
            self.free.push(at);
            at = parent;
        }
    }
}

/// Which table. Neither the bits by which it finds its slot nor those it keeps there to compare.
fn table(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

impl Node {
    fn new(level: &str, parent: u32) -> Self {
        Self {
            level: level.into(),
            parent,
            children: 0,
            plus: NONE,
            hash: NONE,
            subscriptions: Subscriptions::None,
            groups: None,
        }
    }

    fn is_unused(&self) -> bool {
        self.children == 0
            && self.plus == NONE
            && self.hash == NONE
            && self.groups.is_none()
            && matches!(self.subscriptions, Subscriptions::None)
    }

    fn report(&self, found: &mut impl Matches) {
        for s in self.subscriptions.as_slice() {
            found.subscription(s);
        }
        for g in self.groups.iter().flat_map(|g| g.iter()) {
            found.group(g);
        }
    }

    fn insert_shared(&mut self, name: &str, subscription: Subscription) -> bool {
        let groups = self.groups.get_or_insert_default();
        let at = groups.iter().position(|g| &*g.name == name).unwrap_or_else(|| {
            groups.push(Group { name: name.into(), members: Vec::new() });
            groups.len() - 1
        });
        let Some(group) = groups.get_mut(at) else { return false };
        if let Some(m) = group.members.iter_mut().find(|m| m.session == subscription.session) {
            *m = subscription;
            return false;
        }
        group.members.push(subscription);
        true
    }

    fn remove_shared(&mut self, name: &str, session: SessionRef) -> bool {
        let Some(groups) = self.groups.as_mut() else { return false };
        let Some(at) = groups.iter().position(|g| &*g.name == name) else { return false };
        let Some(group) = groups.get_mut(at) else { return false };
        let before = group.members.len();
        group.members.retain(|m| m.session != session);
        let had = group.members.len() < before;
        if group.members.is_empty() {
            groups.remove(at);
        }
        if groups.is_empty() {
            self.groups = None;
        }
        had
    }
}

impl Subscriptions {
    fn as_slice(&self) -> &[Subscription] {
        match self {
            Self::None => &[],
            Self::One(s) => core::slice::from_ref(s),
            Self::Many(v) => v,
        }
    }

    fn insert(&mut self, s: Subscription) -> bool {
        match self {
            Self::None => *self = Self::One(s),
            Self::One(old) if old.session == s.session => {
                *old = s;
                return false;
            }
            Self::One(old) => {
                let mut both = vec![*old, s];
                both.sort_unstable_by_key(|s| s.session);
                *self = Self::Many(Box::new(both));
            }
            Self::Many(all) => match all.binary_search_by_key(&s.session, |s| s.session) {
                Ok(i) => {
                    if let Some(old) = all.get_mut(i) {
                        *old = s;
                    }
                    return false;
                }
                Err(i) => all.insert(i, s),
            },
        }
        true
    }

    fn remove(&mut self, session: SessionRef) -> bool {
        match self {
            Self::One(s) if s.session == session => *self = Self::None,
            Self::None | Self::One(_) => return false,
            Self::Many(all) => {
                let Ok(i) = all.binary_search_by_key(&session, |s| s.session) else { return false };
                all.remove(i);
                if let [last] = all.as_slice() {
                    *self = Self::One(*last);
                }
            }
        }
        true
    }
}
