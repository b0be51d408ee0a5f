//! `cargo xtask faults`: what the broker must survive, and what its tests say today.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, execute, repository, target, watched};

/// Each line an id, what it is about, and the tests or the reason for none.
const LIST: &str = "tests/conformance/faults.tsv";

/// Runs the tests of all rows, or of those whose ids begin so, and prints a table. True if none failed.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    if let Some(flag) = args.iter().find(|arg| arg.starts_with('-')) {
        bail!("unknown option `{flag}`");
    }
    let list = std::fs::read_to_string(repository().join(LIST)).context(LIST)?;
    let rows = rows(&list)?;
    let chosen = |row: &&Row<'_>| args.is_empty() || args.iter().any(|arg| row.id.starts_with(arg));
    let rows: Vec<&Row<'_>> = rows.iter().filter(chosen).collect();
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| &row.tests).map(|test| name(test)).collect();
    let results = results(&names)?;
    println!();
    let mut good = true;
    for row in rows {
        let verdict = row.verdict(&results);
        good &= !verdict.starts_with("FAILED");
        println!("{}  {:<64}  {verdict}", row.id, row.about);
    }
    Ok(good)
}

#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    id: &'a str,
    about: &'a str,
    tests: Vec<&'a str>,
    /// Why there is none.
    reason: Option<&'a str>,
}

impl Row<'_> {
    fn verdict(&self, results: &BTreeMap<String, bool>) -> String {
        if let Some(reason) = self.reason {
            return format!("none: {reason}");
        }
        let with = |wanted| move |test: &&&str| results.get(name(test)).copied() == wanted;
        let failed: Vec<&str> = self.tests.iter().filter(with(Some(false))).copied().collect();
        let absent = self.tests.iter().filter(with(None)).count();
        match (failed.is_empty(), absent) {
            (false, _) => format!("FAILED: {}", failed.join(" ")),
            (true, 0) => format!("ok, {} tests", self.tests.len()),
            (true, absent) => format!("ok, {} tests; {absent} not run", self.tests.len() - absent),
        }
    }
}

fn rows(list: &str) -> Result<Vec<Row<'_>>> {
    let row = |line| {
        let fields: Vec<&str> = str::split(line, '\t').collect();
        let &[id, about, evidence] = &fields[..] else { bail!("{LIST}: not three fields: {line}") };
        let reason = evidence.strip_prefix("exception: ");
        let tests = if reason.is_some() { Vec::new() } else { evidence.split_whitespace().collect() };
        Ok(Row { id, about, tests, reason })
    };
    list.lines().map(row).collect()
}

/// The function that holds it: a row of a dialogue is held by the function of its file.
fn name(test: &str) -> &str {
    let Some((file, function)) = test.split_once('#') else { return test };
    file.strip_suffix(".txt").unwrap_or(function)
}

/// Whether all tests of a name are good, for those that ran.
fn results(names: &BTreeSet<&str>) -> Result<BTreeMap<String, bool>> {
    let mut results = BTreeMap::new();
    if names.is_empty() {
        return Ok(results);
    }
    execute(&mut cargo(&["build", "--package", "grovemq"]))?;
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--"]);
    tests.args(names).env("GROVEMQ_BIN", target().join("debug/grovemq"));
    watched(&mut tests, |line| {
        if let Some((test, good)) = result(line)
            && names.contains(test)
        {
            *results.entry(test.to_owned()).or_insert(true) &= good;
        }
    })?;
    if results.is_empty() {
        bail!("the tests do not build, or do not start");
    }
    Ok(results)
}

/// What a line of the test runner says of which test; a test that was left out says nothing.
fn result(line: &str) -> Option<(&str, bool)> {
    let (path, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = path.split(" - ").next()?.rsplit("::").next()?;
    // what the test itself printed may stand between
    let good = outcome.ends_with("ok");
    (good || outcome.ends_with("FAILED")).then_some((name, good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_judged_by_their_tests() {
        let list = "A1\tone\ta.txt#A1-v3 tests/x.rs#f\nA2\ttwo\tx.rs#g\nA3\tthree\texception: not yet\nA4\tfour\tx.rs#f x.rs#h";
        let rows = rows(list).unwrap();
        let results =
            BTreeMap::from([("a".to_owned(), true), ("f".to_owned(), true), ("g".to_owned(), false)]);
        let verdicts: Vec<String> = rows.iter().map(|row| row.verdict(&results)).collect();
        assert_eq!(verdicts, ["ok, 2 tests", "FAILED: x.rs#g", "none: not yet", "ok, 1 tests; 1 not run"]);
        assert!(super::rows("A1\tone").is_err());
    }

    #[test]
    fn results_are_read_from_the_runners_lines() {
        assert_eq!(result("test faults::one ... ok"), Some(("one", true)));
        assert_eq!(result("test one ... FAILED"), Some(("one", false)));
        assert_eq!(result("test one ... ignored"), None);
        assert_eq!(result("test result: ok. 3 passed"), None);
    }
}
