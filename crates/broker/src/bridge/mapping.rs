//! Topics here and there.

use grovemq_codec::{Qos, topic};
use grovemq_config::BridgeTopic;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a bridge exchanges, and what it is called on either side.
#[derive(Debug)]
pub(super) struct Mapping {
    topics: Vec<BridgeTopic>,
}

/// A side of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Local,
    Remote,
}

impl Mapping {
    pub(super) fn new(topics: Vec<BridgeTopic>) -> Self {
        Self { topics }
    }

    /// What a message that comes from this side is called on the other; `None` if it is not to go there.
    ///
    /// Of the topics that match, the first with a prefix counts; without any, nothing is renamed.
    pub(super) fn rename<'a>(&self, from: Side, name: &'a str) -> Option<Cow<'a, str>> {
        let matching = |t: &&BridgeTopic| is_from(from, t) && topic::matches(inner(&filter(from, t)), name);
        let has_prefix = |t: &&BridgeTopic| !t.local_prefix.is_empty() || !t.remote_prefix.is_empty();
        let mut all = self.topics.iter().filter(matching);
        let Some(found) = self.topics.iter().filter(has_prefix).find(matching) else {
            return all.next().map(|_| Cow::Borrowed(name));
        };
        let (old, new) = match from {
            Side::Local => (&found.local_prefix, &found.remote_prefix),
            Side::Remote => (&found.remote_prefix, &found.local_prefix),
        };
        let renamed = match name.strip_prefix(old.as_str()) {
            Some(rest) => format!("{new}{rest}"),
            // `a/#` matches `a` as well
            None => new.strip_suffix('/')?.to_owned(),
        };
        topic::validate_name(&renamed).ok().map(|()| Cow::Owned(renamed))
    }

    /// What to subscribe to on this side, each filter once.
    pub(super) fn subscriptions(&self, side: Side) -> BTreeMap<String, Qos> {
        let mut subscriptions = BTreeMap::new();
        for topic in self.topics.iter().filter(|t| is_from(side, t)) {
            let qos: &mut Qos = subscriptions.entry(filter(side, topic)).or_default();
            *qos = (*qos).max(topic.qos);
        }
        subscriptions
    }

    /// What may be left over of former subscriptions at the other broker.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let wanted = self.subscriptions(Side::Remote);
        let out = self.topics.iter().map(BridgeTopic::remote_filter);
        let mut leftovers: Vec<String> = out.filter(|filter| !wanted.contains_key(filter)).collect();
        leftovers.sort_unstable();
        leftovers.dedup();
        leftovers
    }
}

fn is_from(side: Side, topic: &BridgeTopic) -> bool {
    match side {
        Side::Local => topic.is_out(),
        Side::Remote => topic.is_in(),
    }
}

fn filter(side: Side, topic: &BridgeTopic) -> String {
    match side {
        Side::Local => topic.local_filter(),
        Side::Remote => topic.remote_filter(),
    }
}

/// What names are compared with.
fn inner(filter: &str) -> &str {
    match topic::parse_shared(filter) {
        Ok(Some((_, inner))) => inner,
        _ => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_config::BridgeDirection;
    use proptest::prelude::*;

    fn rule(pattern: &str, direction: BridgeDirection, local: &str, remote: &str) -> BridgeTopic {
        BridgeTopic {
            pattern: pattern.into(),
            direction,
            qos: Qos::AtLeastOnce,
            local_prefix: local.into(),
            remote_prefix: remote.into(),
        }
    }

    fn renamed(mapping: &Mapping, from: Side, name: &str) -> Option<String> {
        mapping.rename(from, name).map(Cow::into_owned)
    }

    #[test]
    fn names_here_and_there() {
        use BridgeDirection::{Both, In, Out};
        for (topic, out, back) in [
            (rule("#", Both, "", ""), Some(("a/b", "a/b")), Some(("c", "c"))),
            (rule("#", Both, "l/", "r/"), Some(("l/a", "r/a")), Some(("r/b/c", "l/b/c"))),
            (rule("#", Both, "l/", "r/"), Some(("l", "r")), Some(("r", "l"))),
            (rule("#", Out, "l/", ""), Some(("l/a", "a")), None),
            (rule("#", In, "", "r/"), None, Some(("r/a", "a"))),
            (rule("/#", Both, "l", "r"), Some(("l/a", "r/a")), Some(("r", "l"))),
            (rule("", Both, "x/y", "z"), Some(("x/y", "z")), Some(("z", "x/y"))),
            (rule("$share/g/a/#", In, "l/", ""), None, Some(("a/b", "l/a/b"))),
            (rule("$SYS/#", Out, "", "here/"), Some(("$SYS/x", "here/$SYS/x")), None),
        ] {
            let mapping = Mapping::new(vec![topic.clone()]);
            for (from, pair) in [(Side::Local, out), (Side::Remote, back)] {
                if let Some((name, expected)) = pair {
                    assert_eq!(renamed(&mapping, from, name).as_deref(), Some(expected), "{topic:?}");
                }
            }
            let directions = [Side::Local, Side::Remote].map(|side| !mapping.subscriptions(side).is_empty());
            assert_eq!(directions, [out.is_some(), back.is_some()], "{topic:?}");
            assert_eq!(renamed(&mapping, Side::Local, "$other"), None);
        }
    }

    #[test]
    fn what_would_have_no_name_stays() {
        let mapping = Mapping::new(vec![rule("#", BridgeDirection::Out, "l/", "")]);
        assert_eq!(renamed(&mapping, Side::Local, "l"), None);
        assert_eq!(renamed(&mapping, Side::Local, "l/"), None);
        assert_eq!(renamed(&mapping, Side::Remote, "a"), None);
    }

    #[test]
    fn the_first_topic_with_a_prefix_counts() {
        use BridgeDirection::{In, Out};
        let mapping = Mapping::new(vec![
            rule("#", Out, "", ""),
            rule("a/#", Out, "", "r/"),
            rule("a/b", Out, "", "s/"),
            rule("c", In, "", ""),
        ]);
        for (name, expected) in [("x", "x"), ("a/c", "r/a/c"), ("a/b", "r/a/b"), ("c", "c")] {
            assert_eq!(renamed(&mapping, Side::Local, name).as_deref(), Some(expected));
        }
        assert_eq!(mapping.leftovers(), ["#", "r/a/#", "s/a/b"]);
    }

    #[test]
    fn a_filter_is_subscribed_to_once_with_the_highest_quality() {
        let topic = |qos| BridgeTopic { qos, ..rule("a", BridgeDirection::Both, "", "") };
        let mapping =
            Mapping::new(vec![topic(Qos::AtMostOnce), topic(Qos::ExactlyOnce), topic(Qos::AtLeastOnce)]);
        let wanted = BTreeMap::from([("a".to_owned(), Qos::ExactlyOnce)]);
        assert_eq!(mapping.subscriptions(Side::Remote), wanted);
        assert!(mapping.leftovers().is_empty());
    }

    proptest! {
        /// There and back again is the same name, for every prefix and every name that matches.
        #[test]
        fn there_and_back_again(
            local in "([a-c/]{0,4}/)?",
            remote in "([a-c/]{0,4}/)?",
            rest in "[a-c/]{1,8}",
        ) {
            let mapping = Mapping::new(vec![rule("#", BridgeDirection::Both, &local, &remote)]);
            let name = format!("{local}{rest}");
            let there = renamed(&mapping, Side::Local, &name);
            let expected = format!("{remote}{rest}");
            prop_assert_eq!(there.as_deref(), Some(&*expected));
            prop_assert_eq!(renamed(&mapping, Side::Remote, &expected), Some(name));
        }

        /// Whatever the name, what comes out is a name that the other side's subscription matches.
        #[test]
        fn only_names_that_are_asked_for(
            pattern in prop_oneof![Just("#"), Just("+/b"), Just("a/#"), Just("a")],
            local in "([ab]/)?",
            remote in "([ab]/)?",
            name in "[ab/]{1,6}",
        ) {
            let topic = rule(pattern, BridgeDirection::Both, &local, &remote);
            let there = topic.remote_filter();
            if let Some(renamed) = renamed(&Mapping::new(vec![topic]), Side::Local, &name) {
                prop_assert!(topic::matches(&there, &renamed), "{} {}", there, renamed);
            }
        }
    }
}
