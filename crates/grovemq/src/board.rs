//! `grovemq board`: a simulated board by itself, for things that reach it through a socket.

use crate::exit::Exit;
use crate::keys::{Control, Keys};
use crate::{Call, complain};
use grovemq_thing::script::Script;
use grovemq_thing::{AnalogPin, Firmware, Pin, SimulatedBoard, playground, remote};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const HELP: &str = "\
--socket PATH [--control PATH] [--script FILE] [--firmware VERSION]

      --socket PATH       Where things reach the board: `grovemq thing --board unix:PATH`.
      --control PATH      A socket that takes the words below, one line each, and answers each line.
      --script FILE       What happens by itself: a TOML file with [[stimulus]] tables.
      --firmware VERSION  1.2.7, 1.3.0 or 1.4.0 (the default).
      --help              Print this help.

Keys in a terminal: 2 to 8 press and release D2 to D8, Tab takes the next of the knobs A0 to A2,
+ and - turn it, q ends. Without a terminal the standard input takes words:

";

/// How often the board is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// One turn of a knob: of 1023.
const TURN: u16 = 32;
/// More programs at one socket are sent away.
const CONNECTIONS_MAX: usize = 16;
/// A longer line is cut.
const LINE_BYTES_MAX: u64 = 1024;
/// Takes the cursor home and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Debug, PartialEq)]
struct Options {
    socket: PathBuf,
    control: Option<PathBuf>,
    script: Option<PathBuf>,
    firmware: Firmware,
}

/// `board`
pub(crate) fn run(call: &Call) -> Exit {
    match Options::parse(&call.args) {
        Ok(Some(options)) => options.run().unwrap_or_else(|text| {
            complain(&format!("Error: {text}"));
            Exit::FAILURE
        }),
        Ok(None) => crate::print(&help(&call.program)),
        Err(text) => {
            complain(&format!("Error: {text}\n\nUse '{} --help' to see usage.", call.program));
            Exit::FAILURE
        }
    }
}

pub(crate) fn help(program: &str) -> String {
    format!("Usage: {program} {HELP}{}\n", playground::WORDS)
}

impl Options {
    /// `None`: help is wanted.
    fn parse(args: &[OsString]) -> Result<Option<Self>, String> {
        let (mut socket, mut control, mut script, mut firmware) = (None, None, None, Firmware::V1_4_0);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{} needs a value.", arg.display()));
            match arg.to_str().unwrap_or_default() {
                "--help" | "-h" => return Ok(None),
                "--socket" => socket = Some(PathBuf::from(value()?)),
                "--control" => control = Some(PathBuf::from(value()?)),
                "--script" => script = Some(PathBuf::from(value()?)),
                "--firmware" => {
                    firmware = match value()?.to_str() {
                        Some("1.2.7") => Firmware::V1_2_7,
                        Some("1.3.0") => Firmware::V1_3_0,
                        Some("1.4.0") => Firmware::V1_4_0,
                        _ => return Err("--firmware is 1.2.7, 1.3.0 or 1.4.0.".to_owned()),
                    }
                }
                _ => return Err(format!("Unknown option '{}'.", arg.display())),
            }
        }
        let socket = socket.ok_or("--socket is needed: where things reach the board.")?;
        Ok(Some(Self { socket, control, script, firmware }))
    }

    fn run(self) -> Result<Exit, String> {
        let script =
            self.script.as_deref().map(Script::load).transpose().map_err(|error| error.to_string())?;
        let board = SimulatedBoard::new(self.firmware);
        let _socket =
            listen(&self.socket, board.clone(), |mut stream, board| remote::serve(&mut stream, board))?;
        let control = self.control.as_deref().map(|path| listen(path, board.clone(), obey));
        let _control = control.transpose()?;
        crate::print(&format!(
            "a simulated GrovePi board: grovemq thing --board unix:{}\n",
            self.socket.display()
        ));
        let keys = Keys::start();
        Ok(crate::block_on(live(board, script, keys)))
    }
}

/// A socket in the file system, gone with this.
struct Door(PathBuf);

impl Drop for Door {
    fn drop(&mut self) {
        // somebody else may have taken it away
        std::fs::remove_file(&self.0).ok();
    }
}

/// Serves each who comes to the socket in a thread of its own.
fn listen(
    path: &Path,
    board: SimulatedBoard,
    serve: fn(UnixStream, &SimulatedBoard) -> io::Result<()>,
) -> Result<Door, String> {
    let named = |error: io::Error| format!("{}: {error}", path.display());
    // what an ended board has left behind is in the way; what somebody listens at, is not ours
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path).map_err(named)?;
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    let door = Door(path.to_owned());
    let count = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let place = Place::take(&count);
            let board = board.clone();
            let Some(place) = place else { continue };
            let work = move || {
                let _place = place;
                // one who goes in the middle of a word has nothing to be told
                serve(stream, &board).ok();
            };
            if std::thread::Builder::new().name("door".into()).spawn(work).is_err() {
                return;
            }
        }
    };
    // waits for others until the process ends
    std::thread::Builder::new().name("socket".into()).spawn(accept).map_err(named)?;
    Ok(door)
}

/// One of so many who are served.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = count.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(count));
        // given back at once if there was none
        (taken < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Obeys the lines that come, and answers each.
fn obey(stream: UnixStream, board: &SimulatedBoard) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = playground::play(board, &line).unwrap_or_else(|error| format!("error: {error}"));
        writeln!(answers, "{answer}")?;
    }
}

/// Plays and shows until somebody or something ends it.
async fn live(board: SimulatedBoard, mut script: Option<Script>, mut keys: Keys) -> Exit {
    let start = Instant::now();
    let mut hands = Hands { board: board.clone(), knob: 0 };
    let mut shown = String::new();
    let mut look = tokio::time::interval(LOOK);
    let end = crate::interrupted();
    tokio::pin!(end);
    let is_screen = keys.is_terminal() && io::stdout().is_terminal();
    loop {
        tokio::select! {
            () = &mut end => break,
            control = keys.next() => match control {
                Control::Quit => break,
                control => hands.obey(control),
            },
            _ = look.tick() => {}
        }
        if let Some(script) = &mut script {
            script.apply(&board, start.elapsed().as_secs_f64());
        }
        let seen = playground::view(&board);
        if seen == shown {
            continue;
        }
        if is_screen {
            let knob = hands.knob().map_or("", |pin| pin.pin().name());
            crate::print(&format!("{CLEAR}{seen}\n2…8 press  Tab knob ({knob})  + - turn  q end\n"));
        } else {
            let before: Vec<&str> = shown.lines().collect();
            let new: Vec<&str> = seen.lines().filter(|line| !before.contains(line)).collect();
            if !new.is_empty() {
                crate::print(&format!("{}\n", new.join("\n")));
            }
        }
        shown = seen;
    }
    keys.restore();
    Exit::OK
}

/// What keys and words play on.
struct Hands {
    board: SimulatedBoard,
    /// Which of the analog ports the keys turn.
    knob: usize,
}

impl Hands {
    const KNOBS: [AnalogPin; 3] = [AnalogPin::A0, AnalogPin::A1, AnalogPin::A2];

    fn knob(&self) -> Option<AnalogPin> {
        Self::KNOBS.get(self.knob).copied()
    }

    fn obey(&mut self, control: Control) {
        let board = &self.board;
        match control {
            Control::Port(number) => {
                if let Some(pin) = Pin::ALL.into_iter().find(|pin| pin.number() == number) {
                    board.set_digital(pin, !board.digital(pin));
                }
            }
            Control::Next => self.knob = (self.knob + 1) % Self::KNOBS.len(),
            Control::Turn(up) => {
                if let Some(pin) = self.knob() {
                    let now = board.analog(pin);
                    board.set_analog(
                        pin,
                        if up { now.saturating_add(TURN) } else { now.saturating_sub(TURN) },
                    );
                }
            }
            Control::Unknown(line) => match playground::play(board, &line) {
                Ok(answer) if answer != "done" => drop(crate::print(&format!("{answer}\n"))),
                Ok(_) => {}
                Err(error) => complain(&error),
            },
            // words of `grovemq up`, which has one button and one knob
            Control::Press(_) | Control::Toggle | Control::Knob(_) | Control::Quit => {}
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
        let options = parse("--socket s --control c --script f --firmware 1.2.7").unwrap().unwrap();
        assert_eq!((options.socket, options.firmware), ("s".into(), Firmware::V1_2_7));
        assert_eq!(parse("--socket s --help"), Ok(None));
        assert_eq!(parse("").unwrap_err(), "--socket is needed: where things reach the board.");
        assert_eq!(parse("--socket").unwrap_err(), "--socket needs a value.");
        assert_eq!(parse("--socket s --firmware 2").unwrap_err(), "--firmware is 1.2.7, 1.3.0 or 1.4.0.");
    }

    #[test]
    fn keys_press_and_turn() {
        let board = SimulatedBoard::default();
        let mut hands = Hands { board: board.clone(), knob: 0 };
        hands.obey(Control::Port(3));
        assert!(board.digital(Pin::D3));
        hands.obey(Control::Next);
        hands.obey(Control::Turn(true));
        assert_eq!((board.analog(AnalogPin::A0), board.analog(AnalogPin::A1)), (0, TURN));
        hands.obey(Control::Unknown("analog A2 512".to_owned()));
        assert_eq!(board.analog(AnalogPin::A2), 512);
    }
}
