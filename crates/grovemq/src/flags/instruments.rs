//! Options of the tools that the original does not have: `record`, `replay`, `probe`.

use super::defs::text;
use super::{Action, Flag, Tool};
use std::time::Duration;

/// What was typed of them.
#[derive(Debug, Default)]
pub(crate) struct LowInstruments {
    pub duration: Option<Duration>,
    pub speed: Option<Speed>,
    pub rewrites: Vec<Rewrite>,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast as it was recorded; above zero.
    Times(f64),
    /// As fast as the server takes it.
    Max,
}

/// One beginning of topics for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    from: String,
    to: String,
}

impl Rewrite {
    /// The topic with its new beginning, if it begins with whole levels of the old one.
    pub(crate) fn apply(&self, topic: &str) -> Option<String> {
        let rest = topic.strip_prefix(&self.from)?;
        let is_whole = self.from.is_empty() || self.from.ends_with('/');
        (is_whole || rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", self.to))
    }
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        short: None,
        long: Some("json"),
        tools: &[Tool::Probe],
        help: "Print the result as JSON.",
        action: Action::Switch(|low| low.json = true),
    },
    Flag {
        short: None,
        long: Some("duration"),
        tools: &[Tool::Record],
        help: "End after so many seconds.",
        action: value!("seconds", "no time", "--duration", |low, v| {
            let seconds = v.text.to_str().and_then(|text| text.trim().parse().ok());
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let wrong = || format!("Invalid time \"{}\" for --duration.", v.text.display());
            low.instruments.duration = Some(time.filter(|time| *time <= DURATION_MAX).ok_or_else(wrong)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("speed"),
        tools: &[Tool::Replay],
        help: "How fast: 2 is twice as fast as recorded (1 if not given), max as fast as the server takes it.",
        action: value!("factor", "no speed", "--speed", |low, v| {
            let times = |text: &str| text.parse().ok().filter(|times| *times > 0.0 && f64::is_finite(*times));
            let speed = match v.text.to_str() {
                Some("max") => Some(Speed::Max),
                typed => typed.and_then(times).map(Speed::Times),
            };
            low.instruments.speed =
                Some(speed.ok_or_else(|| format!("Invalid speed \"{}\".", v.text.display()))?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("topic"),
        tools: &[Tool::Replay],
        help: "Play topics that begin with FROM as TO, such as plant/a=test; an empty FROM is before every topic. May be \
               repeated; the first that fits is taken.",
        action: value!("FROM=TO", "no topics", "--topic", |low, v| {
            let text = text(v, "--topic")?;
            let (from, to) = text.split_once('=').ok_or("--topic needs FROM=TO.")?;
            low.instruments.rewrites.push(Rewrite { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        }),
    },
];

/// A year: who waits longer has made a mistake.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_levels_are_rewritten() {
        for (from, to, topic, result) in [
            ("a", "x/y", "a", Some("x/y")),
            ("a", "x/y", "a/b", Some("x/y/b")),
            ("a", "x/y", "ab", None),
            ("a/", "x-", "a/b", Some("x-b")),
            ("", "x/", "a", Some("x/a")),
            ("a/b", "", "a/b/c", Some("/c")),
        ] {
            let rewrite = Rewrite { from: from.to_owned(), to: to.to_owned() };
            assert_eq!(rewrite.apply(topic).as_deref(), result, "{from}={to} {topic}");
        }
    }
}
