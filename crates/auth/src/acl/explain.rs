//! A decision laid out for people: the rule that decided and those passed over.

use std::fmt;

use super::{Access, Acl, Decision, Grant, Reason, Rule, Who};

/// How many passed-over rules are listed at most.
const SKIPPED_MAX: usize = 50;

/// A decision with the way to it; printed, several lines of text.
#[derive(Debug, Clone, Copy)]
pub struct Explanation<'a> {
    pub(super) acl: &'a Acl,
    pub(super) who: Who<'a>,
    pub(super) access: Access,
    pub(super) topic: &'a str,
}

impl<'a> Explanation<'a> {
    /// The decision itself.
    #[must_use]
    pub fn decision(&self) -> Decision<'a> {
        self.acl.check(&self.who, self.access, self.topic)
    }

    /// The rules looked at before the decision fell (all that apply to the client, where none decided), each with
    /// the reason why it did not decide.
    pub fn skipped(&self) -> impl Iterator<Item = (&'a Rule, &'static str)> {
        let decision = self.decision();
        let Explanation { acl, who, access, topic } = *self;
        let own = acl.own_rules(&who).into_iter().flat_map(super::RuleList::iter);
        let patterns_count = if names_refused(decision.reason) { 0 } else { usize::MAX };
        let topic_count = if decision.reason == Reason::NotATopic { 0 } else { usize::MAX };
        own.chain(acl.patterns.iter().take(patterns_count))
            .take(topic_count)
            .take_while(move |rule| !decision.rule.is_some_and(|deciding| std::ptr::eq(deciding, *rule)))
            .map(move |rule| (rule, why_skipped(rule, &who, access, topic)))
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { acl, who, access, topic } = self;
        let decision = self.decision();
        match who.username {
            Some(name) => write!(f, "user '{name}'")?,
            None => f.write_str("anonymous client")?,
        }
        writeln!(f, " (client id '{}'), {} '{topic}'", who.client_id, access.word())?;
        writeln!(f, "{decision}")?;
        if let Some(name) = who.username
            && acl.own_rules(who).is_none()
        {
            writeln!(f, "  user '{name}' has no `user` line: only patterns apply")?;
        }
        let mut skipped = self.skipped();
        for (rule, reason) in skipped.by_ref().take(SKIPPED_MAX) {
            writeln!(f, "  skipped {} `{}`: {reason}", rule.place(), rule.text())?;
        }
        let more = skipped.count();
        if more > 0 { writeln!(f, "  and {more} more") } else { Ok(()) }
    }
}

fn names_refused(reason: Reason) -> bool {
    matches!(reason, Reason::DangerousUsername | Reason::DangerousClientId)
}

fn why_skipped(rule: &Rule, who: &Who<'_>, access: Access, topic: &str) -> &'static str {
    if !grovemq_codec::topic::matches(&rule.filter, topic) {
        "does not match the topic"
    } else if !rule.names_match(who, topic) {
        "matches the topic for another user or client id"
    } else if rule.grant() != Grant::Deny && access == Access::Write {
        "matches, but gives read only"
    } else {
        "matches, but gives write only"
    }
}
