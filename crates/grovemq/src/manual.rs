//! `man` and `completions`: the program tells about itself, in the forms that other programs want.
//!
//! What the tools' table and the help texts say is all there is; nothing is written twice.

mod completions;
mod table;

use crate::exit::Exit;
use crate::flags::{self, Tool};
use crate::{COMMANDS, Call, Command, Help, ctrl};
use std::fmt::Write as _;
use std::path::Path;

/// An option as help, manual and completions show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// With their dashes.
    pub names: Vec<String>,
    /// How the value is called, where there is one.
    pub value: Option<String>,
    pub help: String,
}

impl Command {
    /// The options, from the table or from the text.
    fn entries(&self) -> Vec<Entry> {
        match self.help {
            Help::Table(tool) => flags::entries(tool),
            Help::Text(text) => entries_of(&text("")),
        }
    }

    /// Programs that run and run are in another section of the manual.
    fn section(&self) -> u8 {
        if self.name == "broker" { 8 } else { 1 }
    }

    fn page_name(&self) -> String {
        format!("grovemq-{}.{}", self.name, self.section())
    }
}

/// `man`
pub(crate) fn run_man(call: &Call) -> Exit {
    match &*call.args {
        [option, dir] if option == "--all" => write_all(Path::new(dir)),
        [name] if name != "--help" => match COMMANDS.iter().find(|command| name == command.name) {
            Some(command) => crate::print(&page(command)),
            None => misused(call, &format!("There is no command '{}'.", name.display())),
        },
        [] => crate::print(&overview()),
        [_] => crate::print(&man_help(&call.program)),
        _ => misused(call, "Which page?"),
    }
}

/// `completions`
pub(crate) fn run_completions(call: &Call) -> Exit {
    let [shell] = &*call.args else { return misused(call, "For which shell?") };
    match shell.to_str() {
        Some("--help") => crate::print(&completions_help(&call.program)),
        Some("bash") => crate::print(&completions::bash()),
        Some("zsh") => crate::print(&completions::zsh()),
        Some("fish") => crate::print(&completions::fish()),
        _ => misused(call, &format!("There is nothing for '{}': bash, zsh or fish.", shell.display())),
    }
}

fn misused(call: &Call, what: &str) -> Exit {
    crate::complain(&format!("Error: {what}\n\nUse '{} --help' to see usage.", call.program));
    Exit::USAGE
}

pub(crate) fn man_help(program: &str) -> String {
    format!(
        "Usage: {program} [command]\n       {program} --all DIR\n\n\
         Prints a page of the manual, to be read with 'man -l -' for instance.\n\n \
         --all DIR   write all pages into this directory, and all completions beside them\n     \
             --help  show this help\n"
    )
}

pub(crate) fn completions_help(program: &str) -> String {
    format!(
        "Usage: {program} bash|zsh|fish\n\n\
         Prints what makes a shell complete the commands and options of all programs of GroveMQ.\n\
         Bash: put 'source <(grovemq completions bash)' into ~/.bashrc. Zsh: save it as _grovemq in a directory of\n\
         $fpath. Fish: save it as ~/.config/fish/completions/grovemq.fish.\n\n     \
             --help  show this help\n"
    )
}

/// All generated files, by their places below a directory.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = vec![("man/grovemq.1".to_owned(), overview())];
    for command in COMMANDS {
        files.push((format!("man/{}", command.page_name()), page(command)));
        if let Some(original) = command.original {
            let section = command.section();
            let link = format!(".so man{section}/{}\n", command.page_name());
            files.push((format!("man/{original}.{section}"), link));
        }
    }
    files.push(("tools.md".to_owned(), table::page()));
    files.push(("completions/grovemq.bash".to_owned(), completions::bash()));
    files.push(("completions/_grovemq".to_owned(), completions::zsh()));
    files.push(("completions/grovemq.fish".to_owned(), completions::fish()));
    files
}

fn write_all(dir: &Path) -> Exit {
    for (name, text) in files() {
        let path = dir.join(&name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = made.and_then(|()| std::fs::write(&path, text)) {
            crate::complain(&format!("Error: {}: {error}.", path.display()));
            return Exit::FAILURE;
        }
        crate::print(&format!("{name}\n"));
    }
    Exit::OK
}

fn overview() -> String {
    let mut text = head("GROVEMQ", 1);
    text.push_str(
        ".SH NAME\ngrovemq \\- MQTT for things, in one program\n.SH SYNOPSIS\n.B grovemq\n.I command\n",
    );
    text.push_str("[options]\n.SH COMMANDS\n");
    for command in COMMANDS {
        let about = command.about;
        let _infallible = write!(text, ".TP\n.B {}\n{}.", roff(command.name), roff(about));
        if let Some(original) = command.original {
            let _infallible = write!(text, " Also as\n.BR {} .", roff(original));
        }
        text.push('\n');
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    let pages: Vec<String> = COMMANDS
        .iter()
        .map(|command| format!(".BR {} ({})", roff(&format!("grovemq-{}", command.name)), command.section()))
        .collect();
    text + &pages.join(",\n") + ",\n.BR mosquitto.conf (5)\n"
}

fn page(command: &Command) -> String {
    let name = format!("grovemq-{}", command.name);
    let mut text = head(&name.to_uppercase(), command.section());
    let original = command.original.map(|original| format!(", {original}")).unwrap_or_default();
    let names = roff(&format!("{name}{original}"));
    let _infallible = write!(text, ".SH NAME\n{names} \\- {}\n", roff(command.about));
    let program = format!("grovemq {}", command.name);
    match command.help {
        Help::Text(help) => {
            text.push_str(".SH SYNOPSIS\n");
            let help = help(&program);
            let usage = help.lines().skip_while(|line| !line.starts_with("Usage:"));
            preformatted(&mut text, usage.take_while(|line| !line.is_empty()).map(without_usage));
            text.push_str(".SH DESCRIPTION\n");
            preformatted(&mut text, help.lines());
        }
        Help::Table(tool) => {
            let _infallible = write!(text, ".SH SYNOPSIS\n.B {}\n{}\n", roff(&program), roff(tool.usage()));
            let _infallible =
                write!(text, ".SH DESCRIPTION\n.B {}\n{}\n", roff(&program), roff(tool.about()));
            options(&mut text, tool);
        }
    }
    if command.name == "broker" {
        text.push_str(WILDCARDS);
    }
    text.push_str(".SH \"SEE ALSO\"\n.BR grovemq (1)\n");
    text
}

/// What people look up in the broker's page, where the original has it, too.
const WILDCARDS: &str = r#".SH "WILDCARD TOPIC SUBSCRIPTIONS"
A topic is a row of levels with / between them, such as kitchen/oven/temperature. A message is published to one topic. A
subscription may have wildcards in place of levels:
.TP
.B +
stands for one level, whatever it is. kitchen/+/temperature gets the temperature of each device in the kitchen, and +/+/+
everything with three levels.
.TP
.B #
stands for this level and all that follow, and for none: kitchen/# gets kitchen, kitchen/oven and
kitchen/oven/temperature. It has to be the last level.
.PP
A wildcard is a whole level: kitch+ and kitchen# are refused. Levels may be empty: /kitchen has two, so + does not get it, but
/+ and +/+ do. Topics that begin with $, such as $SYS/broker/uptime, are got by no wildcard in the first level: subscribe to
$SYS/# for them.
"#;

fn without_usage(line: &str) -> &str {
    line.strip_prefix("Usage:").unwrap_or(line).trim_start()
}

fn options(text: &mut String, tool: Tool) {
    text.push_str(".SH OPTIONS\n");
    for entry in flags::entries(tool) {
        let names: Vec<String> = entry.names.iter().map(|name| format!("\\fB{}\\fR", roff(name))).collect();
        let value = entry.value.map(|value| format!(" \\fI{}\\fR", roff(&value))).unwrap_or_default();
        let _infallible = write!(text, ".TP\n{}{value}\n{}\n", names.join(", "), roff(&entry.help));
    }
    let refused = flags::refused(tool);
    if !refused.is_empty() {
        text.push_str(".SH \"OPTIONS THAT ARE REFUSED\"\n");
        for (names, why) in refused {
            let _infallible = write!(text, ".TP\n.B {}\n{}\n", roff(&names.join(", ")), roff(why));
        }
    }
    match tool {
        Tool::Sub | Tool::Rr => {
            text.push_str(".SH FORMATS\n");
            preformatted(text, crate::format::HELP.lines());
        }
        Tool::Ctrl => {
            for (module, verbs) in ctrl::modules() {
                let _infallible =
                    writeln!(text, ".SH \"COMMANDS OF THE MODULE {}\"", roff(module).to_uppercase());
                for (synopsis, about) in verbs {
                    let _infallible = write!(text, ".TP\n.B {}\n{}.\n", roff(&synopsis), roff(about));
                }
            }
        }
        _ => {}
    }
    text.push_str(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in EXITS {
        let _infallible = write!(text, ".TP\n.B {code}\n{meaning}\n");
    }
    if let Some(original) = tool.original() {
        let _infallible = write!(
            text,
            ".SH FILES\n.TP\n.I $XDG_CONFIG_HOME/{original}\n.TQ\n.I ~/.config/{original}\nOptions that are read before \
             those of the command line, one per line, unless there is\n.BR \\-o .\n"
        );
    }
}

/// What the exit codes mean, to those who write scripts.
const EXITS: &[(&str, &str)] = &[
    ("0", "It was done."),
    ("1", "A wrong option, a file that cannot be read, a server that cannot be reached."),
    ("1 to 5", "With MQTT 3.x also the server's reason for refusing the connection."),
    ("7", "The connection was lost."),
    ("8", "No TLS with this server."),
    ("27", "The waiting time was over."),
    ("128 and above", "With MQTT 5 the server's reason for refusing the connection."),
];

fn head(title: &str, section: u8) -> String {
    let title = roff(title);
    let manual = if section == 8 { "System administration" } else { "User commands" };
    format!(
        ".\\\" Made from the program's own table of options by `cargo xtask docs`.\n.TH {title} {section} \"\" GroveMQ \
         \"{manual}\"\n"
    )
}

fn preformatted<'a>(text: &mut String, lines: impl Iterator<Item = &'a str>) {
    text.push_str(".nf\n");
    for line in lines {
        text.push_str(&roff(line));
        text.push('\n');
    }
    text.push_str(".fi\n");
}

/// Text for troff: no character of it is a command.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace('∞', "\\(if");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// The options that a help text lists: lines that begin with a dash, with what follows further to the right.
fn entries_of(help: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_open = false;
    for line in help.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.starts_with('-') && indent > 0 {
            let (head, help) =
                trimmed.split_once(" : ").or_else(|| trimmed.split_once("  ")).unwrap_or((trimmed, ""));
            let (names, values): (Vec<_>, Vec<_>) = head
                .split([',', ' '])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .partition(|word| word.starts_with('-'));
            let value = values.into_iter().next();
            entries.push(Entry { names, value, help: help.trim().to_owned() });
            is_open = true;
        } else if is_open && indent >= CONTINUED_MIN && !trimmed.is_empty() {
            if let Some(entry) = entries.last_mut() {
                let _infallible = write!(entry.help, " {trimmed}");
            }
        } else {
            is_open = false;
        }
    }
    entries
}

/// Lines of a help text that are so far to the right belong to the option above.
const CONTINUED_MIN: usize = 6;

/// For completions: arguments of an option that are files.
fn is_file(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "file" | "path" | "dir" | "directory" | "config_file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_those_of_the_table() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        for (name, text) in files() {
            let committed = std::fs::read_to_string(docs.join(&name)).unwrap_or_default();
            assert!(committed == text, "docs/{name} is out of date: run `cargo xtask docs`");
        }
    }

    #[test]
    fn a_help_text_lists_its_options() {
        let help = "Usage: x [-a]\n\n  -c, --config FILE  read it,\n                     all of it\n -D : delete\n\n \
                    --no-file\nWithout -x\n";
        let entry = |names: &[&str], value: Option<&str>, help: &str| Entry {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            value: value.map(str::to_owned),
            help: help.to_owned(),
        };
        let expected = [
            entry(&["-c", "--config"], Some("FILE"), "read it, all of it"),
            entry(&["-D"], None, "delete"),
            entry(&["--no-file"], None, ""),
        ];
        assert_eq!(entries_of(help), expected);
    }

    #[test]
    fn each_command_has_options_and_its_words() {
        for command in COMMANDS {
            assert!(!command.entries().is_empty() || !command.words.is_empty(), "{}", command.name);
            if let Help::Text(help) = command.help {
                let help = help("grovemq x");
                assert!(help.starts_with("Usage: ") || help.contains("\nUsage: "), "{help}");
                for word in command.words {
                    assert!(help.contains(word), "{word} is not in\n{help}");
                }
            }
        }
    }

    #[test]
    fn text_is_no_command_of_troff() {
        assert_eq!(roff(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(roff("a -b \\"), "a \\-b \\e");
    }
}
