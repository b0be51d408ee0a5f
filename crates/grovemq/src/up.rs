//! `grovemq up`: a broker, and a thing on a simulated board with keys to play on it.

use crate::exit::Exit;
use crate::keys::{Control, KNOB_MAX, Keys};
use crate::{Call, complain};
use grovemq_broker::{Broker, Log as BrokerLog, StartError};
use grovemq_config::{Config, LogType, LogTypes, Overlay, port_argument};
use grovemq_thing::Template;
use grovemq_thing::config::{Analog, BoardSetting, Digital, Input, Output};
use grovemq_thing::{
    AnalogPin, BoardChoice, Config as ThingConfig, Log as ThingLog, Pin, Place, SimulatedBoard,
};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;

const HELP: &str = "\
[-p port] [--public] [--no-thing] [--no-store] [-v]

  -p, --port PORT   Listen on this port instead of 1883.
      --public      Listen on every address, for everybody who can reach this machine. Without it
                    only programs on this machine can connect.
      --no-thing    The broker alone.
      --no-store    Keep nothing on disk.
  -v, --verbose     Print what the broker and the thing do.
      --help        Print this help.
";

/// How often the board is looked at for changes of its lamps.
const LOOK: Duration = Duration::from_millis(40);
/// One turn of the knob: of 1023.
const TURN: u16 = 32;
/// How long the broker has to hear the thing's good-bye and to pass it on, before it ends too.
pub(crate) const FAREWELL: Duration = Duration::from_millis(250);

#[derive(Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "options that are given or not")]
struct Options {
    port: u16,
    public: bool,
    thing: bool,
    verbose: bool,
    /// Messages are kept on disk.
    store: bool,
}

pub(crate) fn run(call: &Call) -> Exit {
    match Options::parse(&call.args) {
        Ok(Some(options)) => options.run(),
        Ok(None) => crate::print(&help(&call.program)),
        Err(text) => {
            complain(&format!("{text}\n\nUse '{} --help' to see usage.", call.program));
            Exit::FAILURE
        }
    }
}

pub(crate) fn help(program: &str) -> String {
    format!("Usage: {program} {HELP}")
}

impl Options {
    /// `None`: help is wanted.
    fn parse(args: &[OsString]) -> Result<Option<Self>, String> {
        let mut options = Self { port: 1883, public: false, thing: true, verbose: false, store: true };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.to_str().unwrap_or_default() {
                "--help" | "-h" => return Ok(None),
                "-p" | "--port" => {
                    let port = args.next().ok_or("Error: --port needs a number.")?;
                    options.port = port_argument(&port.to_string_lossy()).map_err(|e| e.to_string())?;
                }
                "--public" => options.public = true,
                "--no-thing" => options.thing = false,
                "--no-store" => options.store = false,
                "-v" | "--verbose" => options.verbose = true,
                _ => return Err(format!("Error: Unknown option '{}'.", arg.display())),
            }
        }
        Ok(Some(options))
    }

    fn run(&self) -> Exit {
        let store = self.store.then(|| find_store(self.port)).flatten();
        let broker = match self.start_broker(store.as_deref()) {
            Ok(broker) => broker,
            Err(text) => {
                complain(&text);
                return Exit::FAILURE;
            }
        };
        let board = SimulatedBoard::default();
        let config = self.thing.then(|| self.thing_config());
        let panel = Panel::new(board.clone(), config.as_ref());
        let keys = Keys::start();
        let button = config.as_ref().and_then(button_topic);
        crate::print(&self.greeting(&panel, store.as_deref(), button.as_deref(), keys.is_terminal()));
        let exit = crate::block_on(live(config, board, panel, keys, self.verbose));
        broker.stop();
        exit
    }

    fn start_broker(&self, store: Option<&Path>) -> Result<Broker, String> {
        let mut config = if self.public {
            let text = format!("listener {}\nallow_anonymous true\n", self.port);
            Config::from_text(&text, Path::new("up")).map(|(config, _)| config).unwrap_or_default()
        } else {
            Config::default()
        };
        config.persistence.on = store.is_some();
        config.persistence.location = store.map(Into::into);
        start_broker(config, self.port, self.verbose)
    }

    fn thing_config(&self) -> ThingConfig {
        let mut config = ThingConfig::default();
        config.broker.port = self.port;
        config.board = BoardSetting::Simulated;
        // not the default one, which is that of a `grovemq thing` on the same machine
        config.broker.client_id = Template::parse("up-{hostname}-{interface}").ok();
        config
    }

    fn greeting(&self, panel: &Panel, store: Option<&Path>, button: Option<&str>, terminal: bool) -> String {
        let port = self.port;
        let option = if port == 1883 { String::new() } else { format!(" -p {port}") };
        let reach = if self.public {
            format!("port {port} of every address, IPv4 and IPv6, for everybody")
        } else {
            format!("127.0.0.1 and [::1], port {port}, this machine only (--public opens it)")
        };
        let mut text = format!("GroveMQ {}\n\n  broker  {reach}\n", env!("CARGO_PKG_VERSION"));
        let _infallible = match store {
            Some(store) => {
                writeln!(text, "          keeps messages for absent clients in {}", store.display())
            }
            None => writeln!(text, "          keeps messages for absent clients in memory only"),
        };
        if self.thing {
            let _infallible =
                writeln!(text, "  thing   {}\n          on a simulated GrovePi board", panel.names());
        }
        text.push_str("\n  try     in other terminals:\n");
        let _infallible = writeln!(text, "            grovemq sub{option} -t '#' -v");
        let _infallible = writeln!(text, "            grovemq pub{option} -t hello -m 'Hello, World!'");
        if let Some(topic) = button {
            let _infallible = writeln!(text, "            grovemq pub{option} -t {topic} -m True");
        }
        text.push_str("          without an installed grovemq: cargo run --release -- sub …\n\n");
        match (self.thing, terminal) {
            (true, true) => {
                text.push_str("  keys    b  press or release the button    + -  turn the knob    q  end\n\n");
            }
            (true, false) => text.push_str("  words   press, release, knob 0…1023, quit\n\n"),
            (false, true) => text.push_str("  keys    q  end\n\n"),
            (false, false) => text.push_str("  words   quit\n\n"),
        }
        text
    }
}

/// A broker for this port, if the configuration names none. It tells what went wrong, or everything.
pub(crate) fn start_broker(mut config: Config, port: u16, verbose: bool) -> Result<Broker, String> {
    let overlay = Overlay { ports: vec![port], verbose, ..Overlay::default() };
    config.overlay(&overlay).map_err(|e| e.to_string())?;
    if !verbose {
        config.log.types = LogTypes::NONE.with(LogType::Error).with(LogType::Warning);
    }
    let log = BrokerLog::start(&config.log)?;
    Broker::start(&config, log).map_err(|e| match e {
        StartError::Listen(..) => format!("{e}; is another broker running? Try --port."),
        _ => e.to_string(),
    })
}

/// Where messages are kept: a directory of the user's own for each port.
fn find_store(port: u16) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/state")))?;
    let store = state.join(format!("grovemq/up-{port}"));
    std::fs::create_dir_all(&store).ok().map(|()| store)
}

/// Where the thing's button publishes to.
fn button_topic(config: &ThingConfig) -> Option<String> {
    let button = config
        .sensors
        .iter()
        .find(|sensor| matches!(sensor.input, Input::Digital { sense: Digital::Button, .. }))?;
    // a machine without such a place is the thing's matter, which says so
    let place = Place::of_this_machine(config.interface.as_deref(), config.address).ok()?;
    button.topic.fill(&place, &button.name).ok()
}

/// Everything runs until somebody or something ends it.
async fn live(
    config: Option<ThingConfig>,
    board: SimulatedBoard,
    mut panel: Panel,
    mut keys: Keys,
    verbose: bool,
) -> Exit {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        // a dropped sender means the same
        drop(stopped.await);
    };
    let thing = async {
        if let Some(config) = config {
            let end =
                grovemq_thing::run(config, BoardChoice::Simulated(board), thing_log(verbose), shutdown).await;
            tokio::time::sleep(FAREWELL).await;
            end
        } else {
            shutdown.await;
            Ok(())
        }
    };
    tokio::pin!(thing);
    let mut stop = Some(stop);
    let mut look = tokio::time::interval(LOOK);
    let end = crate::interrupted();
    tokio::pin!(end);
    loop {
        let leave = tokio::select! {
            result = &mut thing => {
                keys.restore();
                return match result {
                    Ok(()) => Exit::OK,
                    Err(error) => {
                        complain(&format!("Error: {error}"));
                        Exit::FAILURE
                    }
                };
            }
            () = &mut end, if stop.is_some() => true,
            control = keys.next() => match control {
                Control::Quit => true,
                control => {
                    panel.obey(control);
                    false
                }
            },
            _ = look.tick() => false,
        };
        if leave {
            stop = None;
            crate::print("\n");
        }
        panel.show();
    }
}

/// The thing's lines stand between those of the broker. Without `-v` the lamps say enough.
fn thing_log(verbose: bool) -> ThingLog {
    if verbose {
        ThingLog::new(true, |line| complain(&format!("thing: {line}")))
    } else {
        ThingLog::new(false, |_| {})
    }
}

/// The board as a person sees it.
struct Panel {
    board: SimulatedBoard,
    button: Option<(String, Pin)>,
    knob: Option<(String, AnalogPin)>,
    lamps: Vec<(String, Pin)>,
    clocks: Vec<String>,
    shown: String,
}

impl Panel {
    fn new(board: SimulatedBoard, config: Option<&ThingConfig>) -> Self {
        let mut panel = Self {
            board,
            button: None,
            knob: None,
            lamps: Vec::new(),
            clocks: Vec::new(),
            shown: String::new(),
        };
        for sensor in config.iter().flat_map(|c| &c.sensors) {
            match sensor.input {
                Input::Digital { pin, sense: Digital::Button } => {
                    panel.button = Some((sensor.name.clone(), pin));
                }
                Input::Analog { pin, sense: Analog::Potentiometer } => {
                    panel.knob = Some((sensor.name.clone(), pin));
                }
                _ => panel.clocks.push(sensor.name.clone()),
            }
        }
        for actuator in config.iter().flat_map(|c| &c.actuators) {
            let pin = match actuator.output {
                Output::Switch(pin) => pin,
                Output::DimmedLed(pin) => pin.pin(),
                _ => continue,
            };
            panel.lamps.push((actuator.name.clone(), pin));
        }
        panel
    }

    /// The resources and their ports.
    fn names(&self) -> String {
        let button = self.button.iter().map(|(name, pin)| format!("{name} ({})", pin.name()));
        let knob = self.knob.iter().map(|(name, pin)| format!("{name} ({})", pin.pin().name()));
        let lamps = self.lamps.iter().map(|(name, pin)| format!("{name} ({})", pin.name()));
        let all: Vec<String> = button.chain(knob).chain(self.clocks.iter().cloned()).chain(lamps).collect();
        all.join(", ")
    }

    fn obey(&mut self, control: Control) {
        let knob = self.knob.as_ref().map(|(_, pin)| *pin);
        let value = knob.map_or(0, |pin| self.board.analog(pin));
        match control {
            Control::Press(pressed) => self.press(|_| pressed),
            Control::Toggle => self.press(|pressed| !pressed),
            Control::Turn(up) => {
                let turned = if up { value.saturating_add(TURN) } else { value.saturating_sub(TURN) };
                self.turn(turned);
            }
            Control::Knob(value) => self.turn(value),
            Control::Unknown(word) => {
                complain(&format!("Unknown word '{word}': press, release, knob 0…1023 or quit."));
            }
            Control::Quit | Control::Port(_) | Control::Next => {}
        }
    }

    fn press(&self, change: impl Fn(bool) -> bool) {
        if let Some((_, pin)) = &self.button {
            self.board.set_digital(*pin, change(self.board.digital(*pin)));
        }
    }

    fn turn(&self, value: u16) {
        if let Some((_, pin)) = &self.knob {
            self.board.set_analog(*pin, value.min(KNOB_MAX));
        }
    }

    /// Prints inputs and lamps, if anything has changed.
    fn show(&mut self) {
        let mut line = String::new();
        if let Some((name, pin)) = &self.button {
            let state = if self.board.digital(*pin) { "pressed" } else { "released" };
            let _infallible = write!(line, "{name} {state:8}  ");
        }
        if let Some((name, pin)) = &self.knob {
            let _infallible = write!(line, "{name} {:4}  ", self.board.analog(*pin));
        }
        for (name, pin) in &self.lamps {
            let state = match self.board.brightness(*pin) {
                0 => "off".to_owned(),
                255 => "on".to_owned(),
                level => format!("{} %", u32::from(level) * 100 / 255),
            };
            let _infallible = write!(line, "  {name} {state:4}");
        }
        if line != self.shown {
            crate::print(&format!("  {}\n", line.trim_end()));
            self.shown = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        let expected = Options { port: 1884, public: true, thing: false, verbose: true, store: false };
        assert_eq!(parse("--port 1884 --public --no-thing --no-store -v"), Ok(Some(expected)));
        assert_eq!(parse("--help"), Ok(None));
        assert_eq!(parse("--prt").unwrap_err(), "Error: Unknown option '--prt'.");
        assert_eq!(parse("-p 0").unwrap_err(), "Error: Invalid port specified (0).");
    }

    #[test]
    fn the_panel_turns_words_into_inputs() {
        let board = SimulatedBoard::default();
        let mut panel = Panel::new(board.clone(), Some(&ThingConfig::default()));
        assert_eq!(panel.names(), "button0 (D3), potentiometer0 (A0), clock0, led0 (D4), led1 (D5)");
        panel.obey(Control::Toggle);
        assert!(board.digital(Pin::D3));
        panel.obey(Control::Press(false));
        assert!(!board.digital(Pin::D3));
        panel.obey(Control::Knob(2000));
        assert_eq!(board.analog(AnalogPin::A0), KNOB_MAX);
        panel.obey(Control::Turn(false));
        assert_eq!(board.analog(AnalogPin::A0), KNOB_MAX - TURN);
    }
}
