//! The grammar of ACL files.

use std::fmt;
use std::sync::Arc;

use grovemq_codec::topic;

use super::{Acl, Grant, Name, REPORTS_MAX, Rule, RuleList};

/// A fault that makes an ACL file unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclError {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with an ACL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The file cannot be read; the system's reason.
    Open(String),
    /// The line is not UTF-8.
    NotUtf8,
    /// The line begins with this word instead of `user`, `topic` or `pattern`.
    UnknownWord(String),
    /// `user` without a name.
    MissingUsername,
    /// `topic` or `pattern` with nothing behind it.
    EmptyTopic,
    /// A filter with blanks needs an access word before it; this one is none.
    UnknownAccess(String),
    /// Not a valid topic filter.
    InvalidFilter(String),
}

/// Something in an ACL file that works, but hardly as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclWarning {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// The pattern.
    pub pattern: Box<str>,
    /// Whether `%c` or `%u` stands in it, but not as a whole level.
    pub partial: bool,
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AclError { file, line, problem } = self;
        match problem {
            Problem::Open(reason) => return write!(f, "Unable to open acl_file \"{file}\": {reason}"),
            Problem::NotUtf8 => write!(f, "Invalid line in acl_file \"{file}\": not UTF-8")?,
            Problem::UnknownWord(word) => write!(f, "Invalid line in acl_file \"{file}\": {word}.")?,
            Problem::MissingUsername => write!(f, "Missing username in acl_file \"{file}\".")?,
            Problem::EmptyTopic => write!(f, "Empty topic in acl_file \"{file}\".")?,
            Problem::UnknownAccess(word) => {
                write!(f, "Invalid topic access type \"{word}\" in acl_file \"{file}\".")?;
            }
            Problem::InvalidFilter(filter) => {
                write!(f, "Invalid ACL topic \"{filter}\" in acl_file \"{file}\".")?;
            }
        }
        write!(f, " ({file}:{line})")
    }
}

impl std::error::Error for AclError {}

impl fmt::Display for AclWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AclWarning { file, line, pattern, partial } = self;
        write!(f, "ACL pattern '{pattern}' does not contain '%c' or '%u'")?;
        write!(f, "{} ({file}:{line})", if *partial { " as a whole level." } else { "." })
    }
}

pub(super) fn parse(text: &str, file_name: &str) -> Result<(Acl, Vec<AclWarning>), Vec<AclError>> {
    let file: Arc<str> = file_name.into();
    let mut acl = Acl::default();
    let mut user: Option<&str> = None;
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    for (line, content) in (1..).zip(text.split('\n')) {
        match parse_line(content) {
            Ok(Line::Nothing) => {}
            Ok(Line::User(name)) => user = Some(name),
            Ok(Line::Topic(grant, filter)) => {
                let list = match user {
                    None => &mut acl.anonymous,
                    Some(name) => list_of(&mut acl.users, name),
                };
                let prefix_bytes = prefix_bytes(filter);
                let text = trim_end(content).into();
                let (names, filter) = (Box::default(), filter.into());
                list.push(Rule { grant, filter, prefix_bytes, names, file: Arc::clone(&file), line, text });
            }
            Ok(Line::Pattern(grant, pattern)) => {
                let (filter, names) = split_pattern(pattern);
                if names.is_empty() && warnings.len() < REPORTS_MAX {
                    let partial = pattern.contains("%c") || pattern.contains("%u");
                    warnings.push(AclWarning {
                        file: Arc::clone(&file),
                        line,
                        pattern: pattern.into(),
                        partial,
                    });
                }
                let prefix_bytes = prefix_bytes(&filter);
                let text = trim_end(content).into();
                let file = Arc::clone(&file);
                acl.patterns.push(Rule { grant, filter, prefix_bytes, names, file, line, text });
            }
            Err(problem) => errors.push(AclError { file: Arc::clone(&file), line, problem }),
        }
        if errors.len() >= REPORTS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok((acl, warnings)) } else { Err(errors) }
}

/// A line's meaning.
enum Line<'a> {
    Nothing,
    User(&'a str),
    Topic(Grant, &'a str),
    Pattern(Grant, &'a str),
}

/// Words are set apart by spaces, not tabs; a `#` is a comment in the first place only.
fn parse_line(line: &str) -> Result<Line<'_>, Problem> {
    if line.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let Some((word, rest)) = split_word(trim_end(line)) else { return Ok(Line::Nothing) };
    match word {
        "user" if rest.trim_start_matches(BLANKS).is_empty() => Err(Problem::MissingUsername),
        "user" => Ok(Line::User(rest.trim_matches(BLANKS))),
        "topic" => parse_rule(rest).map(|(grant, filter)| Line::Topic(grant, filter)),
        "pattern" => parse_rule(rest).map(|(grant, filter)| Line::Pattern(grant, filter)),
        other => Err(Problem::UnknownWord(shorten(other))),
    }
}

/// What follows `topic` or `pattern`: a filter by itself, or an access word and a filter, which may hold blanks.
fn parse_rule(rest: &str) -> Result<(Grant, &str), Problem> {
    let (word, rest) = split_word(rest).ok_or(Problem::EmptyTopic)?;
    let filter = rest.trim_matches(BLANKS);
    let (grant, filter) = match (word, filter) {
        (only, "") => (Grant::ReadWrite, only),
        ("read", filter) => (Grant::Read, filter),
        ("write", filter) => (Grant::Write, filter),
        ("readwrite", filter) => (Grant::ReadWrite, filter),
        ("deny", filter) => (Grant::Deny, filter),
        (other, _) => return Err(Problem::UnknownAccess(shorten(other))),
    };
    if topic::validate_filter(filter).is_err() {
        return Err(Problem::InvalidFilter(shorten(filter)));
    }
    Ok((grant, filter))
}

/// The first word and what follows its space; `None` where there is no word.
fn split_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(' ');
    if text.is_empty() { None } else { Some(text.split_once(' ').unwrap_or((text, ""))) }
}

/// The filter with a `+` for each level that is `%c` or `%u`, and those levels.
fn split_pattern(pattern: &str) -> (Box<str>, Box<[(usize, Name)]>) {
    let mut names = Vec::new();
    let levels: Vec<&str> = topic::levels(pattern)
        .enumerate()
        .map(|(index, level)| {
            let name = match level {
                "%c" => Name::ClientId,
                "%u" => Name::Username,
                other => return other,
            };
            names.push((index, name));
            "+"
        })
        .collect();
    (levels.join("/").into(), names.into())
}

/// How long the part before the first wildcard is, without the `/` before it: `a/#` matches `a` too.
fn prefix_bytes(filter: &str) -> usize {
    let literal = filter.split(['+', '#']).next().unwrap_or(filter);
    if literal.len() == filter.len() {
        literal.len()
    } else {
        literal.strip_suffix('/').unwrap_or(literal).len()
    }
}

fn list_of<'a>(
    users: &'a mut std::collections::HashMap<Box<str>, RuleList, foldhash::fast::RandomState>,
    name: &str,
) -> &'a mut RuleList {
    users.entry(name.into()).or_default()
}

/// As much of a faulty word as an error message should repeat.
fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}

const BLANKS: [char; 6] = [' ', '\t', '\r', '\n', '\x0b', '\x0c'];

fn trim_end(line: &str) -> &str {
    line.trim_end_matches(BLANKS)
}
