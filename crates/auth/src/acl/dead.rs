//! Rules that decide nothing, because others of their list always decide first or say the same.

use grovemq_codec::topic;

use super::{Acl, Grant, Rule, RuleList};

/// Lists with more rules than this are not looked at: each rule is compared with each.
const RULES_MAX: usize = 3000;

/// A rule without effect.
#[derive(Debug, Clone, Copy)]
pub struct DeadRule<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The rule that covers it.
    pub because: &'a Rule,
}

impl Acl {
    /// Rules that could be left out without changing any decision, by line. Of two that say the same, the later one.
    #[must_use]
    pub fn dead_rules(&self) -> Vec<DeadRule<'_>> {
        let lists = [&self.anonymous, &self.patterns].into_iter().chain(self.users.values());
        let mut dead: Vec<DeadRule<'_>> = lists.flat_map(dead_in).collect();
        dead.sort_by_key(|d| d.rule.line);
        dead
    }

    /// Rules above the first `user` line: those for anonymous clients, in no order.
    pub fn anonymous_rules(&self) -> impl Iterator<Item = &Rule> {
        self.anonymous.iter()
    }

    /// Whether there are patterns, which apply to everybody.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// A user's own rules, in no order.
    pub fn rules_of(&self, user: &str) -> impl Iterator<Item = &Rule> {
        self.users.get(user).into_iter().flat_map(RuleList::iter)
    }
}

fn dead_in(list: &RuleList) -> Vec<DeadRule<'_>> {
    if list.denies.len() + list.allows.len() > RULES_MAX {
        return Vec::new();
    }
    let cover = |rule: &Rule| list.iter().find(|other| makes_useless(other, rule));
    list.iter().filter_map(|rule| Some(DeadRule { rule, because: cover(rule)? })).collect()
}

/// Whether `rule` has no effect beside `other`.
fn makes_useless(other: &Rule, rule: &Rule) -> bool {
    if std::ptr::eq(other, rule) || !covers(other, rule) {
        return false;
    }
    let stronger = match (other.grant, rule.grant) {
        (Grant::Deny, Grant::Deny) | (Grant::ReadWrite, Grant::ReadWrite) => false,
        (Grant::Deny, _) => return true,
        (_, Grant::Deny) => return false,
        (Grant::ReadWrite, _) => true,
        (other, rule) if other == rule => false,
        _ => return false,
    };
    // where each covers the other, the earlier one stays
    stronger || other.line < rule.line || !covers(rule, other)
}

/// Whether `general` matches every topic that `special` matches, for every client.
fn covers(general: &Rule, special: &Rule) -> bool {
    filter_covers(&general.filter, &special.filter)
        && general.names.iter().all(|name| special.names.contains(name))
}

fn filter_covers(general: &str, special: &str) -> bool {
    // a wildcard in front matches no topic of the broker's own
    if special.starts_with('$') && general.starts_with(['+', '#']) {
        return false;
    }
    // no topic is without levels
    let general = if general == "+/#" { "#" } else { general };
    let mut special = topic::levels(special);
    for level in topic::levels(general) {
        match (level, special.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    special.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dead(text: &str) -> Vec<(usize, usize)> {
        let (acl, _) = Acl::parse(text, "acl").unwrap();
        acl.dead_rules().iter().map(|d| (d.rule.line(), d.because.line())).collect()
    }

    #[test]
    fn rules_that_others_make_useless() {
        for (text, expected) in [
            ("topic a/#\ntopic read a/b", &[(2, 1)][..]),
            ("topic read a/#\ntopic write a/b", &[]),
            ("topic read a/+\ntopic a/b\ntopic read a/b", &[(3, 1)]),
            ("topic deny a/#\ntopic read a/b\ntopic b", &[(2, 1)]),
            ("topic read a/b\ntopic deny a/#", &[(1, 2)]),
            ("topic deny a\ntopic a/#", &[]),
            ("topic a\ntopic a", &[(2, 1)]),
            ("topic a/#\ntopic a", &[(2, 1)]),
            ("topic a/+\ntopic a/#\ntopic +/+", &[(1, 2)]),
            ("topic #\ntopic $SYS/#\ntopic a", &[(3, 1)]),
            ("user a\ntopic x\nuser b\ntopic x", &[]),
            ("pattern a/%u\npattern read a/%u\npattern a/%c", &[(2, 1)]),
            ("pattern a/+\npattern a/%u", &[(2, 1)]),
            ("pattern a/%u\npattern a/+", &[(1, 2)]),
        ] {
            assert_eq!(dead(text), expected, "{text}");
        }
    }

    proptest! {
        /// What one filter covers, it matches.
        #[test]
        fn covering_means_matching(
            general in "([ab+]/){0,3}[ab+#]",
            special in "([ab+]/){0,3}[ab+#]",
            name in "([abc]/){0,3}[abc]",
        ) {
            if filter_covers(&general, &special) && topic::matches(&special, &name) {
                prop_assert!(topic::matches(&general, &name), "{general} {special} {name}");
            }
        }

        /// And what it does not cover, something shows: the other filter with its wildcards spelled out.
        #[test]
        fn not_covering_means_a_topic_escapes(general in "([ab+]/){0,3}[ab+#]", special in "([ab+]/){0,3}[ab+#]") {
            let levels = |n: usize| vec!["z"; n].join("/");
            let plain = special.replace('+', "z");
            let spelled = (1..6).map(|n| plain.replace('#', &levels(n)));
            let parent = plain.strip_suffix("/#").map(str::to_owned);
            let escapes = spelled.chain(parent).any(|name| !topic::matches(&general, &name));
            if !filter_covers(&general, &special) {
                prop_assert!(escapes, "{general} {special}");
            }
        }
    }
}
