//! The tutorial is true: its commands are run, in its order, and what it shows is what there is to see.
//!
//! A block `console` has commands, which end, and all of their output. A block `console stays` has one command that goes
//! on; what stands above a line `⋮` is waited for, and what is below it has to be there at the end. A block `file NAME` is a
//! file. In a line of output, `…` is what differs from time to time.

use grovemq_tests::{Program, SOON, free_port, peers};

use crate::bench::{Bench, Whose, eventually};

/// A program that goes on, and what it has to show until the end.
struct Staying {
    program: Program,
    later: Vec<String>,
}

#[test]
fn the_tutorial_is_true_with_libcoap() {
    let bench = Bench::new(Whose::Ours);
    bench.link("grovemq", peers::grovemq());
    let text = std::fs::read_to_string(peers::repository().join("docs/lab/tutorial.md")).unwrap();
    let text = ["1883", "1884", "1885", "5683"]
        .iter()
        .fold(text, |text, port| text.replace(port, &free_port().to_string()));
    let (mut staying, mut commands): (Vec<Staying>, usize) = (Vec::new(), 0);
    for (kind, lines) in blocks(&text) {
        match kind.split_once(' ').unwrap_or((kind, "")) {
            ("file", name) => drop(bench.write(name, &format!("{}\n", lines.join("\n")))),
            ("console", "stays") => {
                commands += 1;
                staying.push(stay(&bench, &lines, &staying));
            }
            ("console", _) => commands += run(&bench, &lines),
            _ => {}
        }
    }
    assert!(commands > 20, "{commands} commands");
    for Staying { program, later } in staying {
        sees(&program, &later);
        program.interrupt();
        drop(program.finish(SOON));
    }
}

/// Kinds and lines of the blocks.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            blocks.push((kind, lines.by_ref().take_while(|line| *line != "```").collect()));
        }
    }
    blocks
}

/// Starts a command and waits for what it shows first. A subscriber shows nothing, but the broker tells of it.
#[track_caller]
fn stay(bench: &Bench, lines: &[&str], others: &[Staying]) -> Staying {
    let (command, shown) = lines.split_first().unwrap();
    let told = || -> usize {
        let logs = others.iter().flat_map(|other| other.program.stderr_lines());
        logs.filter(|line| line.contains("Sending SUBACK")).count()
    };
    let before = told();
    let program = bench.start(command.strip_prefix("$ ").unwrap());
    let mut shown =
        shown.split(|line| *line == "⋮").map(|part| part.iter().map(ToString::to_string).collect());
    let first: Vec<String> = shown.next().unwrap_or_default();
    if command.contains("mosquitto_sub") {
        eventually(|| told() > before, || format!("{command} does not subscribe\n{}", program.transcript()));
    }
    sees(&program, &first);
    Staying { program, later: shown.next().unwrap_or_default() }
}

/// Runs commands that end; how many.
#[track_caller]
fn run(bench: &Bench, lines: &[&str]) -> usize {
    let mut count = 0;
    let mut rest = lines;
    while let Some((command, after)) = rest.split_first() {
        let end = after.iter().position(|line| line.starts_with("$ ")).unwrap_or(after.len());
        let (wanted, next) = after.split_at(end);
        let ended = bench.run(command.strip_prefix("$ ").unwrap());
        let seen = format!("{}{}", ended.text(), ended.stderr);
        let same = seen.lines().count() == wanted.len()
            && seen.lines().zip(wanted).all(|(seen, wanted)| fits(seen, wanted));
        assert!(same, "{command}\n{seen}is not\n{}", wanted.join("\n"));
        count += 1;
        rest = next;
    }
    count
}

/// Waits until each of these lines is there.
#[track_caller]
fn sees(program: &Program, wanted: &[String]) {
    for line in wanted {
        let seen = || {
            let all = program.stdout_lines().into_iter().chain(program.stderr_lines());
            all.into_iter().any(|seen| fits(&seen, line))
        };
        eventually(seen, || format!("{line:?} is not there\n{}", program.transcript()));
    }
}

/// Whether a line is as shown, where `…` stands for anything.
fn fits(seen: &str, shown: &str) -> bool {
    let (seen, shown) = (seen.trim_end(), shown.trim_end());
    let Some((head, rest)) = shown.split_once('…') else { return seen == shown };
    let Some(mut seen) = seen.strip_prefix(head) else { return false };
    let mut parts = rest.split('…').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return seen.ends_with(part);
        }
        let Some((_, after)) = seen.split_once(part) else { return false };
        seen = after;
    }
    true
}

#[test]
fn marks_stand_for_anything_and_the_rest_for_itself() {
    for (seen, shown, same) in [
        ("a b c", "a … c", true),
        ("a b c", "a … d", false),
        ("1: from x as y.", "…: from … as ….", true),
        ("1: from x", "…: from … as ….", false),
        ("a", "a", true),
        ("a", "b", false),
    ] {
        assert_eq!(fits(seen, shown), same, "{seen} {shown}");
    }
}
