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
    Many(Box<BTreeSet<(NodeId, Option<Box<str>>)>>),
}

impl Subscribed {
    /// `true` when it was not there.
    pub fn insert(&mut self, node: NodeId, group: Option<&str>) -> bool {
        match self {
            Self::None if group.is_none() => *self = Self::One(node),
            Self::One(one) if *one == node && group.is_none() => return false,
            Self::Many(all) => return all.insert((node, group.map(Box::from))),
            Self::None | Self::One(_) => {
                let mut all: BTreeSet<_> = self.iter().map(|(node, _)| (node, None)).collect();
                all.insert((node, group.map(Box::from)));
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
                let was_there = all.remove(&(node, group.map(Box::from)));
                if all.is_empty() {
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

    /// Gives them away one by one.
    pub fn leave(self) -> Leaving {
        match self {
            Self::None => Leaving { one: None, many: BTreeSet::new().into_iter() },
            Self::One(node) => Leaving { one: Some(node), many: BTreeSet::new().into_iter() },
            Self::Many(all) => Leaving { one: None, many: all.into_iter() },
        }
    }

    /// In the order of nodes and groups.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Option<&str>)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(node) => (Some((*node, None)), None),
            Self::Many(all) => (None, Some(all.iter().map(|(node, group)| (*node, group.as_deref())))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// What a session that has ended is still subscribed to.
#[derive(Debug)]
pub struct Leaving {
    one: Option<NodeId>,
    many: btree_set::IntoIter<(NodeId, Option<Box<str>>)>,
}

impl Iterator for Leaving {
    type Item = (NodeId, Option<Box<str>>);

    fn next(&mut self) -> Option<Self::Item> {
        self.one.take().map(|node| (node, None)).or_else(|| self.many.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.many.len() + usize::from(self.one.is_some());
        (len, Some(len))
    }
}

impl ExactSizeIterator for Leaving {}
