//! Which topics the latest changes of subscriptions may concern, without a lock and near enough.
//!
//! A filter without wildcards leaves its mark at its own hash, another one at that of the levels before the wildcard. A
//! topic looks at the few places where a filter that matches it can have left one. Two filters may share a place, so a
//! mark means "perhaps", and none means "no".

use foldhash::fast::FixedState;
use grovemq_codec::topic;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Places for filters without wildcards, which are often changed in great numbers.
const EXACT: usize = 4096;
/// Places for what stands before a wildcard.
const PREFIXES: usize = 1024;
/// Levels before a wildcard that count.
const LEVELS_MAX: usize = 8;

/// The generation of the latest change, by place.
#[derive(Debug)]
pub(super) struct Marks {
    exact: Box<[AtomicU64]>,
    prefixes: Box<[AtomicU64]>,
    /// Of filters that begin with a wildcard, which concern every topic.
    any: AtomicU64,
    hasher: FixedState,
}

impl Marks {
    pub(super) fn new(hasher: FixedState) -> Self {
        let places = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self { exact: places(EXACT), prefixes: places(PREFIXES), any: AtomicU64::new(0), hasher }
    }

    /// To be called before the generation is made known, by one thread at a time.
    pub(super) fn set(&self, filter: &str, generation: u64) {
        let literal = if topic::is_wildcard(filter) {
            filter.split('/').position(|level| matches!(level, "+" | "#"))
        } else {
            None
        };
        let place = match literal {
            None => self.place(&self.exact, filter),
            Some(0) => Some(&self.any),
            Some(levels) => {
                prefixes(filter).nth(levels.min(LEVELS_MAX) - 1).and_then(|p| self.place(&self.prefixes, p))
            }
        };
        if let Some(place) = place {
            place.store(generation, Ordering::Relaxed);
        }
    }

    /// As if a filter had changed that matches every topic.
    pub(super) fn set_all(&self, generation: u64) {
        self.any.store(generation, Ordering::Relaxed);
    }

    /// Whether a filter that matches the topic may have changed after `since`, up to a generation already known.
    pub(super) fn may_concern(&self, topic: &str, since: u64) -> bool {
        let is_later = |place: &AtomicU64| place.load(Ordering::Relaxed) > since;
        is_later(&self.any)
            || self.place(&self.exact, topic).is_some_and(is_later)
            || prefixes(topic).any(|prefix| self.place(&self.prefixes, prefix).is_some_and(is_later))
    }

    fn place<'a>(&self, places: &'a [AtomicU64], name: &str) -> Option<&'a AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(name) % places.len() as u64).unwrap_or(0);
        places.get(hash)
    }
}

/// The first level, the first two and so on, up to so many levels.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
    ends.take(LEVELS_MAX).filter_map(|end| name.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_matches_leaves_a_mark_where_the_topic_looks() {
        let deep = "a/b/c/d/e/f/g/h/i/j";
        let topics = ["a", "a/b", "/", "", "/a", "a//b", "a/b/c", "b", "$SYS/a", deep];
        let filters = [
            "#",
            "+",
            "+/b",
            "a/#",
            "a/b/#",
            "a/+",
            "/+",
            "/#",
            "a//#",
            "a//+",
            "a/b",
            "/",
            "$SYS/#",
            "+/+/c",
            "a/b/c/#",
            "a/b/c/d/e/f/g/h/+/j",
            "a/b/c/d/e/f/g/h/i/#",
            "a/b/c/d/e/f/g/+/i/j",
            deep,
        ];
        for filter in filters {
            let marks = Marks::new(FixedState::with_seed(7));
            marks.set(filter, 5);
            for topic in topics {
                if topic::matches(filter, topic) {
                    assert!(marks.may_concern(topic, 4), "{filter} {topic}");
                }
                assert!(!marks.may_concern(topic, 5), "{filter} {topic}");
            }
        }
    }

    #[test]
    fn most_topics_are_left_alone() {
        let marks = Marks::new(FixedState::with_seed(7));
        for n in 0..100_u64 {
            marks.set(&format!("load/+/building{n}/#"), n + 1);
            marks.set(&format!("load/site/building{n}"), n + 1);
        }
        let touched = (0..1000).filter(|n| marks.may_concern(&format!("flow/{n}/t"), 0)).count();
        assert!(touched < 200, "{touched}");
        marks.set_all(101);
        assert!(marks.may_concern("flow/1/t", 100));
    }
}
