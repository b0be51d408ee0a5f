//! The house rules: what a reviewer would otherwise have to remember.
//!
//! Each rule is a pure function from a source to the complaints about it, tested below on a source that breaks it.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use grovemq_tests::peers::repository;

/// Who may import whom: the floors of ARCHITECTURE.md, from the ground up. Arrows go down only.
const FLOORS: &[(&str, &[&str])] = &[
    ("codec", &[]),
    ("core", &["codec"]),
    ("config", &["codec"]),
    ("net", &["codec"]),
    ("store", &["codec", "core"]),
    ("auth", &["codec"]),
    ("grovepi", &[]),
    ("coap", &[]),
    ("client", &["auth", "codec", "core", "net"]),
    ("broker", &["auth", "client", "coap", "codec", "config", "core", "net", "store"]),
    ("thing", &["client", "coap", "codec", "grovepi"]),
    ("grovemq", &["auth", "broker", "client", "codec", "config", "grovepi", "store", "thing"]),
];

/// What a room must never import, whatever for.
const NEVER: &[(&str, &[&str])] = &[
    ("codec", &["tokio", "mio", "log", "tracing", "rand", "anyhow"]),
    ("core", &["tokio", "mio", "socket2", "log", "tracing", "rand", "anyhow"]),
    ("config", &["tokio", "mio", "socket2"]),
    ("auth", &["tokio", "mio", "socket2"]),
    ("net", &["tokio"]),
    ("store", &["tokio", "mio", "socket2"]),
    ("coap", &["tokio", "mio", "socket2"]),
    ("grovepi", &["tokio", "mio", "linux-embedded-hal"]),
    ("broker", &["linux-embedded-hal"]),
];

/// Lines of a file, tests at its end not counted.
const FILE_LINES_MAX: usize = 800;

/// Tables of data, which are as long as what they list.
const TABLES: &[&str] = &[];

#[test]
fn arrows_between_crates_go_down_only() {
    let mut complaints = Vec::new();
    for entry in std::fs::read_dir(repository().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        let Ok(manifest) = std::fs::read_to_string(dir.join("Cargo.toml")) else { continue };
        complaints.extend(wrong_imports(dir.file_name().unwrap().to_str().unwrap(), &manifest));
    }
    report(&complaints);
}

#[test]
fn files_are_short_enough_for_one_name() {
    check_sources(too_long);
}

#[test]
fn each_file_says_what_it_is_for() {
    check_sources(headless);
}

#[test]
fn nothing_is_left_for_later() {
    check_sources(unfinished);
}

#[test]
fn codec_and_core_neither_panic_nor_read_a_clock() {
    check_sources(|path, text| if is_pure_room(path) { impure(text) } else { vec![] });
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut complaints = Vec::new();
    for path in tracked_files("") {
        // a picture or a capture is no text
        let Ok(text) = std::fs::read_to_string(repository().join(&path)) else { continue };
        complaints
            .extend(machine_paths(&text).into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
    }
    report(&complaints);
}

type Complaint = (usize, String);

fn check_sources(rule: impl Fn(&str, &str) -> Vec<Complaint>) {
    let mut complaints = Vec::new();
    for path in tracked_files(".rs") {
        let text = std::fs::read_to_string(repository().join(&path)).unwrap();
        complaints
            .extend(rule(&path, &text).into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
    }
    report(&complaints);
}

#[track_caller]
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
}

/// Files that git knows or would add, with this ending.
fn tracked_files(ending: &str) -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(repository());
    let listed: Vec<String> = match git.output() {
        Ok(out) if out.status.success() => {
            String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
        }
        // an unpacked archive has no history: everything but what the build made
        _ => walk(repository()),
    };
    let exists = |path: &String| repository().join(path).is_file();
    let files: Vec<String> =
        listed.into_iter().filter(|path| path.ends_with(ending)).filter(exists).collect();
    assert!(files.len() > 10, "the list of files is wrong: {files:?}");
    files
}

fn walk(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let skipped = |path: &PathBuf| path.ends_with("target") || path.ends_with(".git");
    entries
        .filter(|path| !skipped(path))
        .flat_map(|path| {
            let name = || path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() { walk(&path) } else { vec![name()] }
        })
        .collect()
}

fn wrong_imports(room: &str, manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap_or_else(|e| panic!("{room}/Cargo.toml: {e}"));
    let imports = imports(&manifest);
    let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("crates/{room} has no floor: add it here and in ARCHITECTURE.md")];
    };
    let never = NEVER.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, never)| never);
    let mut complaints = Vec::new();
    for import in &imports {
        if let Some(ours) = import.strip_prefix("grovemq-") {
            if !allowed.contains(&ours) && ours != "tests" {
                complaints.push(format!("crates/{room} imports {import}, which is not below it"));
            }
        } else if never.contains(&import.as_str()) {
            complaints.push(format!("crates/{room} imports {import}, which it must not know"));
        }
    }
    complaints
}

/// The names of all dependencies, of every kind and target.
fn imports(table: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        names.extend(table.get(kind).and_then(|d| d.as_table()).into_iter().flat_map(|d| d.keys().cloned()));
    }
    for target in table.get("target").and_then(|t| t.as_table()).into_iter().flat_map(|t| t.values()) {
        names.extend(target.as_table().map(imports).unwrap_or_default());
    }
    names
}

fn too_long(path: &str, text: &str) -> Vec<Complaint> {
    let lines = product_lines(text).count();
    let excepted = TABLES.contains(&path) || path.split('/').any(|part| part.starts_with("test"));
    if lines <= FILE_LINES_MAX || excepted {
        return vec![];
    }
    vec![(
        1,
        format!("{lines} lines without tests, at most {FILE_LINES_MAX}: split it, or list it as a table"),
    )]
}

fn headless(_: &str, text: &str) -> Vec<Complaint> {
    let mut lines = text.lines().skip_while(|line| line.starts_with("#![") || line.is_empty());
    let headed = lines.next().is_some_and(|line| line.starts_with("//!"));
    if headed { vec![] } else { vec![(1, "no `//!` header".into())] }
}

fn unfinished(_: &str, text: &str) -> Vec<Complaint> {
    // put together here, so that this file does not accuse itself
    let words = [["TO", "DO"], ["FIX", "ME"], ["dbg", "!("], ["todo", "!("], ["unimplemented", "!("]];
    find(text.lines(), &words.map(|parts| parts.concat()))
}

fn impure(text: &str) -> Vec<Complaint> {
    let words = [".unwrap()", ".expect(", "panic!(", "Instant::now", "SystemTime::now", "thread::sleep"];
    find(product_lines(text).map(|line| line.split("//").next().unwrap_or("")), &words.map(str::to_owned))
}

fn machine_paths(text: &str) -> Vec<Complaint> {
    let words = [["/wo", "rk/"], ["/ro", "ot/"], ["/home/", "runner"], ["/tmp/", "target"]];
    find(text.lines(), &words.map(|parts| parts.concat()))
}

fn find<'a>(lines: impl Iterator<Item = &'a str>, words: &[String]) -> Vec<Complaint> {
    let hit = |line: &str| words.iter().find(|word| line.contains(word.as_str())).cloned();
    (1..).zip(lines).filter_map(|(number, line)| Some((number, format!("`{}`", hit(line)?)))).collect()
}

/// The lines before the unit tests, which stand last in a file.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

fn is_pure_room(path: &str) -> bool {
    ["crates/codec/src/", "crates/core/src/"].iter().any(|room| path.starts_with(room))
        && !path.split('/').any(|part| part.starts_with("test"))
}

mod rules {
    use super::*;

    #[test]
    fn an_arrow_up_or_a_forbidden_import_is_seen_in_every_table() {
        let upward = "[dev-dependencies]\ngrovemq-broker = \"1\"";
        assert_eq!(
            wrong_imports("core", upward),
            ["crates/core imports grovemq-broker, which is not below it"]
        );
        let hidden = "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"";
        assert_eq!(wrong_imports("core", hidden), ["crates/core imports tokio, which it must not know"]);
        assert_eq!(wrong_imports("attic", "").len(), 1);
        assert!(wrong_imports("core", "[dependencies]\ngrovemq-codec = \"1\"\nhashbrown = \"1\"").is_empty());
    }

    #[test]
    fn no_crate_of_the_table_imports_one_listed_after_it() {
        for (place, (name, allowed)) in FLOORS.iter().enumerate() {
            for import in *allowed {
                let below = FLOORS[..place].iter().any(|(lower, _)| lower == import);
                assert!(below, "{name} imports {import}");
            }
        }
    }

    #[test]
    fn length_is_counted_without_tests() {
        let code = "x\n".repeat(FILE_LINES_MAX);
        let tests = format!("{code}#[cfg(test)]\n{code}");
        assert!(too_long("a.rs", &tests).is_empty());
        assert_eq!(too_long("a.rs", &format!("x\n{code}")).len(), 1);
    }

    #[test]
    fn a_header_may_follow_attributes() {
        assert!(headless("", "#![no_main]\n//! Why.\nuse a;").is_empty());
        assert_eq!(headless("", "use a;\n//! Late.").len(), 1);
        assert_eq!(headless("", "").len(), 1);
    }

    #[test]
    fn forbidden_words_are_found_with_their_line() {
        let later = ["a\n// TO", "DO: b\n"].concat();
        assert_eq!(unfinished("", &later)[0].0, 2);
        assert_eq!(impure("a\nlet b = c.unwrap();\n// .unwrap()\n#[cfg(test)]\nd.unwrap()").len(), 1);
        assert_eq!(impure("Instant::now()").len(), 1);
        assert_eq!(machine_paths(&["see /wo", "rk/x"].concat()).len(), 1);
    }
}
