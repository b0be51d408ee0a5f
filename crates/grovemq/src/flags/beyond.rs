//! Options of `pub`, `sub` and `rr` that the original does not have.

use super::{Action, Flag, Tool};
use crate::colour;
use crate::tally::CountBy;
use std::time::Duration;

const RECEIVING: &[Tool] = &[Tool::Sub, Tool::Rr];

/// A day: who waits longer has made a mistake.
const RETRY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        short: None,
        long: Some("retry-connect"),
        tools: &[Tool::Pub],
        help: "Try for so many seconds to connect before giving up, where the server is not there yet.",
        action: value!("seconds", "no time", "--retry-connect", |low, v| {
            let seconds = v.text.to_str().and_then(|text| text.trim().parse().ok());
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let wrong = || format!("Invalid time \"{}\" for --retry-connect.", v.text.display());
            low.retry_connect = Some(time.filter(|time| *time <= RETRY_MAX).ok_or_else(wrong)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("json"),
        tools: RECEIVING,
        help: "Print each message as a line of JSON; its payload as JSON if it is, else as text, else as \
               {\"base64\":…}.",
        action: Action::Switch(|low| low.json = true),
    },
    Flag {
        short: None,
        long: Some("count-by"),
        tools: &[Tool::Sub],
        help: "Print no messages, but in the end how many there were, by topic or by first-level of the topic.",
        action: value!("what", "nothing to count by", "--count-by", |low, v| {
            low.count_by = Some(match v.text.to_str() {
                Some("topic") => CountBy::Topic,
                Some("first-level") => CountBy::FirstLevel,
                _ => return Err(format!("Unknown value '{}' for --count-by.", v.text.display())),
            });
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("color"),
        tools: &[Tool::Sub, Tool::Rr, Tool::Probe, Tool::Capture],
        help: "When to print in colour: always, never or auto, which is on a terminal unless NO_COLOR is set.",
        action: value!("when", "no option", "--color", |low, v| {
            low.colour = Some(match v.text.to_str() {
                Some("auto") => colour::When::Auto,
                Some("always") => colour::When::Always,
                Some("never") => colour::When::Never,
                _ => return Err(format!("Unknown value '{}' for --color.", v.text.display())),
            });
            Ok(())
        }),
    },
];
