//! Every normative statement of MQTT 3.1.1 and 5, and every fault that the broker must survive, and where it is tested.
//!
//! `mqtt-3.1.1.tsv` and `mqtt-5.0.tsv` have a line for each: its id, what it asks for in our words, and the tests, or the
//! reason why there is none. A test is written `connect.txt#A09-v3`, a row of `tests/dialogues`, or
//! `tests/broker/faults.rs#c08_keep_alive`, a function. `*.ids` list the ids of the specifications. `faults.tsv` is the same for faults;
//! `cargo xtask faults` shows it with the result of each test.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod control;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use grovemq_tests::dialogue;
use grovemq_tests::peers::repository;

/// A statement of the specification.
#[derive(Debug, PartialEq, Eq)]
struct Statement<'a> {
    id: &'a str,
    paraphrase: &'a str,
    evidence: Evidence<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Evidence<'a> {
    Tests(Vec<&'a str>),
    /// There is no test, because …
    Exception(&'a str),
}

#[test]
fn each_statement_of_3_1_1_is_tested_or_excepted() {
    check("mqtt-3.1.1");
}

#[test]
fn each_statement_of_5_is_tested_or_excepted() {
    check("mqtt-5.0");
}

#[test]
fn each_fault_is_tested_or_excepted() {
    check("faults");
    let list = read("faults.tsv");
    let nameless: Vec<&str> =
        statements(&list).iter().filter(|row| !is_named(row)).map(|row| row.id).collect();
    assert!(nameless.is_empty(), "no test carries the id of these in its name: {nameless:?}");
}

/// One of its tests begins with its id, perhaps behind others: `b13_b15_…`, `A09-v3`.
fn is_named(row: &Statement<'_>) -> bool {
    let Evidence::Tests(tests) = &row.evidence else { return true };
    let names = tests.iter().filter_map(|test| test.split_once('#')).map(|(_, name)| name);
    let is_id = |word: &&str| word.len() == row.id.len() && word.ends_with(|c: char| c.is_ascii_digit());
    let mut ids = names.flat_map(|name| name.split(['_', '-']).take_while(is_id));
    ids.any(|id| id.eq_ignore_ascii_case(row.id))
}

fn check(version: &str) {
    let (list, ids) = (read(&format!("{version}.tsv")), read(&format!("{version}.ids")));
    let statements = statements(&list);
    let mut complaints = unlisted(&statements, &ids);
    let mut existing = Existing::default();
    let (mut tested, mut over_sockets) = (0, 0);
    for statement in &statements {
        let Evidence::Tests(tests) = &statement.evidence else { continue };
        tested += 1;
        over_sockets += usize::from(tests.iter().any(|test| is_over_sockets(test)));
        let dangling = tests.iter().filter(|test| !existing.has(test));
        complaints.extend(dangling.map(|test| format!("{}: there is no test {test}", statement.id)));
    }
    let excepted = statements.len() - tested;
    report(&format!(
        "{version}: {} statements, {tested} tested ({over_sockets} of them over sockets), {excepted} excepted",
        statements.len(),
    ));
    assert!(complaints.is_empty(), "{} complaint(s):\n{}", complaints.len(), complaints.join("\n"));
}

/// The core and the codec are tested without a socket, and so is the simulation.
fn is_over_sockets(test: &str) -> bool {
    !["crates/core/", "crates/codec/", "tests/simulation/"].iter().any(|dir| test.starts_with(dir))
}

/// Says it even where a test that passes is not listened to.
fn report(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[track_caller]
fn statements(list: &str) -> Vec<Statement<'_>> {
    list.lines()
        .enumerate()
        .map(|(at, line)| statement(line).unwrap_or_else(|e| panic!("line {}: {e}", at + 1)))
        .collect()
}

fn statement(line: &str) -> Result<Statement<'_>, &'static str> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[id, paraphrase, evidence] = &fields[..] else { return Err("a line has three fields") };
    if paraphrase.is_empty() {
        return Err("a statement is put in words");
    }
    let evidence = match evidence.strip_prefix("exception: ") {
        Some(reason) => Evidence::Exception(reason),
        None if evidence.trim().is_empty() => return Err("neither a test nor an exception"),
        None => Evidence::Tests(evidence.split_whitespace().collect()),
    };
    Ok(Statement { id, paraphrase, evidence })
}

/// What the two lists do not agree on.
fn unlisted(statements: &[Statement<'_>], ids: &str) -> Vec<String> {
    let wanted: BTreeSet<&str> = ids.lines().collect();
    let listed: BTreeSet<&str> = statements.iter().map(|s| s.id).collect();
    let mut complaints: Vec<String> = Vec::new();
    complaints.extend(wanted.difference(&listed).map(|id| format!("{id} is not listed")));
    complaints
        .extend(listed.difference(&wanted).map(|id| format!("{id} is no statement of the specification")));
    if listed.len() != statements.len() {
        complaints.push("a statement is listed twice".into());
    }
    complaints
}

/// The tests that there are, by file.
#[derive(Default)]
struct Existing {
    files: BTreeMap<String, BTreeSet<String>>,
}

impl Existing {
    fn has(&mut self, test: &str) -> bool {
        let Some((file, name)) = test.split_once('#') else { return false };
        if !self.files.contains_key(file) {
            self.files.insert(file.to_owned(), names(file));
        }
        self.files[file].contains(name)
    }
}

/// The names of a file's dialogues or test functions; none if there is no such file.
fn names(file: &str) -> BTreeSet<String> {
    if Path::new(file).extension().is_some_and(|e| e == "txt") {
        if !dialogue::files().iter().any(|known| known == file) {
            return BTreeSet::new();
        }
        // `A10.2` is the second value of the row `A10`
        let rows = dialogue::read(file).into_iter();
        return rows.map(|row| row.name.split('.').next().unwrap_or_default().to_owned()).collect();
    }
    let path: PathBuf = repository().join(file);
    std::fs::read_to_string(path).map(|text| test_functions(&text)).unwrap_or_default()
}

/// The functions that stand below `#[test]` or `#[tokio::test…]`, with other attributes in between or not.
fn test_functions(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            if is_test {
                names.insert(rest.split('(').next().unwrap_or_default().to_owned());
            }
            is_test = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    names
}

#[test]
fn a_line_is_a_test_or_an_exception() {
    let tested = statement("X-1\tit works\ta.txt#A b.rs#c").unwrap();
    assert_eq!(tested.evidence, Evidence::Tests(vec!["a.txt#A", "b.rs#c"]));
    let excepted = statement("X-2\tit works\texception: a duty of others").unwrap();
    assert_eq!(excepted.evidence, Evidence::Exception("a duty of others"));
    for bad in ["X-1\tit works", "X-1\tit works\t", "X-1\t\ta.txt#A", "X-1 it works a.txt#A"] {
        assert!(statement(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_row_of_faults_is_named_by_its_tests() {
    let named = |line| is_named(&statement(line).unwrap());
    for good in ["B15\tx\tf.rs#other f.rs#b13_b15_copies", "A09\tx\tc.txt#A09-v3", "E13\tx\texception: none"]
    {
        assert!(named(good), "{good}");
    }
    for bad in ["B15\tx\tf.rs#b13_copies_of_b15", "A09\tx\tc.txt#A10-v3 f.rs#a_09"] {
        assert!(!named(bad), "{bad}");
    }
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    let list = statements("X-1\ta\tt\nX-3\ta\tt\nX-3\ta\tt");
    assert_eq!(
        unlisted(&list, "X-1\nX-2"),
        ["X-2 is not listed", "X-3 is no statement of the specification", "a statement is listed twice"]
    );
}

#[test]
fn a_test_that_does_not_exist_is_noticed() {
    let mut existing = Existing::default();
    assert!(existing.has("connect.txt#A09-v3"));
    assert!(existing.has("connect.txt#A11-v3"), "a row with several values");
    assert!(existing.has("tests/broker/faults.rs#c08_keep_alive"));
    for absent in
        ["connect.txt#A09", "nowhere.txt#A", "tests/broker/faults.rs#shared", "src/none.rs#f", "word"]
    {
        assert!(!existing.has(absent), "{absent}");
    }
}

#[test]
fn functions_are_found_by_their_attribute() {
    let text = "#[test]\n#[ignore]\nfn one() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\n";
    assert_eq!(test_functions(text), ["one", "two"].map(String::from).into());
}
