//! `thing`: the command line before `grovemq-thing`.

use crate::Call;
use crate::exit::Exit;
use grovemq_thing::config::BoardSetting;
use grovemq_thing::{BoardChoice, Config, ConfigError, Log};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

const HELP: &str = "\
[-c thing.toml] [-h host] [-p port] [--board board] [--coap] [-v]
       grovemq thing check thing.toml…
       grovemq thing schema

  -c, --config FILE     What the thing has and where it goes; without one it is the lab's:
                        button0 on D3, potentiometer0 on A0, clock0, led0 on D4, led1 on D5.
  -h, --host HOST       The broker, instead of the file's.
  -p, --port PORT       Its port, instead of the file's.
      --board BOARD     The I2C bus of a GrovePi board, such as /dev/i2c-1, or 'simulated', or 'unix:'
                        and the socket of 'grovemq board'. If neither this nor the file says which:
                        /dev/i2c-1 if it is there, else simulated.
      --coap[=ADDRESS]  Serve the sensors, actuators and clocks over CoAP, too: at this address with its port, or at
                        port 5683 of the thing's address, or of all. Whoever reaches it may read and set them.
  -v, --verbose         Print each reading and each message.
      --help            Print this help.

'check' names everything that is wrong with files; 'schema' prints what a file can have.
On SIGHUP the file is read again. If it is in order, the thing begins anew with it.
";

/// `thing`
pub(crate) fn run(call: &Call) -> Exit {
    match call.args.split_first() {
        Some((word, files)) if word == "check" => return check(&call.program, files),
        Some((word, [])) if word == "schema" => return crate::print(&grovemq_thing::config::schema()),
        _ => {}
    }
    match Options::parse(&call.args) {
        Ok(Some(options)) => options.run(),
        Ok(None) => crate::print(&help(&call.program)),
        Err(text) => {
            crate::complain(&format!("Error: {text}\n\nUse '{} --help' to see usage.", call.program));
            Exit::FAILURE
        }
    }
}

const COAP_PORT: u16 = 5683;

/// Where CoAP is to be served.
#[derive(Debug, PartialEq)]
enum Coap {
    Usual,
    At(SocketAddr),
}

#[derive(Debug, Default, PartialEq)]
struct Options {
    config: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    board: Option<BoardSetting>,
    coap: Option<Coap>,
    verbose: bool,
}

pub(crate) fn help(program: &str) -> String {
    format!("Usage: {program} {HELP}")
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
                "--coap" => options.coap = Some(Coap::Usual),
                other if other.starts_with("--coap=") => {
                    let address = other.trim_start_matches("--coap=").parse();
                    let invalid =
                        |_| format!("Invalid address given: {other}. It is an IP address and a port.");
                    options.coap = Some(Coap::At(address.map_err(invalid)?));
                }
                other if !other.starts_with('-') => {
                    return Err(format!("Unknown argument '{}'. A file goes behind -c.", arg.display()));
                }
                _ => return Err(format!("Unknown option '{}'.", arg.display())),
            }
        }
        Ok(Some(options))
    }

    fn run(self) -> Exit {
        let config = match self.config() {
            Ok(config) => config,
            Err(error) => return failed(&error),
        };
        crate::block_on(self.live(config))
    }

    /// The file's configuration with the options before it.
    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        if let Some(host) = &self.host {
            config.broker.host.clone_from(host);
        }
        if let Some(port) = self.port {
            config.broker.port = port;
        }
        if let Some(board) = &self.board {
            config.board = board.clone();
        }
        match self.coap {
            Some(Coap::At(address)) => config.coap = Some(address),
            Some(Coap::Usual) => {
                let address = config.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
                config.coap = Some(SocketAddr::new(address, COAP_PORT));
            }
            None => {}
        }
        Ok(config)
    }

    /// Runs, and begins anew with each new configuration.
    async fn live(self, mut config: Config) -> Exit {
        let log = Log::stderr(self.verbose);
        let end = crate::interrupted();
        tokio::pin!(end);
        let mut reloads = Reloads::new();
        loop {
            let board = BoardChoice::from_setting(&config.board);
            let mut next = None;
            let shutdown = async {
                tokio::select! {
                    () = &mut end => {}
                    new = self.new_config(&mut reloads) => next = Some(new),
                }
            };
            if let Err(error) = grovemq_thing::run(config, board, log.clone(), shutdown).await {
                return failed(&error);
            }
            match next {
                Some(new) => config = new,
                None => return Exit::OK,
            }
        }
    }

    /// Waits until a reload finds a configuration that is in order.
    async fn new_config(&self, reloads: &mut Reloads) -> Config {
        loop {
            reloads.next().await;
            match self.config() {
                Ok(config) => {
                    crate::complain("reloaded: beginning anew");
                    return config;
                }
                Err(error) => crate::complain(&format!("{error}\nnot reloaded: going on as before")),
            }
        }
    }
}

/// The requests to read the configuration again.
struct Reloads {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Reloads {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// `thing check`
fn check(program: &str, files: &[OsString]) -> Exit {
    if files.is_empty() || files.iter().any(|file| file.to_string_lossy().starts_with('-')) {
        return crate::print(&format!("Usage: {program} check thing.toml…\n"));
    }
    let mut exit = Exit::OK;
    for file in files {
        match Config::load(file.as_ref()) {
            Ok(config) => {
                let (sensors, actuators) = (config.sensors.len(), config.actuators.len());
                crate::print(&format!(
                    "{}: in order, sensors: {sensors}, actuators: {actuators}\n",
                    file.display()
                ));
            }
            Err(error) => {
                crate::complain(&error.to_string());
                exit = Exit::FAILURE;
            }
        }
    }
    exit
}

fn board(text: &OsString) -> BoardSetting {
    if text == "simulated" {
        return BoardSetting::Simulated;
    }
    match text.to_str().and_then(|text| text.strip_prefix("unix:")) {
        Some(path) => BoardSetting::Remote(path.into()),
        None => BoardSetting::I2c(text.into()),
    }
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
            coap: Some(Coap::Usual),
            verbose: true,
        };
        assert_eq!(parse("-c a.toml -h h -p 2 --board simulated --coap -v"), Ok(Some(expected)));
        let bus = parse("--board /dev/i2c-7").unwrap().unwrap().board;
        assert_eq!(bus, Some(BoardSetting::I2c("/dev/i2c-7".into())));
        assert_eq!(parse("-v --help"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, error) in [
            ("-c", "-c needs a value."),
            ("--coap=5683", "Invalid address given: --coap=5683. It is an IP address and a port."),
            ("-p 0", "Invalid port given: 0"),
            ("--bord x", "Unknown option '--bord'."),
            ("a.toml", "Unknown argument 'a.toml'. A file goes behind -c."),
        ] {
            assert_eq!(parse(line), Err(error.to_owned()), "{line}");
        }
    }
}
