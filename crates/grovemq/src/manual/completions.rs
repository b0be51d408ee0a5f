//! What makes bash, zsh and fish complete command lines.

use super::{Entry, is_file};
use crate::{COMMANDS, Command, ctrl};
use std::fmt::Write as _;

const MADE: &str = "# Made from the program's own table of options by `cargo xtask docs`.";

/// Values that an option can have, where they are few.
fn choices(command: &Command, entry: &Entry) -> &'static [&'static str] {
    match (entry.value.as_deref(), entry.names.last().map(String::as_str)) {
        (Some("qos"), _) => &["0", "1", "2"],
        (Some(_), Some("--protocol-version")) => &["31", "311", "5"],
        (Some(_), Some("--tls-version")) => &["tlsv1.2", "tlsv1.3"],
        (Some(_), Some("--retain-handling")) => &["always", "new", "never"],
        (Some(_), Some("--keyform")) => &["pem"],
        (Some(_), Some("--color")) => &["auto", "always", "never"],
        (Some(_), Some("--format")) if command.name == "passwd" => &["portable", "2.0", "2.1"],
        _ => &[],
    }
}

/// Words that are no options: in order, those of each place.
fn words(command: &Command) -> Vec<String> {
    if command.name == "ctrl" {
        return ctrl::modules().map(|(name, _)| name.to_owned()).chain(["shell".to_owned()]).collect();
    }
    command.words.iter().map(|word| (*word).to_owned()).collect()
}

fn verbs(module: impl Iterator<Item = (String, &'static str)>) -> Vec<String> {
    module.map(|(synopsis, _)| synopsis.split(' ').next().unwrap_or_default().to_owned()).collect()
}

fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

fn originals() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().filter_map(|command| Some((command.original?, command.name)))
}

/// For bash 4.0 and newer.
pub(super) fn bash() -> String {
    let mut text = format!(
        "{MADE}\n_grovemq() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}\n    \
         local name=${{COMP_WORDS[0]##*/}} word options= words=\n    COMPREPLY=()\n    if [[ $name == grovemq* ]]; then\n        \
         if ((COMP_CWORD == 1)); then\n            COMPREPLY=($(compgen -W '{} help --help --version' -- \"$cur\"))\n            \
         return\n        fi\n        name=${{COMP_WORDS[1]}}\n    fi\n    case $name in\n",
        names().collect::<Vec<_>>().join(" ")
    );
    for (original, name) in originals() {
        let _infallible = writeln!(text, "        {original}) name={name} ;;");
    }
    text.push_str("    esac\n    case $name$prev in\n");
    for command in COMMANDS {
        bash_values(&mut text, command);
    }
    text.push_str("    esac\n    case $name in\n");
    for command in COMMANDS {
        let options: Vec<String> = command.entries().into_iter().flat_map(|entry| entry.names).collect();
        let options = options.join(" ");
        let words = words(command).join(" ");
        let _infallible = writeln!(text, "        {}) options='{options}' words='{words}' ;;", command.name);
    }
    let _infallible = writeln!(text, "        help) words='{}' ;;", names().collect::<Vec<_>>().join(" "));
    text.push_str("    esac\n    if [[ $name == ctrl ]]; then\n        for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n            case $word in\n");
    for (module, list) in ctrl::modules() {
        let _infallible =
            writeln!(text, "                {module}) options= words='help {}' ;;", verbs(list).join(" "));
    }
    text.push_str(
        "            esac\n        done\n    fi\n    if [[ $cur == -* ]]; then\n        \
         COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n    elif [[ -n $words ]]; then\n        \
         COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    else\n        compopt -o filenames 2>/dev/null\n        \
         mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n    fi\n}\n",
    );
    let originals: Vec<&str> = originals().map(|(original, _)| original).collect();
    let _infallible = writeln!(text, "complete -F _grovemq grovemq {}", originals.join(" "));
    text
}

/// The arms for options that take a value.
fn bash_values(text: &mut String, command: &Command) {
    for entry in command.entries() {
        let Some(value) = &entry.value else { continue };
        let patterns: Vec<String> =
            entry.names.iter().map(|name| format!("{}{name}", command.name)).collect();
        let patterns = patterns.join("|");
        let choices = choices(command, &entry);
        let _infallible = if !choices.is_empty() {
            let choices = choices.join(" ");
            writeln!(text, "        {patterns}) COMPREPLY=($(compgen -W '{choices}' -- \"$cur\")); return ;;")
        } else if is_file(value) {
            writeln!(
                text,
                "        {patterns}) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); \
                 return ;;"
            )
        } else {
            writeln!(text, "        {patterns}) return ;;")
        };
    }
}

/// For zsh's `compinit`.
pub(super) fn zsh() -> String {
    let all: Vec<&str> = originals().map(|(original, _)| original).collect();
    let mut text =
        format!("#compdef grovemq {}\n{MADE}\n_grovemq() {{\n    local name=$service\n", all.join(" "));
    text.push_str("    if [[ $name == grovemq ]]; then\n        if ((CURRENT == 2)); then\n            local -a commands=(\n");
    for command in COMMANDS {
        let _infallible = writeln!(text, "                '{}:{}'", command.name, quoted(command.about));
    }
    text.push_str(
        "            )\n            _describe command commands\n            return\n        fi\n        \
         name=$words[2]\n        shift words\n        ((CURRENT--))\n    fi\n    case $name in\n",
    );
    for command in COMMANDS {
        let original = command.original.map(|original| format!("|{original}")).unwrap_or_default();
        let _infallible = write!(text, "        {}{original})\n            _arguments -S", command.name);
        for entry in command.entries() {
            zsh_option(&mut text, command, &entry);
        }
        let words = words(command);
        if command.name == "ctrl" {
            let _infallible = write!(text, " \\\n                '1:module:({})'", words.join(" "));
            let all: Vec<String> = ctrl::modules().flat_map(|(_, list)| verbs(list)).collect();
            let _infallible = write!(text, " \\\n                '2:command:(help {})'", all.join(" "));
        } else if words.is_empty() {
            text.push_str(" \\\n                '*:file:_files'");
        } else {
            let _infallible = write!(text, " \\\n                '1:word:({})'", words.join(" "));
            text.push_str(" \\\n                '*:file:_files'");
        }
        text.push_str("\n            ;;\n");
    }
    text.push_str("    esac\n}\n_grovemq \"$@\"\n");
    text
}

fn zsh_option(text: &mut String, command: &Command, entry: &Entry) {
    let help = quoted(&entry.help).replace('[', "\\[").replace(']', "\\]");
    let choices = choices(command, entry);
    let value = match &entry.value {
        None => String::new(),
        Some(value) if !choices.is_empty() => format!(":{value}:({})", choices.join(" ")),
        Some(value) if is_file(value) => format!(":{value}:_files"),
        Some(value) => format!(":{}: ", quoted(value)),
    };
    for name in &entry.names {
        // most may be given again
        let _infallible = write!(text, " \\\n                '*{name}[{help}]{value}'");
    }
}

/// Text between single quotes, with no colon that would end it.
fn quoted(text: &str) -> String {
    text.replace('\'', "’").replace(':', "\\:")
}

/// For fish 3.
pub(super) fn fish() -> String {
    let mut text = format!("{MADE}\n");
    for command in COMMANDS {
        let _infallible = writeln!(
            text,
            "complete -c grovemq -f -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            fish_quoted(command.about)
        );
    }
    for command in COMMANDS {
        let of_ours = format!("complete -c grovemq -n '__fish_seen_subcommand_from {}'", command.name);
        let of_theirs = command.original.map(|original| format!("complete -c {original}"));
        for place in [Some(of_ours), of_theirs].into_iter().flatten() {
            for entry in command.entries() {
                fish_option(&mut text, &place, command, &entry);
            }
            let words = words(command);
            if !words.is_empty() {
                let _infallible = writeln!(text, "{place} -f -a '{}'", words.join(" "));
            }
            if command.name == "ctrl" {
                for (module, list) in ctrl::modules() {
                    let list = verbs(list).join(" ");
                    let condition = format!("__fish_seen_subcommand_from {module}");
                    let program =
                        command.original.filter(|original| place.ends_with(original)).unwrap_or("grovemq");
                    let _infallible =
                        writeln!(text, "complete -c {program} -f -n '{condition}' -a 'help {list}'");
                }
            }
        }
    }
    text
}

fn fish_option(text: &mut String, place: &str, command: &Command, entry: &Entry) {
    text.push_str(place);
    for name in &entry.names {
        let _infallible = match name.strip_prefix("--") {
            Some(long) => write!(text, " -l {long}"),
            None => write!(text, " -s {}", name.trim_start_matches('-')),
        };
    }
    let choices = choices(command, entry);
    match &entry.value {
        None => {}
        Some(_) if !choices.is_empty() => {
            let _infallible = write!(text, " -x -a '{}'", choices.join(" "));
        }
        Some(value) if is_file(value) => text.push_str(" -r -F"),
        Some(_) => text.push_str(" -x"),
    }
    let _infallible = writeln!(text, " -d '{}'", fish_quoted(&entry.help));
}

fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
