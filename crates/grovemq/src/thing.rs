//! `thing`: the command line before `grovemq-thing`.

use crate::Call;
use crate::exit::Exit;
use grovemq_thing::config::BoardSetting;
use grovemq_thing::{BoardChoice, Config, Log};
use std::ffi::OsString;
use std::path::PathBuf;

const HELP: &str = "\
[-c thing.toml] [-h host] [-p port] [--board board] [-v]

  -c, --config FILE     What the thing has and where it goes; without one it is the lab's:
                        button0 on D3, potentiometer0 on A0, clock0, led0 on D4, led1 on D5.
  -h, --host HOST       The broker, instead of the file's.
  -p, --port PORT       Its port, instead of the file's.
      --board BOARD     The I2C bus of a GrovePi board, such as /dev/i2c-1, or 'simulated'. If neither
                        this nor the file says which: /dev/i2c-1 if it is there, else simulated.
  -v, --verbose         Print each reading and each message.
      --help            Print this help.
";

/// `thing`
pub(crate) fn run(call: &Call) -> Exit {
    match Options::parse(&call.args) {
        Ok(Some(options)) => options.run(),
        Ok(None) => crate::print(&format!("Usage: {} {HELP}", call.program)),
        Err(text) => {
            crate::complain(&format!("Error: {text}\n\nUse '{} --help' to see usage.", call.program));
            Exit::FAILURE
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Options {
    config: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    board: Option<BoardSetting>,
    verbose: bool,
}

impl Options {
    /// `None`: help is wanted.
    fn parse(args: &[OsString]) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{} needs a value.", arg.display()));
            match arg.to_str().unwrap_or_default() {
                "--help" => return Ok(None),
                "-v" | "--verbose" => options.verbose = true,
                "-c" | "--config" => options.config = Some(value()?.into()),
                "-h" | "--host" => options.host = Some(value()?.to_string_lossy().into_owned()),
                "-p" | "--port" => {
                    let value = value()?;
                    let port = value.to_str().and_then(|text| text.parse().ok()).filter(|&port| port != 0);
                    options.port =
                        Some(port.ok_or_else(|| format!("Invalid port given: {}", value.display()))?);
                }
                "--board" => options.board = Some(board(value()?)),
                other if !other.starts_with('-') => {
                    return Err(format!("Unknown argument '{}'. A file goes behind -c.", arg.display()));
                }
                _ => return Err(format!("Unknown option '{}'.", arg.display())),
            }
        }
        Ok(Some(options))
    }

    fn run(self) -> Exit {
        let mut config = match self.config.as_deref().map(Config::load) {
            None => Config::default(),
            Some(Ok(config)) => config,
            Some(Err(error)) => return failed(&error),
        };
        if let Some(host) = self.host {
            config.broker.host = host;
        }
        if let Some(port) = self.port {
            config.broker.port = port;
        }
        if let Some(board) = self.board {
            config.board = board;
        }
        let board = BoardChoice::from_setting(&config.board);
        let log = Log::stderr(self.verbose);
        crate::block_on(async move {
            match grovemq_thing::run(config, board, log, crate::interrupted()).await {
                Ok(()) => Exit::OK,
                Err(error) => failed(&error),
            }
        })
    }
}

fn board(text: &OsString) -> BoardSetting {
    if text == "simulated" { BoardSetting::Simulated } else { BoardSetting::I2c(text.into()) }
}

fn failed(error: &dyn std::error::Error) -> Exit {
    crate::complain(&format!("Error: {error}"));
    Exit::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_go_before_the_file() {
        let expected = Options {
            config: Some("a.toml".into()),
            host: Some("h".to_owned()),
            port: Some(2),
            board: Some(BoardSetting::Simulated),
            verbose: true,
        };
        assert_eq!(parse("-c a.toml -h h -p 2 --board simulated -v"), Ok(Some(expected)));
        let bus = parse("--board /dev/i2c-7").unwrap().unwrap().board;
        assert_eq!(bus, Some(BoardSetting::I2c("/dev/i2c-7".into())));
        assert_eq!(parse("-v --help"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, error) in [
            ("-c", "-c needs a value."),
            ("-p 0", "Invalid port given: 0"),
            ("--bord x", "Unknown option '--bord'."),
            ("a.toml", "Unknown argument 'a.toml'. A file goes behind -c."),
        ] {
            assert_eq!(parse(line), Err(error.to_owned()), "{line}");
        }
    }
}
