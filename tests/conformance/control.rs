//! The control: the same dialogues with Debian's mosquitto. What it answers differently is listed in
//! `debian-differences.tsv`, each row with the reason, so that a wrong expectation of ours is not mistaken for a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use grovemq_tests::Kind;
use grovemq_tests::dialogue::{self, Row};
use grovemq_tests::peer::local;

use crate::{read, report};

/// What has not come by then will not come: on this machine, answers take a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// So the reason begins if a row need not differ each time.
const SOMETIMES: &str = "sometimes: ";

#[test]
fn debian_differs_where_it_is_said_and_nowhere_else() {
    let list = read("debian-differences.tsv");
    let listed: BTreeMap<&str, &str> = list
        .lines()
        .map(|line| line.split_once('\t').unwrap_or_else(|| panic!("a row, a tab, the reason: {line}")))
        .collect();
    assert!(listed.values().all(|reason| !reason.is_empty()), "a difference has a reason");
    let mut complaints = Vec::new();
    let (mut held, mut seen) = (0, BTreeSet::new());
    for file in dialogue::files() {
        let mut rows = dialogue::read(&file);
        // directives that Debian's version does not know would end it
        rows.retain(|row| !row.has_configuration());
        held += rows.len();
        for (row, failure) in differences(&file, &rows, &listed) {
            if !listed.contains_key(row.as_str()) {
                complaints.push(format!("{file}:{failure}"));
            }
            seen.insert(row);
        }
    }
    let gone = listed.iter().filter(|(row, reason)| !reason.starts_with(SOMETIMES) && !seen.contains(**row));
    complaints.extend(gone.map(|(row, _)| format!("{row} does not differ any more")));
    report(&format!("{held} dialogues held with Debian's mosquitto, {} rows differ", seen.len()));
    assert!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
}

/// Rows that fail, with what went otherwise. Each has a broker of its own: one that crashes fails one row. What is not
/// listed is held a second time, so that a moment of a busy machine is no difference.
fn differences(file: &str, rows: &[Row], listed: &BTreeMap<&str, &str>) -> Vec<(String, String)> {
    let failures = Mutex::new(Vec::new());
    dialogue::for_each(rows, |row| {
        // `A10.2` is the second value of the row `A10`
        let name = format!("{file}#{}", row.name.split('.').next().unwrap_or_default());
        let mut held = hold(row);
        if held.is_err() && !listed.contains_key(name.as_str()) {
            held = hold(row);
        }
        if let Err(failure) = held {
            failures.lock().unwrap().push((name, failure));
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures
}

fn hold(row: &Row) -> Result<(), String> {
    let broker = row.broker(Kind::Debian);
    row.hold_patiently(local(broker.port()), PATIENCE)
}
