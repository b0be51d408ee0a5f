//! The one thread that talks to the board.
//!
//! It prepares the ports before the first work and again after each failure, for a board that lost its power has
//! forgotten them; what the outputs should show is brought back then. When the last [`BoardLink`] is gone it puts all
//! outputs into their safe state and ends, whichever way the thing ended.

use std::fmt;
use std::path::{Path, PathBuf};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use grovemq_grovepi::simulated::{Firmware, NoDelay, SimulatedBoard};
use grovemq_grovepi::{Board, Error as BoardError, PinMode};
use tokio::sync::{mpsc, oneshot};

use crate::config::BoardSetting;
use crate::resource::{Drive, Probe, Reading};

/// The board a thing is to use. Nothing is opened yet.
#[derive(Clone, Debug)]
pub enum BoardChoice {
    /// A board in memory. Keep a clone of it to press its buttons and to look at its lamps.
    Simulated(SimulatedBoard),
    /// The board behind this I²C bus.
    I2c(PathBuf),
}

/// The bus cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    reason: String,
}

/// Work that may wait for the board; whoever brings more waits.
const QUEUE_LEN_MAX: usize = 16;

/// Hands work to the board's thread.
#[derive(Clone, Debug)]
pub(crate) struct BoardLink {
    work: mpsc::Sender<Work>,
}

/// Why work was not done, for the log.
pub(crate) type Failure = String;

#[derive(Debug)]
enum Work {
    Read(Probe, oneshot::Sender<Result<Reading, Failure>>),
    Drive(Drive, oneshot::Sender<Result<(), Failure>>),
}

impl BoardChoice {
    /// Follows the configuration. [`BoardSetting::Auto`] takes a simulated board where there is no bus.
    pub fn from_setting(setting: &BoardSetting) -> Self {
        match setting {
            BoardSetting::I2c(path) => Self::I2c(path.clone()),
            BoardSetting::Auto if Path::new(BoardSetting::DEFAULT_BUS).exists() => {
                Self::I2c(BoardSetting::DEFAULT_BUS.into())
            }
            BoardSetting::Auto | BoardSetting::Simulated => {
                Self::Simulated(SimulatedBoard::new(Firmware::V1_4_0))
            }
        }
    }

    /// Opens the board and starts its thread; the receiver resolves when the thread has ended.
    pub(crate) fn start(
        self,
        probes: Vec<Probe>,
        dark: Vec<Drive>,
    ) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError> {
        match self {
            Self::Simulated(board) => {
                spawn(Board::new(board, NoDelay), "simulated board".as_ref(), probes, dark)
            }
            Self::I2c(path) => open(&path, probes, dark),
        }
    }
}

#[cfg(target_os = "linux")]
fn open(
    path: &Path,
    probes: Vec<Probe>,
    dark: Vec<Drive>,
) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError> {
    match linux_embedded_hal::I2cdev::new(path) {
        Ok(bus) => spawn(Board::new(bus, linux_embedded_hal::Delay), path, probes, dark),
        Err(error) => Err(OpenError { path: path.to_owned(), reason: error.to_string() }),
    }
}

#[cfg(not(target_os = "linux"))]
fn open(path: &Path, _: Vec<Probe>, _: Vec<Drive>) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError> {
    Err(OpenError { path: path.to_owned(), reason: "an I2C bus can be opened on Linux only".to_owned() })
}

fn spawn<B, D>(
    board: Board<B, D>,
    path: &Path,
    probes: Vec<Probe>,
    dark: Vec<Drive>,
) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError>
where
    B: I2c + Send + 'static,
    D: DelayNs + Send + 'static,
{
    let (work, queue) = mpsc::channel(QUEUE_LEN_MAX);
    let (ended, end) = oneshot::channel();
    let worker = Worker { board, probes, drives: dark, prepared: false };
    let thread = std::thread::Builder::new().name("board".to_owned()).spawn(move || {
        worker.run(queue);
        // The thing may be gone already.
        ended.send(()).ok();
    });
    match thread {
        Ok(_detached) => Ok((BoardLink { work }, end)),
        Err(error) => Err(OpenError { path: path.to_owned(), reason: error.to_string() }),
    }
}

impl BoardLink {
    pub(crate) async fn read(&self, probe: Probe) -> Result<Reading, Failure> {
        self.ask(|reply| Work::Read(probe, reply)).await
    }

    /// Drives a port. What could not be set is set as soon as the board is back.
    pub(crate) async fn drive(&self, drive: Drive) -> Result<(), Failure> {
        self.ask(|reply| Work::Drive(drive, reply)).await
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Work,
    ) -> Result<T, Failure> {
        let gone = || "the board's thread is gone".to_owned();
        let (reply, answer) = oneshot::channel();
        self.work.send(work(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Worker<B, D> {
    board: Board<B, D>,
    probes: Vec<Probe>,
    /// What each output should show.
    drives: Vec<Drive>,
    prepared: bool,
}

impl<B: I2c, D: DelayNs> Worker<B, D> {
    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        // Dark from the start, not from the first message on; a failure shows with the first work.
        drop(self.prepare());
        while let Some(work) = queue.blocking_recv() {
            // An answer that nobody waits for any more is no failure.
            match work {
                Work::Read(probe, reply) => drop(reply.send(self.guarded(|worker| worker.read(probe)))),
                Work::Drive(drive, reply) => {
                    self.remember(drive);
                    drop(reply.send(self.guarded(|worker| worker.set(drive))));
                }
            }
        }
        for drive in &mut self.drives {
            *drive = drive.dark();
        }
        if self.set_all().is_err() {
            // Once more, with the ports made outputs anew.
            drop(self.prepare());
        }
    }

    /// Does the work on prepared ports; after a failure they count as unprepared.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BoardError<B::Error>>,
    ) -> Result<T, Failure> {
        let prepared = if self.prepared { Ok(()) } else { self.prepare() };
        prepared.and_then(|()| work(self)).map_err(|error| {
            self.prepared = false;
            error.to_string()
        })
    }

    fn prepare(&mut self) -> Result<(), BoardError<B::Error>> {
        for probe in &self.probes {
            self.board.pin_mode(probe.pin(), PinMode::Input)?;
        }
        for drive in &self.drives {
            self.board.pin_mode(drive.pin(), PinMode::Output)?;
        }
        self.set_all()?;
        self.prepared = true;
        Ok(())
    }

    fn set_all(&mut self) -> Result<(), BoardError<B::Error>> {
        let drives = self.drives.clone();
        drives.into_iter().try_for_each(|drive| self.set(drive))
    }

    fn remember(&mut self, drive: Drive) {
        if let Some(wanted) = self.drives.iter_mut().find(|wanted| wanted.pin() == drive.pin()) {
            *wanted = drive;
        }
    }

    fn set(&mut self, drive: Drive) -> Result<(), BoardError<B::Error>> {
        match drive {
            Drive::Switch(pin, on) => self.board.digital_write(pin, on),
            Drive::Dim(pin, duty) => self.board.pwm(pin, duty),
        }
    }

    fn read(&mut self, probe: Probe) -> Result<Reading, BoardError<B::Error>> {
        match probe {
            Probe::Level(pin) => self.board.digital_read(pin).map(Reading::Pressed),
            Probe::Voltage(pin) => self.board.analog_read(pin).map(Reading::Position),
        }
    }
}

impl fmt::Display for BoardChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated(_) => f.write_str("a simulated GrovePi board"),
            Self::I2c(path) => write!(f, "the GrovePi board on {}", path.display()),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason } = self;
        write!(f, "{} cannot be opened: {reason}", path.display())
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_grovepi::simulated::Fault;
    use grovemq_grovepi::{AnalogPin, Pin, PwmPin};

    const BUTTON: Probe = Probe::Level(Pin::D3);
    const KNOB: Probe = Probe::Voltage(AnalogPin::A0);
    const LED_ON: Drive = Drive::Switch(Pin::D4, true);
    const DIMMED: Drive = Drive::Dim(PwmPin::D5, 99);

    /// Old firmware: all ports are inputs until told otherwise.
    fn start() -> (SimulatedBoard, BoardLink, oneshot::Receiver<()>) {
        let hardware = SimulatedBoard::new(Firmware::V1_2_7);
        let dark = vec![LED_ON.dark(), DIMMED.dark()];
        let (link, end) = BoardChoice::Simulated(hardware.clone()).start(vec![BUTTON, KNOB], dark).unwrap();
        (hardware, link, end)
    }

    #[tokio::test]
    async fn ports_are_prepared_read_and_driven() {
        let (hardware, link, _end) = start();
        hardware.set_digital(Pin::D3, true);
        hardware.set_analog(AnalogPin::A0, 321);
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Pressed(true)));
        assert_eq!(link.read(KNOB).await, Ok(Reading::Position(321)));
        assert!(hardware.is_output(Pin::D4) && !hardware.is_output(Pin::D3));
        assert_eq!(link.drive(LED_ON).await, Ok(()));
        assert_eq!(link.drive(DIMMED).await, Ok(()));
        assert_eq!((hardware.brightness(Pin::D4), hardware.brightness(Pin::D5)), (255, 99));
    }

    #[tokio::test]
    async fn the_end_is_dark() {
        let (hardware, link, end) = start();
        assert_eq!(link.drive(LED_ON).await, Ok(()));
        assert_eq!(link.clone().drive(DIMMED).await, Ok(()));
        drop(link);
        end.await.unwrap();
        assert_eq!((hardware.brightness(Pin::D4), hardware.brightness(Pin::D5)), (0, 0));
    }

    #[tokio::test]
    async fn what_was_asked_of_an_absent_board_is_done_when_it_is_back() {
        let (hardware, link, _end) = start();
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Pressed(false)));
        hardware.inject(Fault::Nack, 1000);
        let failure = link.drive(LED_ON).await.unwrap_err();
        assert_eq!(failure, "digital write: I2C bus error: Nack");
        assert!(link.read(BUTTON).await.is_err());
        assert_eq!(hardware.brightness(Pin::D4), 0);
        hardware.clear_faults();
        // A reading brings the lamp back as well: the ports are prepared anew.
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Pressed(false)));
        assert_eq!(hardware.brightness(Pin::D4), 255);
    }

    #[tokio::test]
    async fn a_missing_bus_is_named() {
        let path = "/nonexistent/i2c-9";
        let error = BoardChoice::I2c(path.into()).start(Vec::new(), Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/i2c-9 cannot be opened: "), "{error}");
    }

    #[test]
    fn the_setting_decides() {
        let simulated = BoardChoice::from_setting(&BoardSetting::Simulated);
        assert_eq!(simulated.to_string(), "a simulated GrovePi board");
        let bus = BoardChoice::from_setting(&BoardSetting::I2c("/dev/i2c-5".into()));
        assert_eq!(bus.to_string(), "the GrovePi board on /dev/i2c-5");
        let automatic = matches!(BoardChoice::from_setting(&BoardSetting::Auto), BoardChoice::I2c(_));
        assert_eq!(automatic, Path::new(BoardSetting::DEFAULT_BUS).exists());
    }
}
