//! What one session subscribed to.

use super::NodeId;
use std::collections::{BTreeSet, btree_set};

/// Filters, each with the shared group if there is one. Most sessions have one filter, and some very many.
#[derive(Clone, Debug, Default)]
pub enum Subscribed {
    #[default]
    None,
    /// Without a group.
    One(NodeId),
    Many(Box<Many>),
}

/// Apart, because few are in a group and a plain one needs but a fifth of the memory.
#[derive(Clone, Debug, Default)]
pub struct Many {
    plain: BTreeSet<NodeId>,
    shared: BTreeSet<(NodeId, Box<str>)>,
}

impl Many {
    fn insert(&mut self, node: NodeId, group: Option<&str>) -> bool {
        match group {
            None => self.plain.insert(node),
            Some(group) => self.shared.insert((node, group.into())),
        }
    }

    fn remove(&mut self, node: NodeId, group: Option<&str>) -> bool {
        match group {
            None => self.plain.remove(&node),
            Some(group) => self.shared.remove(&(node, group.into())),
        }
    }

    fn len(&self) -> usize {
        self.plain.len() + self.shared.len()
    }
}

impl Subscribed {
    /// `true` when it was not there.
    pub fn insert(&mut self, node: NodeId, group: Option<&str>) -> bool {
        match self {
            Self::None if group.is_none() => *self = Self::One(node),
            Self::One(one) if *one == node && group.is_none() => return false,
            Self::Many(all) => return all.insert(node, group),
            Self::None | Self::One(_) => {
                let mut all = Many::default();
                all.plain.extend(self.iter().map(|(node, _)| node));
                all.insert(node, group);
                *self = Self::Many(Box::new(all));
            }
        }
        true
    }

    /// `true` when it was there.
    pub fn remove(&mut self, node: NodeId, group: Option<&str>) -> bool {
        match self {
            Self::One(one) if *one == node && group.is_none() => *self = Self::None,
            Self::None | Self::One(_) => return false,
            Self::Many(all) => {
                let was_there = all.remove(node, group);
                if all.len() == 0 {
                    *self = Self::None;
                }
                return was_there;
            }
        }
        true
    }

    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any is in a group.
    pub fn has_shared(&self) -> bool {
        matches!(self, Self::Many(all) if !all.shared.is_empty())
    }

    /// Gives them away one by one.
    pub fn leave(self) -> Leaving {
        let (one, many) = match self {
            Self::None => (None, Many::default()),
            Self::One(node) => (Some(node), Many::default()),
            Self::Many(all) => (None, *all),
        };
        Leaving { shared: many.shared.into_iter(), one, plain: many.plain.into_iter() }
    }

    /// Those in a group.
    pub fn shared(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let many = if let Self::Many(all) = self { Some(all) } else { None };
        many.into_iter().flat_map(|all| all.shared.iter()).map(|(node, group)| (*node, &**group))
    }

    /// Those without a group first, each kind in order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Option<&str>)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(node) => (Some(*node), None),
            Self::Many(all) => (None, Some(all)),
        };
        let plain = one.into_iter().chain(many.into_iter().flat_map(|all| all.plain.iter().copied()));
        plain.map(|node| (node, None)).chain(self.shared().map(|(node, group)| (node, Some(group))))
    }
}

/// What a session that has ended is still subscribed to. Groups come first: what matches a member that is gone would be
/// lost, and others may be there to take it.
#[derive(Debug)]
pub struct Leaving {
    shared: btree_set::IntoIter<(NodeId, Box<str>)>,
    one: Option<NodeId>,
    plain: btree_set::IntoIter<NodeId>,
}

impl Leaving {
    /// Those in a group.
    pub fn shared_len(&self) -> usize {
        self.shared.len()
    }
}

impl Iterator for Leaving {
    type Item = (NodeId, Option<Box<str>>);

    fn next(&mut self) -> Option<Self::Item> {
        let shared = self.shared.next().map(|(node, group)| (node, Some(group)));
        shared.or_else(|| self.one.take().or_else(|| self.plain.next()).map(|node| (node, None)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.plain.len() + self.shared.len() + usize::from(self.one.is_some());
        (len, Some(len))
    }
}

impl ExactSizeIterator for Leaving {}
