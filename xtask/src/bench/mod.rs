//! `cargo xtask bench`: the release build and its peers, measured in turns with mqload; what comes out goes to
//! `docs/benchmarks.md`.
//!
//! The brokers take turns within each round (A B C A B C), so that a machine that slows down slows all of them, and the
//! median of the rounds counts. Compare the ratios of one run, not the figures of two.

mod brokers;
mod client;
mod durable;
mod page;
mod scaling;
mod scenarios;
mod slow;
mod starts;
mod transports;

use std::path::{PathBuf, absolute};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guard;
use crate::shell::{cargo, execute, output, program, target};
use brokers::{Peer, Server};
use page::{Page, Row};
use scenarios::{SCENARIOS, Scenario};

/// What is measured in another way than [`SCENARIOS`].
const OTHERS: [&str; 4] = [starts::NAME, transports::PROPERTIES, transports::NAME, scaling::NAME];

/// Seconds after which mqload gives up on a broker.
const LIMIT: &str = "60";

const HEAD_START: Duration = Duration::from_millis(100);

struct Options {
    mqload: PathBuf,
    ours: PathBuf,
    peers: Vec<Peer>,
    rounds: usize,
    quick: bool,
    write: bool,
    only: Vec<String>,
}

/// Measures, prints a table for people and a line for programs. An error if ours loses messages.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    if let ["--guard", rest @ ..] = args {
        match rest {
            [] => guard::run(false)?,
            ["--update"] => guard::run(true)?,
            [other, ..] => bail!("--guard goes with --update alone, not `{other}`"),
        }
        return Ok(true);
    }
    if let ["--durable", rest @ ..] = args {
        durable::run(rest)?;
        return Ok(true);
    }
    if args == ["thing"] {
        return thing();
    }
    if let ["client", rest @ ..] = args {
        return client::run(rest);
    }
    let named: Vec<&str>;
    let args = match args {
        ["scaling", rest @ ..] => {
            named = [&["--only", scaling::NAME], rest].concat();
            &named
        }
        _ => args,
    };
    let options = Options::parse(args)?;
    raise_open_files();
    if options.ours == release_build() {
        execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    }
    let mut programs = vec![(Peer::Ours, options.ours.clone())];
    for &peer in &options.peers {
        match peer.find(&options) {
            Ok(path) => programs.push((peer, path)),
            Err(e) => println!("LEFT OUT {}: {e:#}", peer.name()),
        }
    }
    let mut page = Page::new(&programs, options.rounds);
    for name in SCENARIOS.iter().map(|s| s.name).chain(OTHERS).filter(|name| options.wants(name)) {
        let begun = Instant::now();
        page.rows.extend(match name {
            starts::NAME => starts::measure(&programs, if options.quick { 5 } else { 21 })?,
            transports::PROPERTIES | transports::NAME => {
                transports::measure(name, &programs, options.rounds)?
            }
            scaling::NAME => scaling::measure(&options)?,
            _ => {
                let scenario = SCENARIOS.iter().find(|s| s.name == name).context(name)?;
                measure(scenario, &programs, &options)?
            }
        });
        println!("{name} took {:.0} s", begun.elapsed().as_secs_f64());
    }
    println!("\n{}", page.table());
    println!("BENCH {{{}}}", page.machine_line());
    if options.write {
        page.write()?;
    }
    Ok(true)
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut mqload = std::env::var_os("MQLOAD").map(PathBuf::from);
        let (mut ours, mut rounds, mut only) = (release_build(), None, Vec::new());
        let (mut quick, mut write, mut peers) = (false, None, None);
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || args.next().copied().with_context(|| format!("{arg} takes a value"));
            match arg {
                "--mqload" => mqload = Some(absolute(value()?)?),
                "--binary" => ours = absolute(value()?)?,
                "--rounds" => {
                    let number = value()?.parse().ok().filter(|n| *n > 0);
                    rounds = Some(number.context("--rounds takes a number")?);
                }
                "--peers" => {
                    let all: Option<Vec<Peer>> = value()?.split(',').map(Peer::by_name).collect();
                    peers = Some(all.context("--peers takes names of: mosquitto nats rumqttd floor")?);
                }
                "--quick" => quick = true,
                "--write" => write = Some(true),
                "--only" => only.extend(value()?.split(',').map(str::to_owned)),
                other => bail!("unknown option `{other}`, see cargo xtask --help"),
            }
        }
        let names: Vec<_> = SCENARIOS.iter().map(|s| s.name).chain(OTHERS).collect();
        if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
            bail!("unknown scenario `{unknown}`, there are: {}", names.join(" "));
        }
        let mqload =
            mqload.context("where is the load generator? --mqload PATH, or MQLOAD in the environment")?;
        let mut peers = peers.unwrap_or_else(|| vec![Peer::Debian, Peer::Nats, Peer::Floor]);
        peers.retain(|peer| *peer != Peer::Ours);
        let rounds = rounds.unwrap_or(if quick { 1 } else { 3 });
        // parts of the page cannot be renewed by themselves: all of it is from one run
        let write = write.unwrap_or(only.is_empty() && !quick);
        Ok(Self { mqload, ours, peers, rounds, quick, write, only })
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == name)
    }
}

/// All rounds of one scenario: a row for each figure.
fn measure(scenario: &Scenario, programs: &[(Peer, PathBuf)], options: &Options) -> Result<Vec<Row>> {
    let takes_part = |peer: Peer| peer == Peer::Ours || scenario.peers.contains(&peer);
    let mut taking_part: Vec<_> = programs.iter().filter(|(peer, _)| takes_part(*peer)).collect();
    let mut samples: Vec<(Peer, Vec<Option<f64>>)> = Vec::new();
    let rounds = if scenario.once { 1 } else { options.rounds };
    for round in 1..=rounds {
        let mut failed = Vec::new();
        for (peer, path) in &taking_part {
            let result = Server::start(*peer, path, scenario).and_then(|server| {
                let said = load(scenario, *peer, &server, options)?;
                let lost = number(&said, "lost ", ",").is_some_and(|lost| lost > 0.0);
                if lost {
                    bail!("messages were lost:\n{said}");
                }
                Ok(said)
            });
            match result {
                Ok(said) => {
                    print!("{} {round}/{rounds} {}: {said}", scenario.name, peer.name());
                    let figures = scenario.figures.iter().map(|f| number(&said, f.before, f.after));
                    samples.push((*peer, figures.collect()));
                }
                Err(e) if *peer == Peer::Ours => return Err(e.context(scenario.title)),
                // a peer that cannot do it has no figure, and no further try
                Err(e) => {
                    println!("{} {}: {e:#}", scenario.name, peer.name());
                    failed.push(*peer);
                }
            }
        }
        taking_part.retain(|(peer, _)| !failed.contains(peer));
        samples.retain(|(peer, _)| !failed.contains(peer));
    }
    let row = |(number, figure): (usize, &scenarios::Figure)| Row {
        scenario: scenario.name,
        title: scenario.title,
        figure: figure.name,
        unit: figure.unit,
        better: figure.better,
        values: programs
            .iter()
            .filter_map(|(peer, _)| {
                let least = scenario.least.iter().find(|(name, _)| *name == figure.name);
                if let (Peer::Floor, Some((_, least))) = (peer, least) {
                    return Some((*peer, *least));
                }
                let of_peer = samples.iter().filter(|(whose, _)| whose == peer);
                let value =
                    median(of_peer.filter_map(|(_, all)| all.get(number).copied().flatten()).collect());
                Some((*peer, value?))
            })
            .collect(),
    };
    Ok(scenario.figures.iter().enumerate().map(row).collect())
}

/// Runs mqload against a broker, and perhaps another one beside it; gives the report of the first.
fn load(scenario: &Scenario, peer: Peer, server: &Server, options: &Options) -> Result<String> {
    let target = server.address.to_string();
    let mqload = |args: &[&str]| -> Command {
        let mut command = program(&options.mqload, &["--target", &target, "--limit", LIMIT]);
        command.args(args).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command
    };
    let mut measured = mqload(&["--pid", &server.child.id().to_string()]);
    measured.args(scenario.mqload);
    if scenario.messages > 0 {
        let messages = scenario.messages * peer.pace() / if options.quick { 4 } else { 1 };
        measured.args(["--messages", &messages.max(50).to_string()]);
    }
    let _slow = scenario.slow.map(|qos| slow::subscribe(server.address, qos)).transpose()?;
    if scenario.beside.is_empty() {
        return output(&mut measured);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                let mut command = mqload(scenario.beside);
                let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
                let Ok(mut beside) = quiet.spawn() else { return };
                while !over.load(Ordering::Relaxed) && beside.try_wait().is_ok_and(|end| end.is_none()) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                beside.kill().ok();
                beside.wait().ok();
                times += 1;
            }
            println!("{}: {times} times beside {}", scenario.name, peer.name());
        });
        // the other one is at work from the first message on
        std::thread::sleep(HEAD_START);
        let said = output(&mut measured);
        over.store(true, Ordering::Relaxed);
        said
    })
}

/// How soon a thing's LED follows its button across the broker, and what twenty resources cost.
fn thing() -> Result<bool> {
    execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    let mut test = cargo(&["test", "--package", "grovemq-tests", "--test", "lab", "--"]);
    test.args(["--ignored", "--nocapture", "--test-threads", "1", "speed::"]);
    execute(test.env("GROVEMQ_BIN", release_build()))?;
    Ok(true)
}

fn release_build() -> PathBuf {
    target().join("release/grovemq")
}

/// Children inherit it: ten thousand connections need as many descriptors.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }).is_err() {
        eprintln!("the limit of open files stays at {:?}", now.current);
    }
}

/// The number between these words, the first one there is.
fn number(text: &str, before: &str, after: &str) -> Option<f64> {
    text.match_indices(before).find_map(|(at, _)| {
        let rest = text.get(at + before.len()..)?;
        rest.split_once(after)?.0.trim().parse().ok()
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
throughput: published 250000/s, delivered 249990/s, lost 0, latency us p50 900 p99 2100 p99.9 3000 max 4000
throughput: broker cpu 3.250 us per delivery, 0.81 cores, rss 6120 KiB, peak 7000 KiB
";

    fn found(scenario: &str, said: &str) -> Vec<Option<f64>> {
        let scenario = SCENARIOS.iter().find(|s| s.name == scenario).unwrap();
        scenario.figures.iter().map(|f| number(said, f.before, f.after)).collect()
    }

    #[test]
    fn figures_are_found_by_their_words() {
        assert_eq!(found("qos0", SAID), [Some(249_990.0), Some(3.25)]);
        assert_eq!(found("latency", SAID), [Some(900.0), Some(2100.0), Some(3000.0)]);
        let idle = "idle: 10000 connections in 0.51 s\nidle: 0.98 KiB per connection, rss 1 KiB, cpu while idle 0.20 %\n";
        assert_eq!(found("idle", idle), [Some(0.98), Some(0.2)]);
        let filters = "subscriptions: 100 filters in 0.15 s, 667000/s\nsubscriptions: 282 bytes per filter\n";
        assert_eq!(
            found("exact", &[filters, SAID].concat()),
            [Some(249_990.0), Some(3.25), Some(667_000.0), Some(282.0)]
        );
        let retained = "retained: stored 142000/s\nretained: 452 bytes per message of 100\nretained: read 9 in 0.245 s, 408000/s\n";
        assert_eq!(found("retained", retained), [Some(142_000.0), Some(408_000.0), Some(452.0)]);
        let queued = "queued: stored 114000/s\nqueued: 300 bytes per message of 100, broker cpu 4.10 us per message\nqueued: drained 50 in 0.154 s, 324000/s\n";
        assert_eq!(found("queued", queued), [Some(114_000.0), Some(324_000.0), Some(4.1)]);
        assert_eq!(number(SAID, "absent ", "/s"), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn options_are_checked() {
        let parse = |args: &[&str]| Options::parse(&[&["--mqload", "x"], args].concat());
        assert!(parse(&["--only", "qos0,idle"]).is_ok_and(|o| !o.write));
        assert!(parse(&[]).is_ok_and(|o| o.write && o.rounds == 3));
        assert!(parse(&["--quick"]).is_ok_and(|o| !o.write && o.rounds == 1));
        assert!(parse(&["--peers", "nats,rumqttd"]).is_ok_and(|o| o.peers == [Peer::Nats, Peer::Rumqttd]));
        assert!(parse(&["--peers", "nato"]).is_err());
        assert!(parse(&["--only", "scaling,properties"]).is_ok_and(|o| !o.wants("qos0")));
        assert!(parse(&["--only", "qos9"]).is_err());
        assert!(parse(&["--rounds", "0"]).is_err());
    }
}
