//! Runs a case with either tool and compares.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use grovemq_tests::{Broker, Finished, Program, Relay, SOON, peers};

use crate::case::{Case, Tool, words};

/// Cases under way at a time: most of them wait most of the time.
const PARALLEL: usize = 4;
const SUBACK: u8 = 9;

/// Runs a table; fails with every difference found in it.
#[track_caller]
pub(crate) fn compare(cases: &[Case]) {
    let runs: Vec<(Case, bool)> = cases
        .iter()
        .flat_map(|case| [(*case, false), (*case, true)])
        .filter(|(case, v5)| case.also_v5 || !v5)
        .collect();
    let rest = Mutex::new(runs.iter());
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let Some((case, v5)) = rest.lock().unwrap().next() else { break };
                    let found = difference(case, *v5);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(
        differences.is_empty(),
        "{} of {} runs differ\n\n{}",
        differences.len(),
        runs.len(),
        differences.join("\n")
    );
}

/// What came of one run.
struct Outcome {
    end: Finished,
    /// Sorted: acknowledgements may overtake each other.
    packets: Vec<String>,
}

fn difference(case: &Case, v5: bool) -> Option<String> {
    let theirs = outcome(case, v5, peers::debian);
    let ours = outcome(case, v5, peers::ours);
    let mut found = Vec::new();
    let mut same = |what: &str, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
        let (theirs, ours) = (format!("{theirs:?}"), format!("{ours:?}"));
        if theirs != ours {
            found.push(format!("  {what}\n    theirs {theirs}\n    ours   {ours}"));
        }
    };
    same("exit code", &theirs.end.code, &ours.end.code);
    if let Some(why) = case.own_words {
        let speaks = |end: &Finished| !(end.stdout.is_empty() && end.stderr.is_empty());
        same(&format!("says something (own words: {why})"), &speaks(&theirs.end), &speaks(&ours.end));
    } else {
        let shown = |text: String| if case.digits_differ { without_digits(&text) } else { text };
        if case.own_usage {
            same("stdout is empty", &theirs.end.stdout.is_empty(), &ours.end.stdout.is_empty());
        } else {
            same("stdout", &shown(theirs.end.text()), &shown(ours.end.text()));
        }
        same("stderr", &shown(first_line(&theirs.end.stderr)), &shown(first_line(&ours.end.stderr)));
        if !case.digits_differ {
            same("packets", &theirs.packets, &as_theirs(&theirs.packets, ours.packets));
        }
    }
    let version = if v5 { " -V mqttv5" } else { "" };
    (!found.is_empty()).then(|| format!("{:?}: {}{version}\n{}\n", case.tool, case.args, found.join("\n")))
}

fn outcome(case: &Case, v5: bool, tool: impl Fn(&str) -> Command) -> Outcome {
    let broker = Broker::debian();
    let relay = Relay::to(broker.port());
    for args in case.before {
        debian_publishes(broker.port(), args);
    }
    let mut command = tool(match case.tool {
        Tool::Publisher => "mosquitto_pub",
        Tool::Subscriber => "mosquitto_sub",
        Tool::Requester => "mosquitto_rr",
    });
    let port = relay.port().to_string();
    if !case.args.contains("{port}") {
        command.args(["-p", &port]);
    }
    command.args(words(&case.args.replace("{port}", &port)));
    if v5 {
        command.args(["-V", "mqttv5"]);
    }
    // no file of defaults that the machine's user may have
    command.env("HOME", broker.dir()).env_remove("XDG_CONFIG_HOME").current_dir(broker.dir());
    let mut program = Program::start(&mut command);
    program.type_bytes(case.stdin.as_bytes());
    program.close_stdin();
    if !case.then.is_empty() && relay.wait_for_answer(SUBACK, SOON) {
        for args in case.then {
            debian_publishes(broker.port(), args);
        }
    }
    let end = program.finish(SOON);
    relay.settle(SOON);
    let mut packets: Vec<String> = relay.from_client().iter().map(|packet| show(packet)).collect();
    packets.sort();
    if case.tool == Tool::Requester && end.code == 0 {
        // the original goes without a word once it has its response, which would set off the will
        packets.retain(|packet| !packet.starts_with("\\xe0"));
    }
    Outcome { end, packets }
}

/// Ours, where a CONNECT or a PUBLISH is taken for theirs if only the order of its bytes differs: properties and members have no order.
pub(crate) fn as_theirs(theirs: &[String], ours: Vec<String>) -> Vec<String> {
    let sorted = |packet: &str| {
        let mut bytes = packet.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let same = |packet: &str| {
        theirs.iter().find(|their| {
            (their.starts_with("\\x10") || their.starts_with(['0', '2', '4']))
                && sorted(their) == sorted(packet)
        })
    };
    ours.into_iter().map(|packet| same(&packet).cloned().unwrap_or(packet)).collect()
}

/// Debian's publisher does its work and ends well.
pub(crate) fn debian_publishes(port: u16, args: &str) {
    let mut command = peers::debian("mosquitto_pub");
    command.args(["-p", &port.to_string()]).args(words(args));
    Program::run(&mut command, b"", Duration::from_secs(10)).success();
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// Each run of digits becomes one `#`.
fn without_digits(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
        if !(c == '#' && shown.ends_with('#')) {
            shown.push(c);
        }
    }
    shown
}

/// Bytes for people: what can be printed, and the rest as `\x..`.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn digits_are_folded() {
    assert_eq!(without_digits("a12b3.45"), "a#b#.#");
}
