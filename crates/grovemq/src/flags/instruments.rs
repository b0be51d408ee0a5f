//! Options of the tools that the original does not have: `record`, `replay`, `probe`, `bench`, `capture`.

use super::defs::text;
use super::{Action, Flag, Tool, Value};
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What was typed of them.
#[derive(Debug, Default)]
pub(crate) struct LowInstruments {
    pub duration: Option<Duration>,
    pub speed: Option<Speed>,
    pub rewrites: Vec<Rewrite>,
    pub clients: Option<u32>,
    pub publishers: Option<u32>,
    pub ramp: Option<u32>,
    pub rate: Option<Rate>,
    pub size: Option<usize>,
    pub threads: Option<usize>,
    pub listen: Option<String>,
    pub to: Option<String>,
    pub write: Option<OsString>,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast as it was recorded; above zero.
    Times(f64),
    /// As fast as the server takes it.
    Max,
}

/// What `bench` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BenchMode {
    /// Connect, and stay.
    Conn,
    Pub,
    Sub,
}

impl BenchMode {
    pub(crate) fn named(word: &OsStr) -> Option<Self> {
        [Self::Conn, Self::Pub, Self::Sub].into_iter().find(|mode| word == mode.name())
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Conn => "conn",
            Self::Pub => "pub",
            Self::Sub => "sub",
        }
    }
}

/// Messages in a second, of all publishers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// Above zero.
    PerSecond(f64),
    /// The next one when there is room for it.
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
        tools: &[Tool::Probe, Tool::Bench],
        help: "Print the result as JSON.",
        action: Action::Switch(|low| low.json = true),
    },
    Flag {
        short: None,
        long: Some("duration"),
        tools: &[Tool::Record, Tool::Bench],
        help: "End after so many seconds; bench after 10 if not given, counted from the last connection.",
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
    Flag {
        short: None,
        long: Some("clients"),
        tools: BENCH,
        help: "How many clients; 100 if not given.",
        action: value!("number", "no number", "--clients", |low, v| {
            low.instruments.clients = Some(number(v, "--clients", 1..=CLIENTS_MAX)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("publishers"),
        tools: BENCH,
        help: "With sub: how many more clients publish to those who subscribe; 1 if not given, and 0 if others do.",
        action: value!("number", "no number", "--publishers", |low, v| {
            low.instruments.publishers = Some(number(v, "--publishers", 0..=CLIENTS_MAX)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("ramp"),
        tools: BENCH,
        help: "How many connections to begin in a second; 1000 if not given.",
        action: value!("number", "no number", "--ramp", |low, v| {
            low.instruments.ramp = Some(number(v, "--ramp", 1..=CLIENTS_MAX)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("rate"),
        tools: BENCH,
        help: "How many messages to publish in a second, all clients together; 1000 if not given. They go when they are due, \
               whatever became of those before, and latencies count from there. With max the next one goes when the client \
               has room for it.",
        action: value!("number", "no rate", "--rate", |low, v| {
            let is_rate = |rate: &f64| *rate >= f64::MIN_POSITIVE && rate.is_finite();
            let rate = match v.text.to_str() {
                Some("max") => Some(Rate::Max),
                typed => typed.and_then(|typed| typed.parse().ok()).filter(is_rate).map(Rate::PerSecond),
            };
            low.instruments.rate =
                Some(rate.ok_or_else(|| format!("Invalid rate \"{}\".", v.text.display()))?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("size"),
        tools: BENCH,
        help: "Bytes of a payload; 64 if not given, 16 at least.",
        action: value!("bytes", "no size", "--size", |low, v| {
            let size = number(v, "--size", 0..=u32::try_from(crate::payload::BYTES_MAX).unwrap_or(u32::MAX))?;
            low.instruments.size = Some(size as usize);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("threads"),
        tools: BENCH,
        help: "How many threads make the load; 2 if not given.",
        action: value!("number", "no number", "--threads", |low, v| {
            low.instruments.threads = Some(number(v, "--threads", 1..=THREADS_MAX)? as usize);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("listen"),
        tools: CAPTURE,
        help: "Where clients connect, as address:port; 127.0.0.1:1884 if not given.",
        action: value!("place", "no place", "--listen", |low, v| {
            low.instruments.listen = Some(place(v, "--listen")?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("to"),
        tools: CAPTURE,
        help: "The server, as host:port; localhost:1883 if not given.",
        action: value!("place", "no place", "--to", |low, v| {
            low.instruments.to = Some(place(v, "--to")?);
            Ok(())
        }),
    },
    Flag {
        short: Some('w'),
        long: Some("write"),
        tools: CAPTURE,
        help: "Write a pcapng file for Wireshark instead of lines; - is standard output. The packets around the data are made \
               up, and the server's port in them is always 1883.",
        action: value!("file", "no file", "--write", |low, v| {
            low.instruments.write = Some(v.text.clone());
            Ok(())
        }),
    },
];

const CAPTURE: &[Tool] = &[Tool::Capture];
const BENCH: &[Tool] = &[Tool::Bench];
/// More than a process has sockets.
const CLIENTS_MAX: u32 = 1_000_000;
const THREADS_MAX: u32 = 256;

/// Host or address, and port.
fn place(value: Value<'_>, flag: &str) -> Result<String, String> {
    let text = text(value, flag)?;
    let is_place = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    let wrong = || format!("Invalid place \"{text}\" for {flag}: it is host:port.");
    if text.rsplit_once(':').is_some_and(is_place) { Ok(text) } else { Err(wrong()) }
}

fn number(value: Value<'_>, flag: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = value.text.to_str().and_then(|text| text.trim().parse().ok());
    let wrong = || format!("Invalid number \"{}\" for {flag}.", value.text.display());
    number.filter(|number| range.contains(number)).ok_or_else(wrong)
}

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
