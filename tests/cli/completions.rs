//! Completions, asked of the shells themselves. One that is not installed is left out, and said to be.

use grovemq_tests::{Program, SOON, peers, scratch};
use std::process::Command;

/// What a shell offers for a command line, and some of it that must be there; or nothing at all.
const CASES: &[(&str, &[&str])] = &[
    ("grovemq pu", &["pub"]),
    ("grovemq pub --retain", &["--retain"]),
    ("mosquitto_sub --retained", &["--retained-only"]),
    ("grovemq mosquitto_sub --retained", &["--retained-only"]),
    ("mosquitto_sub -q ", &["0", "1", "2"]),
    ("grovemq sub --tls-version ", &["tlsv1.2", "tlsv1.3"]),
    ("mosquitto_pub --cafile fi", &["file with space.pem"]),
    ("grovemq store ", &["check", "export", "import", "stats"]),
    ("grovemq completions f", &["fish"]),
    ("grovemq ctrl -p 1 d", &["dynsec"]),
    ("mosquitto_ctrl -p 1 dynsec getR", &["getRole"]),
    ("mosquitto_passwd --form", &["--format"]),
    ("grovemq pub -t ", &[]),
];

fn script(shell: &str) -> Vec<u8> {
    Program::run(peers::ours("completions").arg(shell), b"", SOON).success().stdout
}

fn is_installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        eprintln!("{shell} is not installed: its completions are not tried");
    }
    found
}

/// Runs a shell in a folder with the script in the file `script` and one file beside it.
fn ask(shell: &str, program: &str, line: &str) -> Vec<String> {
    let dir = scratch();
    std::fs::write(dir.path().join("script"), script(shell)).unwrap();
    std::fs::write(dir.path().join("file with space.pem"), "").unwrap();
    let mut command = Command::new(shell);
    command.args(["-c", program]).env("LINE", line).env("HOME", dir.path()).current_dir(dir.path());
    let end = Program::run(&mut command, b"", SOON).success();
    assert_eq!(end.stderr, "", "{line}");
    end.text().lines().map(str::to_owned).collect()
}

#[track_caller]
fn check(shell: &str, program: &str) {
    if !is_installed(shell) {
        return;
    }
    for (line, expected) in CASES {
        // fish describes what it offers, behind a tab, and does without what it takes for the original's name
        if shell == "fish" && line.contains(" mosquitto_") {
            continue;
        }
        let offered = ask(shell, program, line);
        let offered: Vec<&str> =
            offered.iter().map(|line| line.split('\t').next().unwrap_or_default()).collect();
        for word in *expected {
            assert!(offered.contains(word), "{line}: {offered:?}");
        }
        assert!(!expected.is_empty() || offered.iter().all(|word| word.is_empty()), "{line}: {offered:?}");
    }
}

#[test]
fn bash_completes() {
    let program = "source ./script; read -ra COMP_WORDS <<< \"$LINE\"; [[ $LINE == *' ' ]] && COMP_WORDS+=(''); \
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _grovemq; printf '%s\\n' \"${COMPREPLY[@]}\"";
    check("bash", program);
}

#[test]
fn fish_completes() {
    check("fish", "source ./script; complete -C \"$LINE\"");
}

#[test]
fn zsh_reads_its_script() {
    if is_installed("zsh") {
        assert!(ask("zsh", "zsh -n ./script && autoload -Uz compinit", "").is_empty());
    }
}
