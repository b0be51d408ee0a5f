//! `grovemq signal`, and `mosquitto_signal` by its own name: tells running brokers to do something.

use crate::Call;
use crate::exit::Exit;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a broker can be told, and how.
const WISHES: &[(&str, Wish, &str)] = &[
    ("config-reload", Wish::Named(Signal::SIGHUP), "read the configuration and its files again"),
    ("log-rotate", Wish::Named(Signal::SIGHUP), "the same, which opens the log files anew"),
    ("shutdown", Wish::Named(Signal::SIGINT), "end in good order"),
    ("tree-print", Wish::Named(Signal::SIGUSR2), "print who is subscribed to what"),
    ("xtreport", Wish::RealTime, "the original: write a memory report; GroveMQ: open the log files anew"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Named(Signal),
    /// The first real-time signal.
    RealTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    All,
    One(i32),
}

pub(crate) fn run(call: &Call) -> Exit {
    if call.args.is_empty() || call.args.iter().any(|a| a == "--help") {
        let printed = crate::print(&help(&call.program));
        // the original takes a question for a failure
        return if call.by_original_name || call.args.is_empty() { Exit::FAILURE } else { printed };
    }
    let (whom, wish) = match parse(&call.args) {
        Ok(parsed) => parsed,
        Err(text) => {
            crate::complain(&text);
            return Exit::FAILURE;
        }
    };
    let failed = match whom {
        Whom::One(pid) => send(pid, wish)
            .map_err(|e| crate::complain(&format!("Error sending signal to process {pid}: {e}")))
            .is_err(),
        Whom::All => send_to_all(wish),
    };
    // the original has done its part by trying
    if failed && !call.by_original_name { Exit::FAILURE } else { Exit::OK }
}

fn parse(args: &[OsString]) -> Result<(Whom, Wish), String> {
    let mut whom = None;
    let mut args = args.iter().map(|a| a.to_string_lossy()).peekable();
    while let Some(option) = args.next_if(|a| a == "-a" || a == "-p") {
        whom = Some(if option == "-a" {
            Whom::All
        } else {
            let pid = args.next().ok_or("Error: -p argument given but process ID missing.")?;
            let pid = pid.parse().ok().filter(|pid| *pid > 0);
            Whom::One(pid.ok_or("Error: Process ID must be >0.")?)
        });
    }
    let whom = whom.ok_or("Error: One of -a or -p must be used.")?;
    let name = args.next().ok_or("Error: No signal given.")?;
    let wish = WISHES.iter().find(|(known, ..)| *known == name);
    let (_, wish, _) = wish.ok_or_else(|| format!("Error: Unknown signal '{name}'."))?;
    Ok((whom, *wish))
}

pub(crate) fn help(program: &str) -> String {
    let mut text = format!(
        "Usage: {program} -a|-p PID SIGNAL\n\nTells a running broker to do something.\n\n \
         -a      tell every broker on this machine\n \
         -p PID  tell this process\n     \
             --help  show this help\n\nSignals:\n"
    );
    for (name, _, about) in WISHES {
        let _infallible = writeln!(text, " {name:14} {about}");
    }
    text
}

fn send(pid: i32, wish: Wish) -> Result<(), String> {
    match wish {
        Wish::Named(signal) => kill(Pid::from_raw(pid), signal).map_err(|e| e.desc().to_string()),
        Wish::RealTime => {
            let mut command = Command::new("kill");
            command.arg(format!("-{}", libc::SIGRTMIN())).arg(pid.to_string()).stderr(Stdio::null());
            match command.status() {
                Ok(status) if status.success() => Ok(()),
                Ok(_) => Err("it did not take the signal".into()),
                Err(e) => Err(e.to_string()),
            }
        }
    }
}

/// `true` if some process could not be told.
fn send_to_all(wish: Wish) -> bool {
    let entries = match std::fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(e) => {
            crate::complain(&format!("Error reading /proc: {e}."));
            return true;
        }
    };
    let mut failed = false;
    for entry in entries.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if is_broker(&line)
            && let Err(e) = send(pid, wish)
        {
            crate::complain(&format!("Unable to signal process {pid}: {e}"));
            failed = true;
        }
    }
    failed
}

/// Whether a command line, its words ended by zeros, is that of a broker.
fn is_broker(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|b| *b == 0).map(String::from_utf8_lossy);
    let program = words.next().unwrap_or_default();
    match Path::new(&*program).file_name().and_then(|name| name.to_str()) {
        Some("mosquitto") => true,
        Some("grovemq") => words.next().is_some_and(|word| word == "broker" || word == "mosquitto"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Whom, Wish), String> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_originals_words() {
        for (line, error) in [
            ("--invalid", "Error: One of -a or -p must be used."),
            ("-p", "Error: -p argument given but process ID missing."),
            ("-p 0", "Error: Process ID must be >0."),
            ("-p x", "Error: Process ID must be >0."),
            ("-p 7", "Error: No signal given."),
            ("-a", "Error: No signal given."),
            ("-p 7 invalid", "Error: Unknown signal 'invalid'."),
        ] {
            assert_eq!(parsed(line), Err(error.to_string()), "{line}");
        }
        assert_eq!(parsed("-p 7 shutdown"), Ok((Whom::One(7), Wish::Named(Signal::SIGINT))));
        assert_eq!(parsed("-a config-reload"), Ok((Whom::All, Wish::Named(Signal::SIGHUP))));
    }

    #[test]
    fn brokers_are_known_by_their_command_line() {
        for (line, expected) in [
            ("mosquitto\0-v\0", true),
            ("/usr/sbin/mosquitto\0", true),
            ("/opt/grovemq\0broker\0-c\0x\0", true),
            ("grovemq\0pub\0-t\0broker\0", false),
            ("mosquitto_pub\0", false),
            ("", false),
        ] {
            assert_eq!(is_broker(line.as_bytes()), expected, "{line:?}");
        }
    }
}
