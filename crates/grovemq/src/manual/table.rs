//! `docs/tools.md`: the options of the original's tools, and what has become of them.

use crate::flags::{self, Tool};
use std::fmt::Write as _;

/// What is there and not quite as in the original, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("pub, sub, rr", "texts of `--help`", "Own words, from the table of options."),
    ("pub, sub, rr", "`--tls-version tlsv1.1`", "Means at least 1.2: what is older is never spoken."),
    ("pub, sub, rr", "`--ciphers`", "Those of TLS 1.2 that are safe; others are refused by name."),
    (
        "pub, sub, rr",
        "`--insecure`",
        "Leaves out the check of the host's name only, as in the original; the chain is checked.",
    ),
    ("pub, sub, rr", "TLS options without TLS", "A warning: the original passes over them in silence."),
    ("sub", "`--message-rate`", "The line reads `N messages/s`."),
    ("sub", "`--watch`", "1000 rows at most; line ends within a message become blanks."),
    ("rr", "end", "Says good-bye with DISCONNECT, so that no will is sent."),
    (
        "ctrl",
        "wrong connection options",
        "Exit code 1 and the complaint alone: the original goes on and takes the option for a module.",
    ),
    ("ctrl", "`-L`", "The topic may be left out, as there is none to give."),
    ("ctrl", "priorities", "What is no number is refused: the original sends 0 instead."),
    ("ctrl", "`-v`, `-d`", "Show requests and answers, and packets: the original shows nothing."),
    ("ctrl", "`--unix`", "No warning of a connection that is not encrypted."),
    (
        "ctrl",
        "`dynsec init`",
        "The file is readable by its owner only, and the client may use all of `$CONTROL`.",
    ),
    (
        "ctrl",
        "exit codes as `grovemq ctrl`",
        "A refused connection or command is a failure. As `mosquitto_ctrl` the codes are the original's, which are 0 there.",
    ),
    ("ctrl", "modules in shared libraries", "Not loaded."),
    ("dump", "`--json`", "Refused: `grovemq store export` writes JSON lines, of another form."),
    ("dump", "properties", "In one order, whatever the one in the file."),
    ("dump", "control characters in names", "Escaped, so that a terminal does not obey them."),
    (
        "dump",
        "damaged files",
        "The rest is read, what is damaged is named with its place, and the exit code is 1, also where no file can be read.",
    ),
    ("signal", "`xtreport`", "Opens the log files anew: there is no memory report."),
];

pub(super) fn page() -> String {
    let mut text = "# The tools and the original's\n\n<!-- Made from the program's own table of options by `cargo xtask \
                    docs`. -->\n\nEach tool can be called by the original's name, by a link to the program: options, \
                    output and exit codes are then the original's. What follows is what is there, what is refused, and \
                    what differs.\n"
        .to_owned();
    for tool in [Tool::Pub, Tool::Sub, Tool::Rr, Tool::Ctrl] {
        let original = tool.original().unwrap_or_default();
        let _infallible = write!(text, "\n## `{original}`\n\n| option | |\n|---|---|\n");
        for entry in flags::entries(tool) {
            let value = entry.value.map(|value| format!(" {value}")).unwrap_or_default();
            row(&mut text, &format!("`{}{value}`", entry.names.join(", ")), &entry.help);
        }
        for (names, why) in flags::refused(tool) {
            row(&mut text, &format!("`{}`", names.join("`, `")), &format!("**Refused.** {why}"));
        }
    }
    text.push_str("\n## Differences\n\n| tool | what | why |\n|---|---|---|\n");
    for (tool, what, why) in DIFFERENT {
        let _infallible = writeln!(text, "| {tool} | {what} | {why} |");
    }
    text
}

fn row(text: &mut String, name: &str, about: &str) {
    let escaped = |text: &str| text.replace('|', "\\|");
    let _infallible = writeln!(text, "| {} | {} |", escaped(name), escaped(about));
}
