//! `grovemq`: one program, many names.
//!
//! The first argument says which command is meant (`grovemq pub …`), or the name by which the program is called
//! does (`mosquitto_pub …`, by a link).
// only `static_names` has some, which is a part of static programs and of tests
#![cfg_attr(not(all(target_env = "gnu", any(target_feature = "crt-static", test))), forbid(unsafe_code))]

mod bench;
#[cfg(unix)]
mod board;
mod broker;
mod capture;
mod check;
mod colour;
mod ctrl;
mod dump;
mod exit;
mod flags;
mod format;
mod json;
mod keys;
mod lab;
mod manual;
mod passwd;
mod payload;
mod probe;
mod publish;
mod record;
mod recording;
mod replay;
mod screen;
mod service;
mod signal;
mod srv;
#[cfg(all(target_env = "gnu", any(target_feature = "crt-static", test)))]
mod static_names;
mod store;
mod subscribe;
mod tally;
mod thing;
mod tools;
mod top;
mod tree;
mod up;
mod watch;

use exit::Exit;
use flags::Tool;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// One command of the program.
struct Command {
    name: &'static str,
    /// The name of the original that this is called by as well.
    original: Option<&'static str>,
    /// For the list of commands.
    about: &'static str,
    run: fn(&Call) -> Exit,
    help: Help,
    /// What can stand where no option does.
    words: &'static [&'static str],
}

/// What a command tells about itself.
#[derive(Clone, Copy, Debug)]
enum Help {
    /// The options are in the table.
    Table(Tool),
    /// The text for a program called so.
    Text(fn(&str) -> String),
}

const COMMANDS: &[Command] = &[
    Command {
        name: "up",
        original: None,
        about: "Run a broker and a thing on a simulated board, to try it all",
        run: up::run,
        help: Help::Text(up::help),
        words: &[],
    },
    Command {
        name: "broker",
        original: Some("mosquitto"),
        about: "Run the MQTT broker",
        run: broker::run,
        help: Help::Text(broker::help),
        words: &[],
    },
    Command {
        name: "check",
        original: None,
        about: "Check a configuration of the broker",
        run: check::run,
        help: Help::Text(check::help),
        words: &[],
    },
    Command {
        name: "pub",
        original: Some("mosquitto_pub"),
        about: "Publish a message",
        run: tools::run_pub,
        help: Help::Table(Tool::Pub),
        words: &[],
    },
    Command {
        name: "sub",
        original: Some("mosquitto_sub"),
        about: "Subscribe to topics and print the messages that come",
        run: tools::run_sub,
        help: Help::Table(Tool::Sub),
        words: &[],
    },
    Command {
        name: "rr",
        original: Some("mosquitto_rr"),
        about: "Publish a request and print the response",
        run: tools::run_rr,
        help: Help::Table(Tool::Rr),
        words: &[],
    },
    Command {
        name: "record",
        original: None,
        about: "Record messages and their times into a file",
        run: tools::run_record,
        help: Help::Table(Tool::Record),
        words: &[],
    },
    Command {
        name: "replay",
        original: None,
        about: "Play a recording, at any speed",
        run: tools::run_replay,
        help: Help::Table(Tool::Replay),
        words: &[],
    },
    Command {
        name: "probe",
        original: None,
        about: "Find out what a server supports and allows",
        run: tools::run_probe,
        help: Help::Table(Tool::Probe),
        words: &[],
    },
    Command {
        name: "bench",
        original: None,
        about: "Make load on a server and tell how long things take",
        run: tools::run_bench,
        help: Help::Table(Tool::Bench),
        words: &["conn", "pub", "sub"],
    },
    Command {
        name: "capture",
        original: None,
        about: "Show the packets that pass between clients and a server",
        run: tools::run_capture,
        help: Help::Table(Tool::Capture),
        words: &[],
    },
    Command {
        name: "top",
        original: None,
        about: "Watch topics, their last values and rates, and the server, on a terminal",
        run: tools::run_top,
        help: Help::Table(Tool::Top),
        words: &[],
    },
    Command {
        name: "passwd",
        original: Some("mosquitto_passwd"),
        about: "Manage the users of a password file",
        run: passwd::run,
        help: Help::Text(passwd::help),
        words: &[],
    },
    Command {
        name: "ctrl",
        original: Some("mosquitto_ctrl"),
        about: "Administer a running broker: clients, roles, listeners",
        run: ctrl::run,
        help: Help::Table(Tool::Ctrl),
        words: &[],
    },
    Command {
        name: "signal",
        original: Some("mosquitto_signal"),
        about: "Tell a running broker to reload, to show its subscriptions, or to end",
        run: signal::run,
        help: Help::Text(signal::help),
        words: &["config-reload", "log-rotate", "shutdown", "tree-print", "xtreport"],
    },
    Command {
        name: "store",
        original: None,
        about: "Look at, check, export or fill a broker's store",
        run: store::run,
        help: Help::Text(store::help),
        words: &["stats", "check", "dump", "export", "import"],
    },
    Command {
        name: "dump",
        original: Some("mosquitto_db_dump"),
        about: "Print a mosquitto.db as text, chunk by chunk",
        run: dump::run,
        help: Help::Text(dump::help),
        words: &[],
    },
    Command {
        name: "thing",
        original: None,
        about: "Run a thing: sensors and actuators on a GrovePi board, or on a simulated one",
        run: thing::run,
        help: Help::Text(thing::help),
        words: &["check", "schema"],
    },
    Command {
        name: "lab",
        original: None,
        about: "Run one of the lab's scenarios: a broker and things on simulated boards",
        run: lab::run,
        help: Help::Text(lab::help),
        words: lab::NAMES,
    },
    #[cfg(unix)]
    Command {
        name: "board",
        original: None,
        about: "Run a simulated GrovePi board by itself, to play on and to look at",
        run: board::run,
        help: Help::Text(board::help),
        words: &[],
    },
    Command {
        name: "completions",
        original: None,
        about: "Print what makes bash, zsh or fish complete commands and options",
        run: manual::run_completions,
        help: Help::Text(manual::completions_help),
        words: &["bash", "zsh", "fish"],
    },
    Command {
        name: "man",
        original: None,
        about: "Print a page of the manual",
        run: manual::run_man,
        help: Help::Text(manual::man_help),
        words: &[],
    },
];

/// How a command was called.
pub(crate) struct Call {
    /// As the user knows the command, for its messages.
    program: String,
    /// Called by the name of the original, and therefore just like it.
    by_original_name: bool,
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    if !static_names::ask_files_and_dns() {
        // with others a lookup could end the program anywhere
        complain("Error: Unable to tell the C library where to look up names.");
        return Exit::FAILURE.into();
    }
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    run(&called, args.collect()).into()
}

fn run(called: &OsStr, args: Vec<OsString>) -> Exit {
    let called = Path::new(called).file_stem().unwrap_or_default();
    if let Some(command) = COMMANDS.iter().find(|c| c.original.is_some_and(|name| called == name)) {
        let program = command.original.unwrap_or_default().to_owned();
        return (command.run)(&Call { program, by_original_name: true, args });
    }
    let mut args = args.into_iter();
    let Some(first) = args.next() else {
        complain(HELP_HINT);
        return Exit::USAGE;
    };
    match (first.to_str(), args.next()) {
        (Some("help"), Some(topic)) => dispatch(&topic, vec!["--help".into()]),
        (Some("help" | "--help" | "-h"), _) => print(&help()),
        (Some("--version" | "-V"), _) => print(&format!("grovemq {}\n", env!("CARGO_PKG_VERSION"))),
        (_, second) => dispatch(&first, second.into_iter().chain(args).collect()),
    }
}

fn dispatch(name: &OsStr, args: Vec<OsString>) -> Exit {
    let known = |command: &&Command| name == command.name || command.original.is_some_and(|o| name == o);
    if let Some(command) = COMMANDS.iter().find(known) {
        let program = format!("grovemq {}", command.name);
        return (command.run)(&Call { program, by_original_name: false, args });
    }
    let shown = name.to_string_lossy();
    complain(&format!("Error: Unknown command '{shown}'."));
    if let Some(near) = nearest(&shown, COMMANDS.iter().map(|command| command.name)) {
        complain(&format!("Did you mean '{near}'?"));
    }
    complain(HELP_HINT);
    Exit::USAGE
}

const HELP_HINT: &str = "Use 'grovemq --help' to see the commands.";

fn help() -> String {
    let mut text =
        "GroveMQ: MQTT for things, in one program.\n\nUsage: grovemq command [options]\n\n".to_owned();
    for command in COMMANDS {
        let _infallible = writeln!(text, "  {:13}{}", command.name, command.about);
    }
    text.push_str("\nUse 'grovemq help command' to see its options.\n");
    let names: Vec<&str> = COMMANDS.iter().filter_map(|command| command.original).collect();
    let _infallible = writeln!(text, "A link to this program named {} is that command.", names.join(", "));
    text
}

/// Prints to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::FAILURE,
        _ => Exit::OK,
    }
}

/// A line to standard error. With nobody there to read it, the exit code has to do.
fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// The candidate that a mistyped word most likely meant.
fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(typed, candidate);
    let near = |candidate: &&str| distance(candidate) <= 1 + candidate.len() / 4;
    candidates.filter(near).min_by_key(|candidate| distance(candidate))
}

/// A runtime of one thread, the one that runs it.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs a command on a runtime of its own.
fn block_on(command: impl Future<Output = Exit>) -> Exit {
    match runtime() {
        Ok(runtime) => {
            let exit = runtime.block_on(command);
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            complain(&format!("Error: {error}"));
            Exit::FAILURE
        }
    }
}

/// Resolves when the process is asked to end.
#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

/// Resolves when the process is asked to end.
#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_in_the_help_once() {
        let help = help();
        for command in COMMANDS {
            let lines = help.lines().filter(|line| line.trim_start().starts_with(command.name)).count();
            assert_eq!(lines, 1, "{}\n{help}", command.name);
        }
    }

    #[test]
    fn a_slip_of_the_fingers_is_understood() {
        let names = || COMMANDS.iter().map(|command| command.name);
        assert_eq!(nearest("pbu", names()), Some("pub"));
        assert_eq!(nearest("paswd", names()), Some("passwd"));
        assert_eq!(nearest("entirely-else", names()), None);
    }

    #[test]
    fn names_decide() {
        let call =
            |called: &str, args: &[&str]| run(called.as_ref(), args.iter().map(OsString::from).collect());
        assert_eq!(call("grovemq", &["pbu"]), Exit::USAGE);
        assert_eq!(call("grovemq", &["help", "nothing"]), Exit::USAGE);
        assert_eq!(call("/usr/bin/mosquitto_pub", &["--nonsense"]), Exit::FAILURE);
        assert_eq!(call("grovemq", &["mosquitto_pub", "--nonsense"]), Exit::FAILURE);
    }
}
