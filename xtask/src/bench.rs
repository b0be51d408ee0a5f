//! `cargo xtask bench`: the release build, Debian's mosquitto and the floor, measured in turns with mqload.
//!
//! The brokers take turns within each round (A B C A B C), so that a machine that slows down slows all of them, and the
//! median of the rounds counts. Compare the ratios of one run, not the figures of two.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guard;
use crate::shell::{cargo, execute, output, program, target};

struct Scenario {
    name: &'static str,
    title: &'static str,
    mqload: &'static [&'static str],
    /// The floor copies messages and knows nothing else.
    has_floor: bool,
    figures: &'static [Figure],
}

/// A number in mqload's report, found by the words around it.
struct Figure {
    name: &'static str,
    unit: &'static str,
    before: &'static str,
    after: &'static str,
}

const fn figure(name: &'static str, unit: &'static str, before: &'static str, after: &'static str) -> Figure {
    Figure { name, unit, before, after }
}

const FLOW: &[Figure] = &[
    figure("rate", "deliveries/s", "delivered ", "/s"),
    figure("cpu", "µs CPU per delivery", "broker cpu ", " us"),
    figure("p99", "µs latency p99", "p99 ", " "),
    figure("rss", "KiB resident", "rss ", " KiB"),
];
const CONNECT: &[Figure] = &[
    figure("rate", "connects/s", "connect: ", " connections/s"),
    figure("cpu", "µs CPU per connect", "broker cpu ", " us"),
];
const IDLE: &[Figure] = &[
    figure("memory", "KiB per connection", "idle: ", " KiB per"),
    figure("cpu", "% CPU at rest", "cpu while idle ", " %"),
];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "qos0",
        title: "QoS 0, 1→1, 100 B",
        mqload: &["throughput", "--messages", "1000000"],
        has_floor: true,
        figures: FLOW,
    },
    Scenario {
        name: "qos1",
        title: "QoS 1, 1→1, 100 B",
        mqload: &["throughput", "--qos", "1", "--messages", "300000"],
        has_floor: false,
        figures: FLOW,
    },
    Scenario {
        name: "qos2",
        title: "QoS 2, 1→1, 100 B",
        mqload: &["throughput", "--qos", "2", "--messages", "200000"],
        has_floor: false,
        figures: FLOW,
    },
    Scenario {
        name: "fanout",
        title: "QoS 0, 1→100, 100 B",
        mqload: &["throughput", "--subscribers", "100", "--messages", "20000"],
        has_floor: true,
        figures: FLOW,
    },
    Scenario {
        name: "connect",
        title: "connects",
        mqload: &["connect", "--count", "15000"],
        has_floor: true,
        figures: CONNECT,
    },
    Scenario {
        name: "idle",
        title: "10,000 idle connections",
        mqload: &["idle"],
        has_floor: false,
        figures: IDLE,
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Ours,
    Debian,
    Floor,
}

const PEERS: [Peer; 3] = [Peer::Ours, Peer::Debian, Peer::Floor];

struct Options {
    mqload: PathBuf,
    nullbroker: Option<PathBuf>,
    ours: PathBuf,
    rounds: usize,
    only: Vec<String>,
}

/// Measures, prints a table for people and a line for programs. An error if a broker loses messages.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    if let ["--guard", rest @ ..] = args {
        match rest {
            [] => guard::run(false)?,
            ["--update"] => guard::run(true)?,
            [other, ..] => bail!("--guard goes with --update alone, not `{other}`"),
        }
        return Ok(true);
    }
    let options = Options::parse(args)?;
    raise_open_files();
    if options.ours == release_build() {
        execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    }
    let mut table =
        String::from("| scenario | measure | GroveMQ | mosquitto | floor | × mosquitto | × floor |\n");
    table += "|---|---|---:|---:|---:|---:|---:|\n";
    let mut machine = Vec::new();
    for scenario in
        SCENARIOS.iter().filter(|s| options.only.is_empty() || options.only.iter().any(|o| o == s.name))
    {
        let medians = measure(scenario, &options)?;
        for (number, figure) in scenario.figures.iter().enumerate() {
            let values = PEERS.map(|peer| medians(peer, number));
            write_row(&mut table, scenario.title, figure.unit, values)?;
            for (value, peer) in values.iter().zip(["grovemq", "mosquitto", "floor"]) {
                machine.extend(value.map(|v| format!("\"{}.{}.{peer}\":{v}", scenario.name, figure.name)));
            }
        }
    }
    println!("\nMedians of {} rounds.\n\n{table}", options.rounds);
    println!("BENCH {{{}}}", machine.join(","));
    Ok(true)
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let (mut mqload, mut nullbroker) = (from_env("MQLOAD"), from_env("NULLBROKER"));
        let (mut ours, mut rounds, mut only) = (release_build(), 3, Vec::new());
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || args.next().copied().with_context(|| format!("{arg} takes a value"));
            match arg {
                "--mqload" => mqload = Some(value()?.into()),
                "--nullbroker" => nullbroker = Some(value()?.into()),
                "--binary" => ours = value()?.into(),
                "--rounds" => {
                    rounds = value()?.parse().ok().filter(|n| *n > 0).context("--rounds takes a number")?;
                }
                "--only" => only.extend(value()?.split(',').map(str::to_owned)),
                other => bail!("unknown option `{other}`, see cargo xtask --help"),
            }
        }
        if let Some(unknown) = only.iter().find(|name| !SCENARIOS.iter().any(|s| s.name == *name)) {
            bail!("unknown scenario `{unknown}`");
        }
        let mqload =
            mqload.context("where is the load generator? --mqload PATH, or MQLOAD in the environment")?;
        Ok(Options { mqload, nullbroker, ours, rounds, only })
    }
}

/// All rounds of one scenario; returns the median of a peer's figure.
fn measure(scenario: &Scenario, options: &Options) -> Result<impl Fn(Peer, usize) -> Option<f64>> {
    let mut samples: Vec<(Peer, Vec<Option<f64>>)> = Vec::new();
    for round in 1..=options.rounds {
        for peer in PEERS {
            let Some(server) = Server::start(peer, scenario, options)? else { continue };
            let mut mqload = program(&options.mqload, &["--target", &server.address.to_string()]);
            mqload.args(["--pid", &server.child.id().to_string()]).args(scenario.mqload);
            mqload.env("RUST_BACKTRACE", "0");
            let said = output(&mut mqload).with_context(|| format!("{} with {peer:?}", scenario.title))?;
            print!("round {round} {peer:?}: {said}");
            if number(&said, "lost ", ",").is_some_and(|lost| lost > 0.0) {
                bail!("{peer:?} lost messages in {}", scenario.title);
            }
            samples.push((peer, scenario.figures.iter().map(|f| number(&said, f.before, f.after)).collect()));
        }
    }
    Ok(move |peer: Peer, figure: usize| {
        let of_peer = samples.iter().filter(|(whose, _)| *whose == peer);
        median(of_peer.filter_map(|(_, figures)| figures.get(figure).copied().flatten()).collect())
    })
}

/// A broker that is killed when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(peer: Peer, scenario: &Scenario, options: &Options) -> Result<Option<Self>> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("mosquitto.conf");
        // with its default of 20 the original drops QoS 2 messages that mqload has under way
        let lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nmax_inflight_messages 0\n",
            address.port()
        );
        std::fs::write(&file, lines)?;
        let mut command = match (peer, &options.nullbroker) {
            (Peer::Ours, _) => with_file(&options.ours, &["broker"], &file),
            (Peer::Debian, _) => with_file(Path::new("/usr/sbin/mosquitto"), &[], &file),
            (Peer::Floor, Some(path)) if scenario.has_floor => program(path, &[&address.to_string()]),
            (Peer::Floor, _) => return Ok(None),
        };
        // root's mosquitto becomes another user, who must be able to come here
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("{peer:?} does not start"))?;
        let server = Server { child, address, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("{peer:?} does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn release_build() -> PathBuf {
    target().join("release/grovemq")
}

fn with_file(path: &Path, args: &[&str], file: &Path) -> Command {
    let mut command = program(path, args);
    command.arg("-c").arg(file);
    command
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

fn write_row(
    table: &mut String,
    title: &str,
    unit: &str,
    [ours, debian, floor]: [Option<f64>; 3],
) -> Result<()> {
    let ratio = |other: Option<f64>| match (ours, other) {
        (Some(ours), Some(other)) if other > 0.0 => format!("{:.2}", ours / other),
        _ => "–".into(),
    };
    let [a, b, c] = [ours, debian, floor].map(shown);
    writeln!(table, "| {title} | {unit} | {a} | {b} | {c} | {} | {} |", ratio(debian), ratio(floor))?;
    Ok(())
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v >= 100_000.0 => format!("{:.0} k", v / 1000.0),
        Some(v) if v >= 10_000.0 => format!("{:.1} k", v / 1000.0),
        Some(v) if v >= 100.0 => format!("{v:.0}"),
        Some(v) => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
throughput: published 250000/s, delivered 249990/s, lost 0, latency us p50 900 p99 2100 p99.9 3000 max 4000
throughput: broker cpu 3.250 us per delivery, 0.81 cores, rss 6120 KiB, peak 7000 KiB
";

    #[test]
    fn figures_are_found_by_their_words() {
        let found: Vec<_> = FLOW.iter().map(|f| number(SAID, f.before, f.after)).collect();
        assert_eq!(found, [Some(249_990.0), Some(3.25), Some(2100.0), Some(6120.0)]);
        let idle = "idle: 10000 connections in 0.51 s\nidle: 0.98 KiB per connection, rss 1 KiB, cpu while idle 0.20 %\n";
        let found: Vec<_> = IDLE.iter().map(|f| number(idle, f.before, f.after)).collect();
        assert_eq!(found, [Some(0.98), Some(0.2)]);
        assert_eq!(number(SAID, "absent ", "/s"), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn rows_have_ratios_where_both_figures_exist() {
        let mut table = String::new();
        write_row(&mut table, "t", "u", [Some(50_000.0), Some(25_000.0), None]).unwrap();
        assert_eq!(table, "| t | u | 50.0 k | 25.0 k | – | 2.00 | – |\n");
    }

    #[test]
    fn options_are_checked() {
        assert!(Options::parse(&["--mqload", "x", "--only", "qos0,idle"]).is_ok());
        assert!(Options::parse(&["--mqload", "x", "--only", "qos9"]).is_err());
        assert!(Options::parse(&["--mqload", "x", "--rounds", "0"]).is_err());
    }
}
