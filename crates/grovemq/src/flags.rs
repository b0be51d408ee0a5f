//! The options of the tools as a table: what parses them also writes their help.
//!
//! An option is a [`Flag`]; [`flags`] lists them all. [`parse`] turns a command line into [`Low`], which says
//! what was typed; [`high`] makes of it what is to be done.

/// An option that takes a value and complains about itself by the given name.
macro_rules! value {
    ($name:literal, $missing:literal, $complains_as:literal, $apply:expr) => {
        Action::Value { name: $name, missing: $missing, complains_as: $complains_as, apply: $apply }
    };
}

mod beyond;
mod defs;
pub(crate) mod file;
pub(crate) mod high;
pub(crate) mod instruments;
mod low;
mod property;
pub(crate) mod transport;

pub(crate) use low::{Low, LowProperties, Source};

use crate::manual::Entry;

use grovemq_client::Qos;
use std::ffi::OsString;
use std::fmt::Write as _;

/// A tool that takes options from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Pub,
    Sub,
    Rr,
    Record,
    Replay,
    Probe,
    Bench,
    Capture,
    Top,
    Ctrl,
}

/// The original's tools for messages.
const ORIGINALS: &[Tool] = &[Tool::Pub, Tool::Sub, Tool::Rr];
/// All that connect to a server.
const CLIENTS: &[Tool] = &[
    Tool::Pub,
    Tool::Sub,
    Tool::Rr,
    Tool::Ctrl,
    Tool::Record,
    Tool::Replay,
    Tool::Probe,
    Tool::Bench,
    Tool::Top,
];
/// All of the table.
const ALL: &[Tool] = &[
    Tool::Pub,
    Tool::Sub,
    Tool::Rr,
    Tool::Ctrl,
    Tool::Record,
    Tool::Replay,
    Tool::Probe,
    Tool::Bench,
    Tool::Capture,
    Tool::Top,
];

impl Tool {
    /// The tool in a few words, for its help.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Pub => "publishes a message, or one per line of its input, and ends.",
            Self::Sub => "subscribes to topics and prints the messages that come.",
            Self::Rr => "publishes a request and prints the response.",
            Self::Record => "writes messages and their times into a file, as lines of JSON.",
            Self::Replay => "plays a recording: the same messages, in the same rhythm or faster.",
            Self::Bench => {
                "makes load on a server and tells how long things take. %i in the topic is the client's number."
            }
            Self::Capture => {
                "stands between clients and a server and shows the packets that pass, or writes them for Wireshark."
            }
            Self::Top => "shows what passes over a server: topics, their last values and their rates.",
            Self::Probe => "finds out what a server speaks, supports and allows.",
            Self::Ctrl => "looks after a running broker: who may do what, and what it listens on.",
        }
    }

    pub(crate) const fn usage(self) -> &'static str {
        match self {
            Self::Pub => "[options] -t topic {-m message | -f file | -l | -n | -s}",
            Self::Sub => "[options] -t topic ...",
            Self::Rr => "[options] -t topic -e response-topic {-m message | -f file | -n | -s}",
            Self::Record | Self::Replay => "[options] file",
            Self::Probe => "[options] [host]",
            Self::Capture | Self::Top => "[options]",
            Self::Bench => "{conn | pub | sub} [options]",
            Self::Ctrl => "[options] [module command [argument ...]]",
        }
    }

    /// The quality of service where none is given.
    const fn qos(self) -> Qos {
        match self {
            Self::Ctrl => Qos::AtLeastOnce,
            _ => Qos::AtMostOnce,
        }
    }

    /// Its name at the original, and that of its file of options.
    pub(crate) const fn original(self) -> Option<&'static str> {
        match self {
            Self::Pub => Some("mosquitto_pub"),
            Self::Sub => Some("mosquitto_sub"),
            Self::Rr => Some("mosquitto_rr"),
            Self::Ctrl => Some("mosquitto_ctrl"),
            Self::Record | Self::Replay | Self::Probe | Self::Bench | Self::Capture | Self::Top => None,
        }
    }

    /// How many arguments it takes that are no options.
    const fn operands_max(self) -> usize {
        match self {
            Self::Record | Self::Replay | Self::Probe | Self::Bench => 1,
            _ => 0,
        }
    }

    /// Whether this argument is none of the options.
    fn is_operand(self, typed: &OsString) -> bool {
        self.operands_max() > 0 && (typed == "-" || !typed.as_encoded_bytes().starts_with(b"-"))
    }
}

/// One option.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Without the dash.
    pub short: Option<char>,
    /// Without the dashes.
    pub long: Option<&'static str>,
    pub tools: &'static [Tool],
    /// For help: one sentence, or a few.
    pub help: &'static str,
    pub action: Action,
}

/// What an option takes and does.
#[derive(Debug)]
pub(crate) enum Action {
    Switch(fn(&mut Low)),
    /// Says where the payload comes from.
    Source(Source),
    Value {
        /// How help names the value.
        name: &'static str,
        /// How the error names it when it is missing, and the option itself where that is not as typed.
        missing: &'static str,
        complains_as: &'static str,
        apply: fn(&mut Low, Value<'_>) -> Result<(), String>,
    },
    /// `-D command name [key] value`
    Property,
    /// `-o file`, which [`mod@file`] has looked for before.
    OptionsFile,
    Help,
    Version,
}

/// The value of an option, with the tool that got it (some mean different things by one letter).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    pub tool: Tool,
    pub text: &'a OsString,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Box<Low>),
    Help,
    Version,
}

/// A wrong option: the line to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint(pub(crate) String);

impl Complaint {
    /// The usual kind, which begins with "Error:".
    pub(crate) fn error(text: &str) -> Self {
        Self(format!("Error: {text}"))
    }
}

impl From<String> for Complaint {
    fn from(text: String) -> Self {
        Self::error(&text)
    }
}

/// Server and login of a URL, as `-L` takes it.
pub(crate) fn set_url(low: &mut Low, tool: Tool, url: &str) -> Result<(), String> {
    transport::set_url(low, Value { tool, text: &url.into() })
}

/// Reads a tool's arguments from left to right; the first wrong one ends it.
pub(crate) fn parse(tool: Tool, args: &[OsString]) -> Result<Parsed, Complaint> {
    let mut low = Low { qos: tool.qos(), ..Low::default() };
    let mut rest = args.iter();
    while let Some(typed) = rest.next() {
        if tool.is_operand(typed) && low.operands.len() < tool.operands_max() {
            low.operands.push(typed.clone());
            continue;
        }
        if tool == Tool::Ctrl && !typed.as_encoded_bytes().starts_with(b"-") {
            low.operands = std::iter::once(typed).chain(rest).cloned().collect();
            break;
        }
        let Some(flag) = typed.to_str().and_then(|typed| find(tool, typed)) else {
            return Err(unknown(tool, &typed.to_string_lossy()));
        };
        match &flag.action {
            Action::Help => return Ok(Parsed::Help),
            Action::Version => return Ok(Parsed::Version),
            Action::Switch(apply) => apply(&mut low),
            Action::Source(source) => defs::set_source(&mut low, source.clone())?,
            Action::Value { missing, complains_as, apply, .. } => {
                let Some(text) = rest.next() else {
                    return Err(format!("{complains_as} argument given but {missing} specified.").into());
                };
                apply(&mut low, Value { tool, text })?;
            }
            Action::Property => property::parse(&mut rest, &mut low)?,
            Action::OptionsFile => {
                rest.next().ok_or_else(file::missing)?;
            }
        }
    }
    Ok(Parsed::Run(Box::new(low)))
}

/// The options of a tool, in the order in which help shows them.
fn flags(tool: Tool) -> impl Iterator<Item = &'static Flag> {
    [defs::FLAGS, beyond::FLAGS, instruments::FLAGS, transport::FLAGS]
        .into_iter()
        .flatten()
        .filter(move |flag| flag.tools.contains(&tool))
}

/// The options of a tool, as people see them.
pub(crate) fn entries(tool: Tool) -> Vec<Entry> {
    let entry = |flag: &Flag| {
        let value = match &flag.action {
            Action::Value { name, .. } => Some(*name),
            Action::Property => Some("command name [key] value"),
            Action::OptionsFile => Some("file"),
            _ => None,
        };
        let short = flag.short.map(|short| format!("-{short}"));
        let long = flag.long.map(|long| format!("--{long}"));
        Entry {
            names: short.into_iter().chain(long).collect(),
            value: value.map(str::to_owned),
            help: flag.help.to_owned(),
        }
    };
    flags(tool).map(entry).collect()
}

/// The options of the original that a tool has not, and why.
pub(crate) fn refused(tool: Tool) -> Vec<(&'static [&'static str], &'static str)> {
    let refused = defs::REFUSED.iter().filter(|refused| refused.tools.contains(&tool));
    refused.map(|refused| (refused.names, refused.why)).collect()
}

/// The help of a tool called `program`.
pub(crate) fn help(tool: Tool, program: &str) -> String {
    let mut out = format!("{program} {}\n\nUsage: {program} {}\n\n", tool.about(), tool.usage());
    for entry in entries(tool) {
        let value = entry.value.map(|value| format!(" {value}")).unwrap_or_default();
        let is_long = entry.names.iter().all(|name| name.starts_with("--"));
        let indent = if is_long { "    " } else { "" };
        write_entry(&mut out, &format!("{indent}{}{value}", entry.names.join(", ")), &entry.help);
    }
    if matches!(tool, Tool::Sub | Tool::Rr) {
        out.push('\n');
        out.push_str(crate::format::HELP);
    }
    out
}

const HELP_COLUMN: usize = 34;
const HELP_WIDTH: usize = 100;

/// Two columns: the names, and the help wrapped beside or below them.
fn write_entry(out: &mut String, names: &str, help: &str) {
    let mut line = format!("  {names}");
    if line.len() + 2 > HELP_COLUMN {
        out.push_str(&line);
        out.push('\n');
        line.clear();
    }
    let mut is_first = true;
    for word in help.split(' ') {
        if is_first {
            let padded = HELP_COLUMN;
            line = format!("{line:padded$}{word}");
            is_first = false;
        } else if line.len() + 1 + word.len() > HELP_WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = format!("{:HELP_COLUMN$}{word}", "");
        } else {
            let _infallible = write!(line, " {word}");
        }
    }
    out.push_str(&line);
    out.push('\n');
}

fn find(tool: Tool, typed: &str) -> Option<&'static Flag> {
    let long = typed.strip_prefix("--").filter(|long| !long.is_empty());
    let mut letters = typed.strip_prefix('-').unwrap_or_default().chars();
    let short = letters.next().filter(|_| letters.next().is_none());
    let is_it =
        |flag: &&Flag| (long.is_some() && flag.long == long) || (short.is_some() && flag.short == short);
    flags(tool).find(is_it)
}

fn unknown(tool: Tool, typed: &str) -> Complaint {
    let mut text = format!("Unknown option '{typed}'.");
    let refused = defs::REFUSED.iter().find(|r| r.tools.contains(&tool) && r.names.contains(&typed));
    if let Some(refused) = refused {
        let _infallible = write!(text, "\n{}", refused.why);
    } else if let Some(typed) = typed.strip_prefix("--") {
        let longs = flags(tool).filter_map(|flag| flag.long);
        if let Some(near) = crate::nearest(typed, longs) {
            let _infallible = write!(text, "\nDid you mean '--{near}'?");
        }
    }
    text.into()
}

#[cfg(test)]
mod tests;
