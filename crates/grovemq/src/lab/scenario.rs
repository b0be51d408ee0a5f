//! A scenario: the folder it is in, and what `lab.toml` there says.

use grovemq_config::Config as BrokerConfig;
use grovemq_thing::Config as ThingConfig;
use grovemq_thing::script::Script;
use serde::Deserialize;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// One that comes with the program.
pub(super) struct Example {
    pub name: &'static str,
    /// Names and texts.
    files: &'static [(&'static str, &'static str)],
}

macro_rules! examples {
    ($($name:literal: $($file:literal)+;)+) => {
        /// Their names.
        pub(crate) const NAMES: &[&str] = &[$($name),+];

        pub(super) const EXAMPLES: &[Example] = &[$(Example {
            name: $name,
            files: &[$(($file, include_str!(concat!("../../../../examples/lab/", $name, "/", $file)))),+],
        }),+];
    };
}

examples! {
    "scenario-1": "lab.toml" "thing-1.toml" "thing-2.toml" "hand.toml";
    "scenario-2": "lab.toml" "thing-1.toml" "thing-2.toml" "hand.toml" "knob.toml";
    "scenario-3": "lab.toml" "ranger.toml" "signs.toml" "car.toml";
    "weather": "lab.toml" "station.toml" "alarm.toml" "day.toml";
    "class": "lab.toml" "teacher.toml" "pupil.toml" "bell.toml" "hand.toml" "mosquitto.conf" "rules.acl" "passwords";
}

const FILE: &str = "lab.toml";
/// A longer file is refused.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// More things are refused: each has a thread and a connection.
const THINGS_MAX: usize = 250;
/// Of one thing and the next of several alike.
const SECONDS_APART: f64 = 1.0;

/// What is to be run.
pub(super) struct Scenario {
    pub sheet: Sheet,
    /// Without a file `mosquitto.conf` in the folder, that of a broker for this machine.
    pub broker: BrokerConfig,
    pub things: Vec<Thing>,
}

/// `lab.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sheet {
    /// What it is, in a line.
    pub about: String,
    /// What happens by itself.
    #[serde(default)]
    pub story: String,
    /// Commands worth typing; `{port}` is the broker's.
    #[serde(default, rename = "try")]
    pub commands: Vec<String>,
    #[serde(rename = "thing")]
    things: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    script: Option<String>,
    #[serde(default = "one")]
    count: usize,
}

pub(super) struct Thing {
    /// What it is called on the screen: its address.
    pub label: String,
    pub config: ThingConfig,
    /// What happens to its board, and how many seconds later than to others.
    pub script: Option<(Script, f64)>,
}

impl Example {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        EXAMPLES.iter().find(|example| example.name == name)
    }

    /// What it is, in a line.
    pub(super) fn about(&self) -> String {
        let sheet = self.files.iter().find(|(name, _)| *name == FILE).map(|(_, text)| Sheet::parse(text));
        sheet.and_then(Result::ok).map(|sheet| sheet.about).unwrap_or_default()
    }

    /// Writes its files there. A file that is there already is an error, and stays.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for (name, text) in self.files {
            let path = folder.join(name);
            let file = std::fs::File::create_new(&path);
            file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

impl Sheet {
    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("{FILE}: {}", error.to_string().trim_end()))
    }
}

impl Scenario {
    /// Reads and checks everything in the current folder, for a broker at this port.
    pub(super) fn load(port: u16) -> Result<Self, String> {
        let mut text = String::new();
        let file = std::fs::File::open(FILE);
        file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| format!("{FILE}: {error}"))?;
        let sheet = Sheet::parse(&text)?;
        let total = sheet.things.iter().fold(0_usize, |sum, entry| sum.saturating_add(entry.count));
        if total > THINGS_MAX {
            return Err(format!("{FILE}: more than {THINGS_MAX} things"));
        }
        let mut things = Vec::new();
        for entry in &sheet.things {
            entry.load(port, &mut things)?;
        }
        Ok(Self { sheet, broker: load_broker()?, things })
    }
}

impl Entry {
    fn load(&self, port: u16, things: &mut Vec<Thing>) -> Result<(), String> {
        let config = ThingConfig::load(self.file.as_ref()).map_err(|error| error.to_string())?;
        let script = self.script.as_deref().map(|file| Script::load(file.as_ref()));
        let script = script.transpose().map_err(|error| error.to_string())?;
        let Some(IpAddr::V4(first)) = config.address else {
            return Err(format!("{}: in a lab a thing needs an `address` such as \"127.0.0.2\"", self.file));
        };
        let mut behind = 0.0;
        for number in 0..self.count {
            let address = u32::try_from(number).ok().and_then(|number| first.to_bits().checked_add(number));
            let address = Ipv4Addr::from_bits(address.ok_or_else(|| format!("{}: too many", self.file))?);
            let mut config = config.clone();
            config.address = Some(address.into());
            config.broker.host = Ipv4Addr::LOCALHOST.to_string();
            config.broker.port = port;
            // what the broker's log calls it by; on Linux every address of 127.0.0.0/8 is this machine's
            config.broker.bind_address =
                (address.is_loopback() && cfg!(target_os = "linux")).then_some(address.into());
            let script = script.clone().map(|script| (script, behind));
            things.push(Thing { label: address.to_string(), config, script });
            behind += SECONDS_APART;
        }
        Ok(())
    }
}

fn load_broker() -> Result<BrokerConfig, String> {
    let file = Path::new("mosquitto.conf");
    if !file.exists() {
        return Ok(BrokerConfig::default());
    }
    let lines = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    BrokerConfig::load(file).map(|(config, _)| config).map_err(lines)
}

fn one() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_says_what_it_is() {
        for example in EXAMPLES {
            assert!(!example.about().is_empty(), "{}", example.name);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("about = 'x'", "missing field `thing`"),
            ("about = 'x'\nthing = []\nport = 1", "unknown field `port`"),
            ("about = 'x'\n[[thing]]\nfile = 1", "invalid type"),
            ("about =", "lab.toml: TOML parse error at line 1"),
        ] {
            let error = Sheet::parse(text).err().unwrap();
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
