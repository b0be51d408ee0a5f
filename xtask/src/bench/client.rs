//! `cargo xtask bench client`: the client library beside rumqttc, both against our broker, in turns.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::brokers::{self, Peer, Server};
use super::release_build;
use super::scenarios::SCENARIOS;
use crate::shell::{cargo, execute, output, program, repository, target};

/// The program that is either library's: a workspace of its own.
const MANIFEST: &str = "bench/Cargo.toml";

const PAGE: &str = "docs/client-benchmarks.md";

const LIBRARIES: [&str; 2] = ["ours", "rumqttc"];

/// Version, `QoS`, and messages enough for about a second of the slower library.
const ROWS: [(&str, &str, &str); 6] = [
    ("4", "0", "200000"),
    ("4", "1", "50000"),
    ("4", "2", "30000"),
    ("5", "0", "150000"),
    ("5", "1", "40000"),
    ("5", "2", "25000"),
];

const HEAD: &str = "\
# The client library, measured

One publisher and one subscriber in one thread, 100 bytes a message, at most 100 unacknowledged, against the release build of the
broker on the same machine. `rumqttc` does the same work in turns with ours; the median of the rounds counts. CPU is the
processor time of both clients together, for one message sent and received: it holds stiller than the rate, which the
broker and whatever else the machine does share in. `cargo xtask bench client --write` makes this page.

";

/// Messages per second, and microseconds of processor time per message.
type Measured = (f64, f64);

pub(super) fn run(args: &[&str]) -> Result<bool> {
    let (mut binary, mut rounds, mut write) = (release_build(), 5, false);
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        let mut value = || args.next().copied().with_context(|| format!("{arg} takes a value"));
        match arg {
            "--binary" => binary = PathBuf::from(value()?),
            "--rounds" => {
                let number = value()?.parse().ok().filter(|n| *n > 0);
                rounds = number.context("--rounds takes a number")?;
            }
            "--write" => write = true,
            other => bail!("unknown option `{other}`, see cargo xtask --help"),
        }
    }
    if binary == release_build() {
        execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    }
    execute(cargo(&["build", "--release", "--manifest-path", MANIFEST]).env("CARGO_TARGET_DIR", target()))?;
    let scenario = SCENARIOS.first().context("no scenario")?;
    let broker = Server::start(Peer::Ours, &binary, scenario)?;
    let mut page = format!("{HEAD}{}, {rounds} rounds.\n\n", brokers::machine());
    page += "| | ours, msg/s | rumqttc, msg/s | times | ours, CPU µs | rumqttc, CPU µs | times |\n";
    page += "|---|---|---|---|---|---|---|\n";
    let mut ahead = true;
    for row in ROWS {
        let (line, better) = measure(row, broker.address.port(), rounds)?;
        print!("{line}");
        page += &line;
        ahead &= better;
    }
    if write {
        std::fs::write(repository().join(PAGE), page).context(PAGE)?;
    }
    Ok(ahead)
}

/// A row of the table, and whether ours needs less than the other.
fn measure(row: (&str, &str, &str), port: u16, rounds: usize) -> Result<(String, bool)> {
    let (version, qos, messages) = row;
    let port = port.to_string();
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (library, measured) in LIBRARIES.iter().zip(&mut all) {
            let path = target().join("release/grovemq-bench");
            let said = output(&mut program(path, &[library, version, qos, &port, messages]))?;
            measured.push(parse(&said).with_context(|| format!("{library} says {said:?}"))?);
        }
    }
    let [(our_rate, our_cpu), (rate, cpu)] = all.map(|measured| median(&measured));
    let mut line = String::new();
    let version = if version == "5" { "5" } else { "3.1.1" };
    writeln!(
        line,
        "| MQTT {version}, QoS {qos} | {:.0} k | {:.0} k | **{:.1}** | {our_cpu:.2} | {cpu:.2} | **{:.1}** |",
        our_rate / 1e3,
        rate / 1e3,
        our_rate / rate,
        cpu / our_cpu,
    )?;
    Ok((line, our_cpu < cpu))
}

fn parse(said: &str) -> Option<Measured> {
    let (rate, cpu) = said.trim().split_once(' ')?;
    Some((rate.parse().ok()?, cpu.parse().ok()?))
}

/// Of each column by itself.
fn median(measured: &[Measured]) -> Measured {
    let middle = |column: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(column).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    (middle(|m| m.0), middle(|m| m.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_each_column() {
        assert_eq!(median(&[(1.0, 9.0), (3.0, 7.0), (2.0, 8.0)]), (2.0, 8.0));
        assert_eq!(parse("1000 0.5\n"), Some((1000.0, 0.5)));
        assert_eq!(parse("lost"), None);
    }
}
