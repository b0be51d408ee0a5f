//! Dialogues from `tests/dialogues`: what is sent to a broker, byte for byte, and what it has to answer.
//!
//! | line | meaning |
//! |---|---|
//! | `== A03 title` | a row begins; the first word names it, and `@` stands for that name below |
//! | `each x y`, `each x \| y z` | below the title: the row is held with each of these in the place of `%` |
//! | `with max_qos 1` | below the title: the row has a broker of its own, with this line of configuration |
//! | `a tcp` | `a` connects and sends nothing yet |
//! | `a v3`, `a v5` | `a` connects as `@a` with MQTT 3.1.1 or 5, clean start, keep-alive 60 s, and is accepted |
//! | `b v5 as @a` | the same under another client id |
//! | `a > …` | `a` sends this, in the [notation](crate::notation) |
//! | `a >? …` | the same, but the broker may close before it has all |
//! | `a < …` | the next packets that come to `a` are these |
//! | `a closes` | the broker closes the connection without another byte |
//! | `a closes 82` | it says DISCONNECT with this reason code (MQTT 5) first |
//! | `a refused 85` | it says CONNACK with this code first |
//! | `a pings` | PINGREQ is answered, and nothing comes before the answer |
//! | `a silent` | nothing comes for a moment |
//! | `a ends`, `a drops` | `a` sends no more but reads on; its connection is closed |
//! | `wait 100` | so many milliseconds |

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::SOON;
use crate::peer::{Peer, local};
use crate::{Broker, Kind};

/// So many rows are held at a time.
const AT_A_TIME: usize = 8;

/// One conversation: a row of a file, or one of several if it has `each`.
#[derive(Debug)]
pub struct Row {
    /// `A03`, or `A03.2` for the second value of its `each`.
    pub name: String,
    /// Lines of configuration.
    with: String,
    /// The steps with their lines in the file.
    steps: Vec<(usize, String)>,
}

impl Row {
    /// Must the broker have a configuration of its own for it?
    pub fn has_configuration(&self) -> bool {
        !self.with.is_empty()
    }

    /// A broker of its own for this row.
    #[track_caller]
    pub fn broker(&self, kind: Kind) -> Broker {
        Broker::start(kind, &format!("allow_anonymous true\n{}", self.with))
    }

    /// Holds the conversation with this broker.
    ///
    /// # Errors
    /// What was awaited and what came, with the line of the step.
    pub fn hold(&self, target: SocketAddr) -> Result<(), String> {
        self.hold_patiently(target, SOON)
    }

    /// The same with another limit to each wait.
    ///
    /// # Errors
    /// The same.
    pub fn hold_patiently(&self, target: SocketAddr, patience: Duration) -> Result<(), String> {
        let mut peers = BTreeMap::new();
        for (line, step) in &self.steps {
            guarded(|| take_step(target, patience, self, &mut peers, step))
                .map_err(|text| format!("{line}: {}: {step}\n    {text}", self.name))?;
        }
        drop(peers);
        if self.has_configuration() {
            return Ok(()); // nobody else uses this broker, and it may refuse a canary
        }
        guarded(|| canary(target, &self.name)).map_err(|text| format!(" after {}: {text}", self.name))
    }
}

/// The names of all files with dialogues, sorted.
pub fn files() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All rows of a file.
#[track_caller]
pub fn read(file: &str) -> Vec<Row> {
    let path = folder().join(file);
    rows(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// All rows of a text.
#[track_caller]
pub fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut values: Vec<&str> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(title) = line.strip_prefix("== ") {
            finish(&mut rows, &values);
            values.clear();
            let name = title.split_whitespace().next().expect("a row has a name").to_string();
            rows.push(Row { name, with: String::new(), steps: Vec::new() });
        } else if let Some(list) = line.strip_prefix("each ") {
            values = if list.contains(" | ") {
                list.split(" | ").collect()
            } else {
                list.split_whitespace().collect()
            };
        } else if let Some(line) = line.strip_prefix("with ") {
            rows.last_mut().expect("a row begins with `==`").with.extend([line, "\n"]);
        } else if !line.is_empty() && !line.starts_with('#') {
            let row = rows.last_mut().expect("a row begins with `==`");
            row.steps.push((at + 1, line.to_string()));
        }
    }
    finish(&mut rows, &values);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    rows
}

/// Does this for each row, several at a time.
pub fn for_each(rows: &[Row], body: impl Fn(&Row) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    body(row);
                }
            });
        }
    });
}

/// Holds all rows with the broker at this address, those with a configuration with one of our own, and reports all that
/// fail.
#[track_caller]
pub fn hold_all(file: &str, rows: &[Row], target: SocketAddr) {
    let failures = Mutex::new(Vec::new());
    for_each(rows, |row| {
        let own = row.has_configuration().then(|| row.broker(Kind::Ours));
        let target = own.as_ref().map_or(target, |own| local(own.port()));
        if let Err(failure) = row.hold(target) {
            failures.lock().unwrap().push(format!("{file}:{failure}"));
        }
    });
    let failures = failures.into_inner().unwrap();
    let (bad, all) = (failures.len(), rows.len());
    assert!(bad == 0, "{bad} of {all} dialogues fail\n{}", failures.join("\n"));
}

fn folder() -> PathBuf {
    crate::peers::repository().join("tests/dialogues")
}

/// Puts the values of `each` and the row's name into its steps.
fn finish(rows: &mut Vec<Row>, values: &[&str]) {
    let Some(row) = rows.pop() else { return };
    let filled = |name: String, value: &str| {
        let steps =
            row.steps.iter().map(|(line, step)| (*line, step.replace('%', value).replace('@', &name)));
        Row { steps: steps.collect(), with: row.with.clone(), name }
    };
    if values.is_empty() {
        rows.push(filled(row.name.clone(), "%"));
    }
    rows.extend(values.iter().enumerate().map(|(i, value)| filled(format!("{}.{}", row.name, i + 1), value)));
}

/// A failed expectation as a text.
fn guarded(body: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

fn take_step(
    target: SocketAddr,
    patience: Duration,
    row: &Row,
    peers: &mut BTreeMap<String, Peer>,
    step: &str,
) {
    let (name, rest) = step.split_once(' ').unwrap_or((step, ""));
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if name == "wait" {
        std::thread::sleep(Duration::from_millis(verb.parse().unwrap()));
        return;
    }
    let id = rest.strip_prefix("as ").map_or_else(|| format!("{}{name}", row.name), ToString::to_string);
    let opened = match verb {
        "tcp" => Some(Peer::open(target)),
        "v3" => Some(Peer::v3_at(target, &id)),
        "v5" => Some(Peer::v5_at(target, &id)),
        _ => None,
    };
    if let Some(peer) = opened {
        peers.insert(name.to_string(), peer.with_patience(patience));
        return;
    }
    let Some(peer) = peers.get_mut(name) else { panic!("{name} is not connected") };
    let code = || u8::from_str_radix(rest, 16).unwrap_or_else(|e| panic!("{rest}: {e}"));
    match verb {
        ">" => peer.send(rest),
        ">?" => peer.send_anyway(rest),
        "<" => peer.expect(rest),
        "closes" if rest.is_empty() => peer.closed(),
        "closes" => peer.closed_with(code()),
        "refused" => {
            // the flags byte and the code are followed by properties in MQTT 5 only
            peer.expect(&format!("CONNACK{{00 {:02x} *}}", code()));
            peer.closed();
        }
        "pings" => peer.ping(),
        "silent" => peer.silent(),
        "ends" => peer.end(),
        "drops" => drop(peers.remove(name)),
        other => panic!("nobody knows what `{other}` means"),
    }
}

/// Others are served as before.
fn canary(target: SocketAddr, row: &str) {
    let mut peer = Peer::v3_at(target, &format!("{row}-canary"));
    peer.subscribe_v3(&format!("canary/{row}"), 1);
    peer.send(&format!("PUBLISH1{{\"canary/{row}\" 0007 'alive'}}"));
    peer.expect_in_any_order(&format!("PUBACK{{0007}} PUBLISH1{{\"canary/{row}\" 0001 'alive'}}"));
}
