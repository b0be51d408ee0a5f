//! Access control lists: files in Mosquitto's grammar, decisions that name their rule.
//!
//! ```text
//! topic read news/#              anonymous clients, until the first `user` line
//! user alice
//! topic readwrite home/#         alice
//! topic deny home/safe           a deny wins over the other rules of its list
//! pattern write sensor/%u/data   everybody; %u and %c stand for user name and client id as a whole level
//! ```
//!
//! A message is checked against the client's own list (its user's, or that of anonymous clients), then against
//! the patterns. What no rule allows is denied, so an empty file denies everything. `read` is the right to be
//! sent a message, `write` the right to publish it; subscribing needs no right.

mod dead;
mod explain;
mod parse;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use dead::DeadRule;
pub use explain::Explanation;
pub use parse::{AclError, AclWarning, Problem};

use crate::text_file;
use grovemq_codec::topic;

/// The largest ACL file read, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// How many errors, and how many warnings, of one file are reported at most.
pub const REPORTS_MAX: usize = 100;

/// The rules of one ACL file.
#[derive(Debug, Default)]
pub struct Acl {
    anonymous: RuleList,
    users: HashMap<Box<str>, RuleList, foldhash::fast::RandomState>,
    patterns: RuleList,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    /// The client identifier in use, an assigned one too.
    pub client_id: &'a str,
    /// `None` for an anonymous client.
    pub username: Option<&'a str>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be sent a message of this topic.
    Read,
    /// To publish (or leave as a will) a message of this topic.
    Write,
}

/// What a rule gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `readwrite`, or no word at all
    ReadWrite,
    /// `deny`: neither, whatever the other rules of the list say
    Deny,
}

/// One line of an ACL file.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    grant: Grant,
    /// What a topic must match; in a pattern each `%u` and `%c` level is a `+` here.
    filter: Box<str>,
    /// A topic that does not begin with this cannot match: the filter up to its first wildcard.
    prefix_bytes: usize,
    /// Level numbers of the filter that must be the asking client's, ascending.
    names: Box<[(usize, Name)]>,
    file: Arc<str>,
    line: usize,
    text: Box<str>,
}

/// Prints as `file:line`.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a>(&'a Rule);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file, self.0.line)
    }
}

/// The answer, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether the client may.
    pub allowed: bool,
    /// The rule that decided; `None` where none did.
    pub rule: Option<&'a Rule>,
    /// Why, in short.
    pub reason: Reason,
}

/// Why a decision was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule of the user's (or the anonymous clients') list, or a pattern.
    Rule,
    /// No rule matches: denied.
    NoRule,
    /// There are patterns, and the user name holds `+` or `#`: denied (CVE-2017-7650).
    DangerousUsername,
    /// There are patterns, and the client id holds `+` or `#`: denied (CVE-2017-7650).
    DangerousClientId,
    /// The topic is empty or holds a wildcard, thus is none that a message can have: denied.
    NotATopic,
}

impl Acl {
    /// Reads and parses a file.
    pub fn load(path: &Path) -> Result<(Acl, Vec<AclWarning>), Vec<AclError>> {
        let file: Arc<str> = path.display().to_string().into();
        let error = |line, problem| vec![AclError { file: Arc::clone(&file), line, problem }];
        let bytes =
            text_file::read(path, FILE_BYTES_MAX).map_err(|e| error(0, Problem::Open(e.to_string())))?;
        let text = text_file::decode(bytes).map_err(|line| error(line, Problem::NotUtf8))?;
        Acl::parse(&text, &file)
    }

    /// Parses the text of a file; `file_name` is what rules, warnings and errors call it.
    ///
    /// Every fault of the file is reported, up to [`REPORTS_MAX`]; one is enough to refuse the file.
    pub fn parse(text: &str, file_name: &str) -> Result<(Acl, Vec<AclWarning>), Vec<AclError>> {
        parse::parse(text, file_name)
    }

    /// Decides. Allocates nothing.
    #[must_use]
    pub fn check(&self, who: &Who<'_>, access: Access, topic: &str) -> Decision<'_> {
        if topic.is_empty() || topic::is_wildcard(topic) {
            return Decision::denied(Reason::NotATopic);
        }
        if let Some(decision) = self.own_rules(who).and_then(|rules| rules.decide(who, access, topic)) {
            return decision;
        }
        if let Some(reason) = self.dangerous_name(who) {
            return Decision::denied(reason);
        }
        self.patterns.decide(who, access, topic).unwrap_or(Decision::denied(Reason::NoRule))
    }

    /// What [`Acl::check`] decides, with every rule it looked at on the way: for people.
    #[must_use]
    pub fn explain<'a>(&'a self, who: Who<'a>, access: Access, topic: &'a str) -> Explanation<'a> {
        Explanation { acl: self, who, access, topic }
    }

    /// Users with a `user` line, in no order.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|name| &**name)
    }

    /// All rules: those for anonymous clients, the users', the patterns.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        [&self.anonymous]
            .into_iter()
            .chain(self.users.values())
            .chain([&self.patterns])
            .flat_map(RuleList::iter)
    }

    /// The client's own list. A user without a `user` line has none; he does not get the anonymous clients'.
    fn own_rules(&self, who: &Who<'_>) -> Option<&RuleList> {
        match who.username {
            None => Some(&self.anonymous),
            Some(name) => self.users.get(name),
        }
    }

    fn dangerous_name(&self, who: &Who<'_>) -> Option<Reason> {
        if self.patterns.is_empty() {
            None
        } else if who.username.is_some_and(topic::is_wildcard) {
            Some(Reason::DangerousUsername)
        } else if topic::is_wildcard(who.client_id) {
            Some(Reason::DangerousClientId)
        } else {
            None
        }
    }
}

impl Access {
    /// `read` or `write`, as in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
        }
    }
}

impl Rule {
    /// What it gives.
    #[must_use]
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// The line as it stands in the file, without blanks around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's name as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// `file:line`, to be printed.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place(self)
    }

    fn gives(&self, access: Access) -> bool {
        match self.grant {
            Grant::Read => access == Access::Read,
            Grant::Write => access == Access::Write,
            Grant::ReadWrite => true,
            Grant::Deny => false,
        }
    }

    fn matches(&self, who: &Who<'_>, topic: &str) -> bool {
        let prefix = self.filter.as_bytes().get(..self.prefix_bytes);
        prefix.is_some_and(|prefix| topic.as_bytes().starts_with(prefix))
            && topic::matches(&self.filter, topic)
            && self.names_match(who, topic)
    }

    /// Whether each `%u` and `%c` level of the topic, which matches the filter otherwise, is the client's own name.
    fn names_match(&self, who: &Who<'_>, topic: &str) -> bool {
        let mut levels = topic::levels(topic).enumerate();
        self.names.iter().all(|(wanted, name)| {
            let level = levels.find(|(index, _)| index == wanted).map_or("", |(_, level)| level);
            let name = match name {
                Name::ClientId => who.client_id,
                Name::Username => who.username.unwrap_or_default(),
            };
            // A name with a `/` is no single level: it gets nothing, and no way around a deny.
            !name.is_empty() && (level == name || (self.grant == Grant::Deny && name.contains('/')))
        })
    }
}

impl Decision<'_> {
    fn denied(reason: Reason) -> Self {
        Decision { allowed: false, rule: None, reason }
    }
}

/// The reason in a sentence, with the rule's place and text.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed: " } else { "denied: " })?;
        match (self.rule, self.reason) {
            (Some(rule), _) => write!(f, "{} `{}`", rule.place(), rule.text),
            (None, reason) => fmt::Display::fmt(&reason, f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Rule => "by a rule",
            Reason::NoRule => "no rule allows it",
            Reason::DangerousUsername => "the user name holds + or #",
            Reason::DangerousClientId => "the client id holds + or #",
            Reason::NotATopic => "this is not the topic of a message (it is empty or holds + or #)",
        })
    }
}

/// Whose name a level must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// `%c`
    ClientId,
    /// `%u`
    Username,
}

/// Rules of which the first that matches decides, and a deny before all.
#[derive(Debug, Default)]
struct RuleList {
    denies: Vec<Rule>,
    allows: Vec<Rule>,
}

impl RuleList {
    fn push(&mut self, rule: Rule) {
        if rule.grant == Grant::Deny { self.denies.push(rule) } else { self.allows.push(rule) }
    }

    fn is_empty(&self) -> bool {
        self.denies.is_empty() && self.allows.is_empty()
    }

    /// In the order in which they are looked at.
    fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.denies.iter().chain(&self.allows)
    }

    fn decide(&self, who: &Who<'_>, access: Access, topic: &str) -> Option<Decision<'_>> {
        let decides =
            |rule: &&Rule| (rule.grant == Grant::Deny || rule.gives(access)) && rule.matches(who, topic);
        self.iter().find(decides).map(|rule| Decision {
            allowed: rule.grant != Grant::Deny,
            rule: Some(rule),
            reason: Reason::Rule,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn acl(text: &str) -> Acl {
        Acl::parse(text, "acl").unwrap_or_else(|errors| panic!("{errors:?}")).0
    }

    fn who<'a>(username: impl Into<Option<&'a str>>, client_id: &'a str) -> Who<'a> {
        Who { client_id, username: username.into() }
    }

    /// Whether, and by which line.
    fn decide(acl: &Acl, who: Who<'_>, access: Access, topic: &str) -> (bool, Option<usize>) {
        let decision = acl.check(&who, access, topic);
        (decision.allowed, decision.rule.map(Rule::line))
    }

    #[test]
    fn each_client_has_its_own_list() {
        let acl = acl(
            "topic read news/#\nuser a b \ntopic write in/+\ntopic x\nuser c\nuser a b\ntopic read y y/z\n",
        );
        let table = [
            (who(None, "i"), Access::Read, "news", (true, Some(1))),
            (who(None, "i"), Access::Read, "news/x/y", (true, Some(1))),
            (who(None, "i"), Access::Write, "news/x", (false, None)),
            (who("a b", "i"), Access::Read, "news/x", (false, None)),
            (who("a b", "i"), Access::Write, "in/x", (true, Some(3))),
            (who("a b", "i"), Access::Write, "in/x/y", (false, None)),
            (who("a b", "i"), Access::Write, "x", (true, Some(4))),
            (who("a b", "i"), Access::Read, "x", (true, Some(4))),
            (who("a b", "i"), Access::Read, "y y/z", (true, Some(7))),
            (who("c", "i"), Access::Read, "x", (false, None)),
            (who("d", "i"), Access::Read, "news/x", (false, None)),
            (who("", "i"), Access::Read, "news/x", (false, None)),
        ];
        for (who, access, topic, expected) in table {
            assert_eq!(decide(&acl, who, access, topic), expected, "{who:?} {access:?} {topic}");
        }
    }

    #[test]
    fn deny_wins_inside_its_list_only() {
        let acl = acl(
            "pattern deny home/%u/safe\npattern read home/%u/#\nuser a\ntopic home/#\ntopic deny home/x\nuser b\ntopic read home/b/safe\n",
        );
        assert_eq!(decide(&acl, who("a", "i"), Access::Read, "home/x"), (false, Some(5)));
        assert_eq!(decide(&acl, who("a", "i"), Access::Write, "home/y"), (true, Some(4)));
        // The user's own rule is found before the pattern's deny.
        assert_eq!(decide(&acl, who("b", "i"), Access::Read, "home/b/safe"), (true, Some(7)));
        assert_eq!(decide(&acl, who("c", "i"), Access::Read, "home/c/safe"), (false, Some(1)));
        assert_eq!(decide(&acl, who("c", "i"), Access::Read, "home/c/door"), (true, Some(2)));
    }

    #[test]
    fn names_fill_whole_levels_literally() {
        let acl =
            acl("pattern write dev/%c/%u/#\npattern read x%c/%u\npattern read %c/#\npattern read a/%u\n");
        let table = [
            (who("u", "c"), Access::Write, "dev/c/u", (true, Some(1))),
            (who("u", "c"), Access::Write, "dev/c/u/x/y", (true, Some(1))),
            (who("u", "c"), Access::Write, "dev/u/c", (false, None)),
            (who("u", "c"), Access::Write, "dev/c", (false, None)),
            // A name that begins as the level does is another name.
            (who("uu", "c"), Access::Write, "dev/c/u", (false, None)),
            (who("u", "c"), Access::Write, "dev/c/uu", (false, None)),
            (who("u", "c"), Access::Read, "xc/u", (false, None)),
            (who("u", "c"), Access::Read, "x%c/u", (true, Some(2))),
            (who(None, "c"), Access::Read, "a/", (false, None)),
            (who("", "c"), Access::Read, "a/", (false, None)),
            (who("u", ""), Access::Read, "/x", (false, None)),
            (who("x/y", "c"), Access::Read, "a/x/y", (false, None)),
            // A client may not name itself into the broker's own topics.
            (who("u", "$SYS"), Access::Read, "$SYS/broker/uptime", (false, None)),
        ];
        for (who, access, topic, expected) in table {
            assert_eq!(decide(&acl, who, access, topic), expected, "{who:?} {access:?} {topic}");
        }
    }

    #[test]
    fn a_name_with_a_slash_does_not_evade_a_deny() {
        let acl = acl("pattern deny secret/%c/#\npattern read secret/#\n");
        assert_eq!(decide(&acl, who("u", "x/y"), Access::Read, "secret/x/y"), (false, Some(1)));
        assert_eq!(decide(&acl, who("u", "x"), Access::Read, "secret/x/y"), (false, Some(1)));
        assert_eq!(decide(&acl, who("u", "z"), Access::Read, "secret/x/y"), (true, Some(2)));
    }

    #[test]
    fn dangerous_names_get_nothing_where_there_are_patterns() {
        let rules = "user +\ntopic read own\n";
        let plain = acl(rules);
        let with_patterns = acl(&format!("{rules}pattern read a/%u\n"));
        for (name, id) in [("+", "i"), ("#", "i"), ("a/#", "i"), ("u+", "i"), ("u", "#"), ("u", "a+")] {
            let decision = with_patterns.check(&who(name, id), Access::Read, "a/b");
            let expected = if name == "u" { Reason::DangerousClientId } else { Reason::DangerousUsername };
            assert_eq!((decision.allowed, decision.reason), (false, expected), "{name} {id}");
            assert_eq!(plain.check(&who(name, id), Access::Read, "a/b").reason, Reason::NoRule);
        }
        // As in the original, a user's own rules come first.
        assert_eq!(decide(&with_patterns, who("+", "i"), Access::Read, "own"), (true, Some(2)));
    }

    #[test]
    fn system_topics_need_a_rule_that_names_them() {
        let acl = acl("topic read #\ntopic read +/x\nuser a\ntopic read $SYS/#\n");
        assert_eq!(decide(&acl, who(None, "i"), Access::Read, "x"), (true, Some(1)));
        assert_eq!(decide(&acl, who(None, "i"), Access::Read, "$SYS/x"), (false, None));
        assert_eq!(decide(&acl, who("a", "i"), Access::Read, "$SYS/x"), (true, Some(4)));
        assert_eq!(decide(&acl, who("a", "i"), Access::Read, "x"), (false, None));
    }

    #[test]
    fn an_empty_file_denies_everything() {
        for text in ["", "\n\r\n", "# nothing\n#topic #\n", "user a\n"] {
            let acl = acl(text);
            for who in [who(None, "i"), who("a", "i")] {
                assert_eq!(acl.check(&who, Access::Read, "x").reason, Reason::NoRule, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_topic_is_denied() {
        let acl = acl("topic #\n");
        for topic in ["", "a/+", "#", "a/#"] {
            assert_eq!(acl.check(&who(None, "i"), Access::Write, topic).reason, Reason::NotATopic);
        }
    }

    #[test]
    fn faults_are_all_reported_with_their_place() {
        let text = "topic\nuser \nfoo bar\ntopic bogus a/b\ntopic read a/#/b\npattern\nuser\tx\n topic a\ntopic\ta\n # x\nTOPIC a\n";
        let errors: Vec<String> =
            Acl::parse(text, "F").unwrap_err().iter().map(ToString::to_string).collect();
        let expected = [
            "Empty topic in acl_file \"F\". (F:1)",
            "Missing username in acl_file \"F\". (F:2)",
            "Invalid line in acl_file \"F\": foo. (F:3)",
            "Invalid topic access type \"bogus\" in acl_file \"F\". (F:4)",
            "Invalid ACL topic \"a/#/b\" in acl_file \"F\". (F:5)",
            "Empty topic in acl_file \"F\". (F:6)",
            "Invalid line in acl_file \"F\": user\tx. (F:7)",
            "Invalid line in acl_file \"F\": topic\ta. (F:9)",
            "Invalid line in acl_file \"F\": #. (F:10)",
            "Invalid line in acl_file \"F\": TOPIC. (F:11)",
        ];
        assert_eq!(errors, expected);
        assert_eq!(Acl::parse(&"x\n".repeat(1000), "F").unwrap_err().len(), REPORTS_MAX);
        let long = Acl::parse(&"x".repeat(100_000), "F").unwrap_err()[0].to_string();
        assert!(long.len() < 300, "{}", long.len());
    }

    #[test]
    fn patterns_without_names_are_warned_of() {
        let text = "pattern read a/+\r\npattern a/%u\npattern deny x%c/b\n";
        let (acl, warnings) = Acl::parse(text, "F").unwrap();
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let expected = [
            "ACL pattern 'a/+' does not contain '%c' or '%u'. (F:1)",
            "ACL pattern 'x%c/b' does not contain '%c' or '%u' as a whole level. (F:3)",
        ];
        assert_eq!(warnings, expected);
        assert_eq!(
            acl.rules().map(Rule::text).collect::<Vec<_>>(),
            ["pattern deny x%c/b", "pattern read a/+", "pattern a/%u"]
        );
    }

    #[test]
    fn explanations_name_the_deciding_rule_and_those_before_it() {
        let acl = acl(
            "user u\ntopic deny a/b\ntopic read a/#\ntopic write b/+\npattern write a/%c/x\npattern write #\n",
        );
        let text = acl.explain(who("u", "i"), Access::Write, "a/j/x").to_string();
        let expected = "user 'u' (client id 'i'), write 'a/j/x'\n\
            allowed: acl:6 `pattern write #`\n\
            \x20 skipped acl:2 `topic deny a/b`: does not match the topic\n\
            \x20 skipped acl:3 `topic read a/#`: matches, but gives read only\n\
            \x20 skipped acl:4 `topic write b/+`: does not match the topic\n\
            \x20 skipped acl:5 `pattern write a/%c/x`: matches the topic for another user or client id\n";
        assert_eq!(text, expected);
        let text = acl.explain(who("u", "i"), Access::Read, "a/b").to_string();
        assert!(text.ends_with("denied: acl:2 `topic deny a/b`\n"), "{text}");
        let text = acl.explain(who("nobody", "i"), Access::Read, "b").to_string();
        assert!(text.contains("denied: no rule allows it\n  user 'nobody' has no `user` line"), "{text}");
        let text = acl.explain(who(None, "#"), Access::Read, "b").to_string();
        assert!(
            text.starts_with("anonymous client (client id '#'), read 'b'\ndenied: the client id holds"),
            "{text}"
        );
    }

    #[test]
    fn loading_tells_where_a_file_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acl");
        let load = || Acl::load(&path).map_err(|errors| errors[0].to_string());
        assert!(load().unwrap_err().starts_with("Unable to open acl_file \""));
        std::fs::write(&path, b"# \xfc\ntopic read a\n").unwrap();
        assert_eq!(load().unwrap().0.rules().count(), 1);
        std::fs::write(&path, b"topic read a\ntopic \xfc\n").unwrap();
        assert!(load().unwrap_err().ends_with("acl:2)"));
    }

    /// The grammar's meaning once more, the long way: each list is walked as the original does, denies first, with
    /// names written into the pattern.
    fn model(lines: &[(Option<&str>, bool, &str, &str)], who: &Who<'_>, access: Access, topic: &str) -> bool {
        let bad = |name: &str| name.contains(['+', '#']);
        for patterns in [false, true] {
            if patterns
                && lines.iter().any(|line| line.1)
                && (who.username.is_some_and(bad) || bad(who.client_id))
            {
                return false;
            }
            let list = lines
                .iter()
                .filter(|(user, pattern, ..)| *pattern == patterns && (patterns || *user == who.username));
            let (denies, allows): (Vec<_>, Vec<_>) = list.partition(|(_, _, grant, _)| *grant == "deny");
            for (_, _, grant, filter) in denies.into_iter().chain(allows) {
                if patterns && filter.contains("%u") && who.username.is_none_or(str::is_empty) {
                    continue;
                }
                let filter = if patterns {
                    filter.replace("%c", who.client_id).replace("%u", who.username.unwrap_or_default())
                } else {
                    (*filter).to_owned()
                };
                if topic::matches(&filter, topic) && (grant == "deny" || grant.contains(access.word())) {
                    return grant != "deny";
                }
            }
        }
        false
    }

    fn filters(patterns: bool) -> impl Strategy<Value = String> {
        let levels: &[&str] =
            if patterns { &["a", "b", "+", "", "%c", "%u"] } else { &["a", "b", "+", "", "$x"] };
        let level = proptest::sample::select(levels.to_vec());
        (proptest::collection::vec(level, 1..4), any::<bool>()).prop_map(|(levels, multi)| {
            let filter = levels.join("/");
            if multi || filter.is_empty() { format!("{filter}/#") } else { filter }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_model(
            lines in proptest::collection::vec(
                (
                    proptest::option::of(proptest::sample::select(vec!["a", "b"])),
                    proptest::sample::select(vec!["read", "write", "readwrite", "deny"]),
                    proptest::option::of(filters(true)),
                    filters(false),
                ),
                0..8,
            ),
            name in proptest::option::of(proptest::sample::select(vec!["a", "b", "c", "", "+", "a/#"])),
            client_id in proptest::sample::select(vec!["a", "b", "id", "#"]),
            topic in "[abx$]{0,1}(/(a|b|id|)){0,3}",
        ) {
            // Anonymous rules can only stand first.
            let mut lines: Vec<_> = lines
                .iter()
                .map(|(user, grant, pattern, filter)| match pattern {
                    Some(pattern) => (*user, true, *grant, pattern.as_str()),
                    None => (*user, false, *grant, filter.as_str()),
                })
                .collect();
            lines.sort_by_key(|(user, ..)| user.is_some());
            let mut text = String::new();
            for (user, pattern, grant, filter) in &lines {
                if let Some(user) = user {
                    writeln!(text, "user {user}").unwrap();
                }
                writeln!(text, "{} {grant} {filter}", if *pattern { "pattern" } else { "topic" }).unwrap();
            }
            let acl = acl(&text);
            let who = who(name, client_id);
            for access in [Access::Read, Access::Write] {
                let decision = acl.check(&who, access, &topic);
                prop_assert_eq!(
                    decision.allowed,
                    !topic.is_empty() && model(&lines, &who, access, &topic),
                    "{}\n{:?} {:?} {:?}: {}", text, who, access, topic, decision
                );
                drop(acl.explain(who, access, &topic).to_string());
            }
        }

        #[test]
        fn parsing_never_panics(text in "((user|topic|pattern|read|deny|#|%u|%c|[ /+a-z\t\r\né$]){0,3}\n?){0,20}") {
            drop(Acl::parse(&text, "F"));
        }
    }
}
