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

mod explain;
mod parse;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

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
