//! What came out: a table with ratios, a line for programs, and a picture.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::brokers::{Peer, machine};
use super::scenarios::Better;
use crate::shell::repository;

const PAGE: &str = "docs/benchmarks.md";
const PICTURE: &str = "docs/benchmarks.svg";
/// What stands between them is written anew.
const BEGIN: &str = "<!-- begin of what `cargo xtask bench` writes -->\n";
const END: &str = "<!-- end of what `cargo xtask bench` writes -->\n";

pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) title: &'static str,
    pub(super) figure: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) values: Vec<(Peer, f64)>,
}

pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    peers: Vec<Peer>,
    versions: Vec<String>,
    rounds: usize,
}

impl Row {
    pub(super) fn of(&self, peer: Peer) -> Option<f64> {
        self.values.iter().find(|(whose, _)| *whose == peer).map(|(_, value)| *value)
    }

    /// How many times as good as the best of the brokers ours is; the floor is none.
    fn times_best(&self) -> Option<f64> {
        let others = self.values.iter().filter(|(peer, _)| !matches!(peer, Peer::Ours | Peer::Floor));
        let others = others.map(|(_, value)| *value).filter(|value| *value > 0.0);
        let ours = self.of(Peer::Ours).filter(|value| *value > 0.0)?;
        match self.better {
            Better::More => Some(ours / others.reduce(f64::max)?),
            Better::Less => Some(others.reduce(f64::min)? / ours),
        }
    }

    /// How many times what the floor takes, in time or for the same number of messages.
    fn times_floor(&self) -> Option<f64> {
        let [ours, floor] = [self.of(Peer::Ours)?, self.of(Peer::Floor)?];
        let times = match self.better {
            Better::More => floor / ours,
            Better::Less => ours / floor,
        };
        Some(times).filter(|times| times.is_finite())
    }
}

impl Page {
    pub(super) fn new(programs: &[(Peer, PathBuf)], rounds: usize) -> Self {
        let peers = programs.iter().map(|(peer, _)| *peer).collect();
        let versions = programs.iter().map(|(peer, path)| peer.version(path)).collect();
        Self { rows: Vec::new(), peers, versions, rounds }
    }

    pub(super) fn table(&self) -> String {
        let names: Vec<_> = self.peers.iter().map(|peer| peer.name()).collect();
        let mut table = format!("| scenario | measure | {} | × best peer | × floor |\n", names.join(" | "));
        table.extend(["|---|---|", &"---:|".repeat(self.peers.len() + 1), "---:|\n"]);
        let mut above = "";
        for row in &self.rows {
            let title = if row.title == above { "" } else { row.title };
            above = row.title;
            let values: Vec<_> = self.peers.iter().map(|peer| shown(row.of(*peer))).collect();
            let times = [row.times_best(), row.times_floor()]
                .map(|times| times.map_or_else(|| "–".to_owned(), |times| format!("{times:.1}")));
            let [peer, floor] = &times;
            // writing to a string cannot fail
            writeln!(table, "| {title} | {} | {} | {peer} | {floor} |", row.unit, values.join(" | ")).ok();
        }
        table
    }

    /// All figures, for programs.
    pub(super) fn machine_line(&self) -> String {
        let mut fields = Vec::new();
        for row in &self.rows {
            for (peer, value) in &row.values {
                fields.push(format!("\"{}.{}.{}\":{value}", row.scenario, row.figure, peer.name()));
            }
        }
        fields.join(",")
    }

    /// Writes the table into the page and the picture beside it.
    pub(super) fn write(&self) -> Result<()> {
        let path = repository().join(PAGE);
        let text = std::fs::read_to_string(&path).context(PAGE)?;
        let (head, rest) = text.split_once(BEGIN).with_context(|| format!("{PAGE} lacks `{BEGIN}`"))?;
        let (_, tail) = rest.split_once(END).with_context(|| format!("{PAGE} lacks `{END}`"))?;
        let block = format!(
            "\nMachine: {}.\nPrograms: {}.\nMedians of {} rounds.\n\n{}\n",
            machine(),
            self.versions.join("; "),
            self.rounds,
            self.table()
        );
        std::fs::write(&path, [head, BEGIN, &block, END, tail].concat()).context(PAGE)?;
        std::fs::write(repository().join(PICTURE), self.picture()).context(PICTURE)?;
        println!("{PAGE} and {PICTURE} are written");
        Ok(())
    }

    /// The rates on a logarithmic scale: a line for each scenario, a dot for each broker.
    fn picture(&self) -> String {
        const LEFT: f64 = 250.0;
        const WIDTH: f64 = 560.0;
        const STEP: f64 = 26.0;
        let rates: Vec<&Row> =
            self.rows.iter().filter(|row| row.better == Better::More && row.unit.ends_with("/s")).collect();
        let x = |value: f64| LEFT + (value.max(1000.0).log10() - 3.0) / 4.5 * WIDTH;
        let mut body = String::new();
        let mut add = |line: String| body.extend([line, "\n".to_owned()]);
        for (i, peer) in self.peers.iter().enumerate() {
            let at = LEFT + f64::from(u32::try_from(i).unwrap_or(0)) * 110.0;
            add(format!("<circle class=\"{0}\" cx=\"{at}\" cy=\"16\" r=\"5\"/>", peer.name()));
            add(format!("<text x=\"{}\" y=\"20\">{}</text>", at + 10.0, peer.name()));
        }
        let mut y = 60.0;
        for row in &rates {
            let label = if row.figure == "rate" {
                row.title.to_owned()
            } else {
                format!("{}: {}", row.title, row.figure)
            };
            add(format!("<text class=\"label\" x=\"{}\" y=\"{}\">{label}</text>", LEFT - 10.0, y + 4.0));
            add(format!("<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>", LEFT + WIDTH));
            for (peer, value) in row.values.iter().rev() {
                let name = peer.name();
                let radius = if *peer == Peer::Ours { 6 } else { 4 };
                let at = x(*value);
                let what = shown(Some(*value));
                add(format!(
                    "<circle class=\"{name}\" cx=\"{at:.1}\" cy=\"{y}\" r=\"{radius}\"><title>{name}: {what}</title></circle>"
                ));
            }
            y += STEP;
        }
        for (value, name) in [(1e3, "1 k"), (1e4, "10 k"), (1e5, "100 k"), (1e6, "1 M"), (1e7, "10 M")] {
            let at = x(value);
            add(format!("<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"45\" y2=\"{y}\"/>"));
            add(format!("<text x=\"{:.1}\" y=\"{}\">{name}/s</text>", at - 14.0, y + 16.0));
        }
        let (width, height) = (LEFT + WIDTH + 30.0, y + 30.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>Messages per second, by broker</title>\n{STYLE}{body}</svg>\n"
        )
    }
}

const STYLE: &str = "\
<style>
text { font: 12px sans-serif; fill: #24292f } .label { text-anchor: end }
line { stroke: #8884 }
.grovemq { fill: #1a7f37 } .mosquitto { fill: #0969da } .nats { fill: #8250df } .rumqttd { fill: #bc4c00 } .floor { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .grovemq { fill: #3fb950 } .mosquitto { fill: #58a6ff } .nats { fill: #bc8cff } .rumqttd { fill: #f0883e } .floor { fill: #6e7681 }
}
</style>
";

fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v >= 1_000_000.0 => format!("{:.2} M", v / 1e6),
        Some(v) if v >= 100_000.0 => format!("{:.0} k", v / 1000.0),
        Some(v) if v >= 10_000.0 => format!("{:.1} k", v / 1000.0),
        Some(v) if v >= 100.0 => format!("{v:.0}"),
        Some(v) => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let row = |figure, unit, better, values: &[(Peer, f64)]| Row {
            scenario: "s",
            title: "t",
            figure,
            unit,
            better,
            values: values.to_vec(),
        };
        let rows = vec![
            row("rate", "messages/s", Better::More, &[(Peer::Ours, 50_000.0), (Peer::Debian, 25_000.0)]),
            row("cpu", "µs", Better::Less, &[(Peer::Ours, 0.5), (Peer::Debian, 2.0), (Peer::Floor, 0.1)]),
        ];
        let peers = vec![Peer::Ours, Peer::Debian, Peer::Floor];
        Page { rows, peers, versions: Vec::new(), rounds: 1 }
    }

    #[test]
    fn ratios_are_against_the_best_broker_and_above_one_where_ours_is_better() {
        assert_eq!(
            page().table(),
            "| scenario | measure | grovemq | mosquitto | floor | × best peer | × floor |\n\
             |---|---|---:|---:|---:|---:|---:|\n\
             | t | messages/s | 50.0 k | 25.0 k | – | 2.0 | – |\n\
             |  | µs | 0.50 | 2.00 | 0.10 | 4.0 | 5.0 |\n"
        );
        assert!(page().machine_line().contains("\"s.cpu.floor\":0.1"));
    }

    #[test]
    fn the_picture_has_a_dot_for_each_rate() {
        let picture = page().picture();
        assert_eq!(picture.matches("<circle").count(), 3 + 2, "{picture}");
        assert!(picture.contains("grovemq: 50.0 k"), "{picture}");
    }

    #[test]
    fn the_page_has_a_place_for_the_table() {
        let text = std::fs::read_to_string(repository().join(PAGE)).unwrap();
        assert!(text.split_once(BEGIN).is_some_and(|(_, rest)| rest.contains(END)));
    }
}
