//! The guard of the hot path: instructions per delivered message, counted by valgrind, against the committed figures.
//!
//! A clock tells little on a busy machine; the count of instructions is the same each time. What a turn of the event
//! loop costs is the difference of a long run and a short one, so neither start nor end of the program is in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, execute, program, repository, target};

/// The committed figures, and where to renew them.
const FIGURES: &str = "crates/core/examples/hot_path.toml";
const RENEW: &str = "cargo xtask bench --guard --update";

/// More than this in hundredths of the committed figure is a failure.
const PERCENT_MAX: u64 = 110;
/// Less than this, and the figure deserves to be renewed.
const PERCENT_MIN: u64 = 95;

const HEAD: &str = "\
# What a delivered message costs in the core, in instructions, by architecture.
# Written by `cargo xtask bench --guard --update`; `cargo xtask test` fails at 10 % more.
";

type Figures = BTreeMap<String, u64>;

/// Counts, and compares with the committed figures, or renews them.
pub(crate) fn run(update: bool) -> Result<()> {
    let path = repository().join(FIGURES);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut all: BTreeMap<String, Figures> = toml::from_str(&text).context(FIGURES)?;
    let now = count()?;
    let here = std::env::consts::ARCH;
    let committed = all.get(here).cloned().unwrap_or_default();
    let (table, worse) = compared(&committed, &now);
    println!("\n{table}");
    if update {
        all.insert(here.to_owned(), now);
        std::fs::write(&path, format!("{HEAD}\n{}", toml::to_string(&all)?)).context(FIGURES)?;
    } else if committed.is_empty() {
        println!("{FIGURES} has no figures for {here}: {RENEW}");
    } else if !worse.is_empty() {
        bail!("{} cost more than {FIGURES} says; if that is as it must be: {RENEW}", worse.join(", "));
    }
    Ok(())
}

fn count() -> Result<Figures> {
    execute(&mut cargo(&["build", "--release", "--package", "grovemq-core", "--example", "hot_path"]))?;
    let binary = target().join("release/examples/hot_path");
    let mut figures = Figures::new();
    for line in crate::shell::output(&mut program(&binary, &[]))?.lines() {
        let (name, deliveries) = line.split_once(' ').with_context(|| format!("`{line}`"))?;
        let deliveries: u64 = deliveries.parse().with_context(|| format!("`{line}`"))?;
        // the first turns make caches and buffers
        let short = 20;
        let long = short + (3_000 / deliveries.max(1)).max(10);
        let (a, b) = std::thread::scope(|scope| {
            let a = scope.spawn(|| instructions(&binary, name, short));
            let b = instructions(&binary, name, long);
            (a.join(), b)
        });
        let a = a.map_err(|_| anyhow::anyhow!("{name}: counting failed"))??;
        figures.insert(name.to_owned(), b?.saturating_sub(a) / ((long - short) * deliveries));
    }
    Ok(figures)
}

/// Of one whole run.
fn instructions(binary: &Path, case: &str, turns: u64) -> Result<u64> {
    let mut valgrind = program("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let out = valgrind.arg(binary).args([case, &turns.to_string()]).output().context("valgrind")?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        bail!("{case} under valgrind ends with {}:\n{said}", out.status);
    }
    collected(&said).with_context(|| format!("valgrind says nothing of instructions:\n{said}"))
}

fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A table of both, and the names of those that cost too much.
fn compared(committed: &Figures, now: &Figures) -> (String, Vec<String>) {
    let mut table = format!("{:<14} {:>9} {:>9}\n", "case", "committed", "now");
    let mut worse = Vec::new();
    for (name, &figure) in now {
        let before = committed.get(name).copied();
        let percent = before.filter(|n| *n > 0).map(|n| (figure * 100).div_ceil(n));
        let verdict = match percent {
            None => "new".to_owned(),
            Some(p) if p > PERCENT_MAX => format!("{p} % FAILED"),
            Some(p) if p < PERCENT_MIN => format!("{p} %, renew: {RENEW}"),
            Some(p) => format!("{p} %"),
        };
        let before = before.map_or_else(|| "–".to_owned(), |n| n.to_string());
        // writing to a string cannot fail
        writeln!(table, "{name:<14} {before:>9} {figure:>9}  {verdict}").ok();
        if percent.is_some_and(|p| p > PERCENT_MAX) {
            worse.push(name.clone());
        }
    }
    (table, worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, u64)]) -> Figures {
        list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    #[test]
    fn a_tenth_more_is_too_much() {
        let committed = figures(&[("a", 1000), ("b", 1000)]);
        let (table, worse) = compared(&committed, &figures(&[("a", 1099), ("b", 1100), ("c", 5)]));
        assert!(worse.is_empty(), "{table}");
        let (table, worse) = compared(&committed, &figures(&[("a", 1101), ("b", 900)]));
        assert_eq!(worse, ["a"], "{table}");
        assert!(table.contains("renew"), "{table}");
    }

    #[test]
    fn valgrinds_closing_line_is_read() {
        assert_eq!(collected("==1== \n==1== Collected : 79912927\n==1== \n"), Some(79_912_927));
        assert_eq!(collected("killed"), None);
    }

    #[test]
    fn the_committed_figures_can_be_read() {
        let text = std::fs::read_to_string(repository().join(FIGURES)).unwrap();
        let all: BTreeMap<String, Figures> = toml::from_str(&text).unwrap();
        assert!(all.values().all(|figures| figures.values().all(|n| *n > 0)));
    }
}
