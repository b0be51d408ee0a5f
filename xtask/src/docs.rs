//! The reference of the configuration file, as a page and as a man page, from the one table of directives; and what the
//! program tells about itself: its man pages and completions.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use grovemq_config::table::{Kind, Need, OPTIONS, Opt, Repeat, Scope, Support};

/// Where a chapter of the table begins, its title, and what there is to know about all of it.
const CHAPTERS: &[(&str, &str, &str)] = &[
    ("include_dir", "General, logging, process", ""),
    (
        "allow_anonymous",
        "Security",
        "With `per_listener_settings true` these belong to the listener above them, else to the whole broker.",
    ),
    ("max_inflight_messages", "Limits, queues, protocol", ""),
    ("persistence", "Persistence", ""),
    (
        "listener",
        "Listeners",
        "Each line belongs to the `listener` line above it. Without any listener the broker serves port 1883 of this \
         machine only, and everybody on it.",
    ),
    ("connection", "Bridges", "Each line belongs to the `connection` line above it."),
];

const FORM: &[&str] = &[
    "One directive stands on each line: its name, a space, its value. A `#` in the first column makes a comment; there \
     are no comments behind a value. Blank lines mean nothing.",
    "A truth value is `true` or `false`, also `1` or `0`. A number may be decimal, `0x` hexadecimal or `0` octal.",
    "SIGHUP, `grovemq signal config-reload`, makes the broker read its configuration and all files named in it again. With \
     any mistake nothing changes, and the log names each mistake with its place. Clients stay connected: what they were \
     promised when they connected (packet size, QoS, keep-alive, aliases, window) holds until they go, all else at once. \
     Messages that wait for a client which may no longer read them are dropped. A listener that is no longer configured \
     closes its door, and who came in stays until he goes. Told and closed are: clients whose user or password the password \
     file no longer has, clients without a user name where `allow_anonymous` has become false, and all clients of a listener \
     whose `protocol`, `mount_point`, use of TLS, of client certificates, of the PROXY protocol or of names in place of ids \
     has changed.",
    "`grovemq check FILE` tells all mistakes of a file with their places, and with `--effective` what the file amounts to.",
];

/// Lines of the example are not longer.
const COMMENT_COLUMNS: usize = 110;

const PAGE: &str = "docs/mosquitto.conf.md";
const MAN_PAGE: &str = "docs/man/mosquitto.conf.5";
const OTHER_MAN_PAGE: &str = "docs/man/grovemq.conf.5";

pub(crate) fn run(args: &[&str]) -> anyhow::Result<bool> {
    ensure!(args.is_empty(), "`cargo xtask docs` takes no arguments");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no repository above xtask")?;
    for (name, text) in files() {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("{name}");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut program = Command::new(cargo);
    program.args(["run", "--quiet", "--package", "grovemq", "--", "man", "--all", "docs"]).current_dir(root);
    ensure!(program.status()?.success(), "the program does not write its manual");
    Ok(true)
}

/// What is generated: names in the repository, and contents.
fn files() -> [(&'static str, String); 3] {
    [(PAGE, page()), (MAN_PAGE, man_page()), (OTHER_MAN_PAGE, ".so man5/mosquitto.conf.5\n".into())]
}

fn page() -> String {
    let mut text = String::from("# mosquitto.conf\n\nThe configuration file of the broker.\n");
    text.push_str("<!-- Made from the table of directives by `cargo xtask docs`. -->\n");
    for paragraph in FORM {
        let _infallible = write!(text, "\n{paragraph}\n");
    }
    for (option, chapter) in by_chapter() {
        if let Some((title, intro)) = chapter {
            let _infallible = write!(text, "\n## {title}\n");
            if !intro.is_empty() {
                let _infallible = write!(text, "\n{intro}\n");
            }
        }
        let _infallible =
            write!(text, "\n### `{}`\n\n{}\n", synopsis(option), option.help.replace('*', "\\*"));
        let facts = facts(option);
        if !facts.is_empty() {
            let _infallible = write!(text, "\n{}\n", facts.join(" "));
        }
    }
    text
}

fn man_page() -> String {
    let mut text = String::from(".\\\" Made from the table of directives by `cargo xtask docs`.\n");
    text.push_str(".TH MOSQUITTO.CONF 5 \"\" GroveMQ \"File formats\"\n.SH NAME\n");
    text.push_str("mosquitto.conf, grovemq.conf \\- configuration file of the broker\n.SH DESCRIPTION\n");
    for (n, paragraph) in FORM.iter().enumerate() {
        let _infallible = writeln!(text, "{}{}", if n > 0 { ".PP\n" } else { "" }, roff(paragraph));
    }
    for (option, chapter) in by_chapter() {
        if let Some((title, intro)) = chapter {
            let _infallible = writeln!(text, ".SH \"{}\"", title.to_uppercase());
            if !intro.is_empty() {
                let _infallible = writeln!(text, "{}", roff(intro));
            }
        }
        let _infallible = write!(text, ".TP\n.B {}\n{}\n", roff(&synopsis(option)), roff(option.help));
        for fact in facts(option) {
            let _infallible = writeln!(text, "{}", roff(&fact));
        }
    }
    text.push_str(".SH \"SEE ALSO\"\n.BR mosquitto (8),\n.BR mosquitto_passwd (1)\n");
    text
}

/// A configuration file of comments alone, to take lines from.
pub(crate) fn example() -> String {
    let mut text = String::from("# Every directive there is. The manual says more: man mosquitto.conf\n");
    for (option, chapter) in by_chapter() {
        if let Some((title, intro)) = chapter {
            let rule = "=".repeat(title.chars().count());
            let _infallible = write!(text, "\n# {rule}\n# {title}\n# {rule}\n");
            comment(&mut text, intro);
        }
        text.push('\n');
        for paragraph in [option.help.to_owned(), facts(option).join(" ")] {
            comment(&mut text, &paragraph.replace("**", ""));
        }
        let value =
            option.default.split_whitespace().next().filter(|_| option.default.is_ascii()).unwrap_or("…");
        let _infallible = writeln!(text, "#{} {value}", option.name);
    }
    text
}

/// A paragraph as lines of comments.
fn comment(text: &mut String, paragraph: &str) {
    let mut length = usize::MAX;
    for word in paragraph.split_whitespace() {
        let width = word.chars().count() + 1;
        if length.saturating_add(width) > COMMENT_COLUMNS {
            text.push_str(if length == usize::MAX { "#" } else { "\n#" });
            length = 1;
        }
        text.push(' ');
        text.push_str(word);
        length += width;
    }
    if length != usize::MAX {
        text.push('\n');
    }
}

type Chapter = (&'static str, &'static str);

/// Each directive, and the chapter that begins with it.
fn by_chapter() -> impl Iterator<Item = (&'static Opt, Option<Chapter>)> {
    OPTIONS.iter().map(|option| {
        let chapter = CHAPTERS.iter().find(|(first, ..)| *first == option.name);
        (option, chapter.map(|(_, title, intro)| (*title, *intro)))
    })
}

fn synopsis(option: &Opt) -> String {
    let value = match option.kind() {
        Kind::Anything => "…".into(),
        Kind::Bool => "true|false".into(),
        Kind::Int { .. } => "NUMBER".into(),
        Kind::Text => "TEXT".into(),
        Kind::Choice(words) => words.join("|"),
        Kind::Words(form) => form.into(),
    };
    format!("{} {value}", option.name)
}

/// All else there is to say, a sentence each.
fn facts(option: &Opt) -> Vec<String> {
    let mut facts = Vec::new();
    match option.support {
        Support::Supported => {}
        Support::NoEffect(reason) => facts.push(format!("**Accepted without effect:** {reason}")),
        Support::Refused(instead) => facts.push(format!("**Refused.** {instead}")),
    }
    if let Some(instead) = option.deprecated {
        facts.push(format!("**Deprecated.** {instead}").trim_end().into());
    }
    if !option.default.is_empty() {
        facts.push(format!("Default: `{}`.", option.default));
    }
    match option.kind() {
        Kind::Int { min: i32::MIN, max: i32::MAX } => {}
        Kind::Int { min: i32::MIN, max } => facts.push(format!("At most {max}.")),
        Kind::Int { min, max: i32::MAX } => facts.push(format!("At least {min}.")),
        Kind::Int { min, max } => facts.push(format!("From {min} to {max}.")),
        _ => {}
    }
    match option.scope {
        Scope::Listener(Need::OrDefault) => {
            facts.push("Without a listener above, it is about port 1883.".into());
        }
        Scope::Listener(Need::NotDefault) => facts.push("Not for the default listener.".into()),
        Scope::Plugin => facts.push("Belongs to the plugin above it.".into()),
        Scope::Global | Scope::Listener(Need::Defined) | Scope::Security | Scope::Bridge => {}
    }
    match option.repeat {
        Repeat::Last | Repeat::LastWarned => {}
        Repeat::Error => facts.push("May stand in one place only once.".into()),
        Repeat::Adds => facts.push("May be repeated.".into()),
    }
    if !option.aliases.is_empty() {
        let names: Vec<String> = option.aliases.iter().map(|name| format!("`{name}`")).collect();
        facts.push(format!("Also called {}.", names.join(", ")));
    }
    if option.support == Support::Supported {
        facts.push(on_reload(option).into());
    }
    facts
}

fn on_reload(option: &Opt) -> &'static str {
    match option.name {
        _ if !option.reload => "A change takes effect after a restart.",
        "password_file" | "acl_file" | "certfile" | "keyfile" | "cafile" | "capath" | "crlfile" => {
            "A reload reads the file again."
        }
        _ => "A reload takes it over.",
    }
}

/// Text for troff: no character of it is a command, and our few marks become its fonts.
fn roff(text: &str) -> String {
    let mut out = String::new();
    let mut bold = false;
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace("**", "`");
    for c in escaped.chars() {
        if c == '`' {
            bold = !bold;
            out.push_str(if bold { "\\fB" } else { "\\fR" });
        } else {
            out.push(c);
        }
    }
    if out.starts_with(['.', '\'']) { format!("\\&{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_those_of_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, text) in files() {
            let committed = std::fs::read_to_string(root.join(name)).unwrap_or_default();
            assert!(committed == text, "{name} is out of date: run `cargo xtask docs`");
        }
    }

    #[test]
    fn each_chapter_and_directive_is_there_once() {
        let page = page();
        for (_, title, _) in CHAPTERS {
            assert_eq!(page.matches(&format!("\n## {title}\n")).count(), 1, "{title}");
        }
        assert_eq!(page.matches("\n### `").count(), OPTIONS.len());
        assert_eq!(man_page().matches("\n.TP\n").count(), OPTIONS.len());
    }

    #[test]
    fn the_example_is_comments_with_each_directive_once() {
        let example = example();
        for line in example.lines() {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
            assert!(line.chars().count() <= COMMENT_COLUMNS + 1 || !line.contains(' '), "{line}");
        }
        for option in OPTIONS {
            let start = format!("#{} ", option.name);
            assert_eq!(example.lines().filter(|line| line.starts_with(&start)).count(), 1, "{start}");
        }
        assert!(example.contains("\n# ========\n# Security\n# ========\n"));
    }

    #[test]
    fn text_is_no_command_of_troff() {
        assert_eq!(roff(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(roff("a `b-c` \\ **Refused.** d"), "a \\fBb\\-c\\fR \\e \\fBRefused.\\fR d");
    }
}
