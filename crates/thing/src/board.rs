//! The one thread that talks to the board.
//!
//! It prepares the ports before the first work and again after each failure, for a board that lost its power has
//! forgotten them; what the outputs should show is brought back then. When the last [`BoardLink`] is gone it puts all
//! outputs into their safe state and ends, whichever way the thing ended.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use grovemq_grovepi::simulated::{Firmware, NoDelay, SimulatedBoard};
use grovemq_grovepi::{Board, CHAIN_LEDS_MAX, Climate, Color, DhtModel, Lcd, Pattern, Pin, PinMode, WidePin};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::{BoardSetting, Measure};
use crate::remote::RemoteBus;
use crate::resource::{Drive, Probe};
use crate::signal::Reading;

/// The board a thing is to use. Nothing is opened yet.
#[derive(Clone, Debug)]
pub enum BoardChoice {
    /// A board in memory. Keep a clone of it to press its buttons and to look at its lamps.
    Simulated(SimulatedBoard),
    /// The board behind this I²C bus.
    I2c(PathBuf),
    /// The board behind this socket, see [`crate::remote`].
    Remote(PathBuf),
}

/// The bus cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    reason: String,
}

/// A DHT sensor has no newer value, and its temperature and humidity come together.
const CLIMATE_AGE: Duration = Duration::from_secs(2);

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
            BoardSetting::Remote(path) => Self::Remote(path.clone()),
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
        safe: Vec<Drive>,
    ) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError> {
        match self {
            Self::Simulated(board) => {
                spawn(Board::new(board, NoDelay), "simulated board".as_ref(), probes, safe)
            }
            Self::I2c(path) => open(&path, probes, safe),
            // it may come later
            Self::Remote(path) => spawn(Board::new(RemoteBus::new(&path), NoDelay), &path, probes, safe),
        }
    }
}

#[cfg(target_os = "linux")]
fn open(
    path: &Path,
    probes: Vec<Probe>,
    safe: Vec<Drive>,
) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError> {
    match linux_embedded_hal::I2cdev::new(path) {
        Ok(bus) => spawn(Board::new(bus, linux_embedded_hal::Delay), path, probes, safe),
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
    safe: Vec<Drive>,
) -> Result<(BoardLink, oneshot::Receiver<()>), OpenError>
where
    B: I2c + Send + 'static,
    D: DelayNs + Send + 'static,
{
    let (work, queue) = mpsc::channel(QUEUE_LEN_MAX);
    let (ended, end) = oneshot::channel();
    let worker = Worker { board, probes, drives: safe.clone(), safe, climates: Vec::new(), prepared: false };
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
    /// What each output shows in the end.
    safe: Vec<Drive>,
    /// What DHT sensors have said, and when.
    climates: Vec<(Pin, Instant, Climate)>,
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
                    self.remember(&drive);
                    drop(reply.send(self.guarded(|worker| worker.set(&drive))));
                }
            }
        }
        self.drives = self.safe.clone();
        if !self.prepared || self.set_all().is_err() {
            // Once more, with the ports made outputs anew.
            drop(self.prepare());
        }
    }

    /// Does the work on prepared ports; after a failure they count as unprepared.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let prepared = if self.prepared { Ok(()) } else { self.prepare() };
        prepared.and_then(|()| work(self)).inspect_err(|_| self.prepared = false)
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        for pin in self.probes.iter().filter_map(|probe| probe.input_pin()) {
            self.board.pin_mode(pin, PinMode::Input).map_err(failure)?;
        }
        for drive in self.drives.clone() {
            self.set_up(&drive)?;
        }
        self.set_all()?;
        self.prepared = true;
        Ok(())
    }

    fn set_all(&mut self) -> Result<(), Failure> {
        let drives = self.drives.clone();
        drives.iter().try_for_each(|drive| self.set(drive))
    }

    fn remember(&mut self, drive: &Drive) {
        if let Some(wanted) = self.drives.iter_mut().find(|wanted| wanted.place() == drive.place()) {
            *wanted = drive.clone();
        }
    }

    /// What has to be done once after power-on.
    fn set_up(&mut self, drive: &Drive) -> Result<(), Failure> {
        let board = &mut self.board;
        match drive {
            Drive::Switch(pin, _) => board.pin_mode(*pin, PinMode::Output),
            Drive::Dim(pin, _) => board.pin_mode(pin.pin(), PinMode::Output),
            Drive::Bar(pin, orientation, _) => board.led_bar_init(*pin, *orientation),
            Drive::Digits(pin, brightness, _) => {
                board.four_digit_init(*pin).and_then(|()| board.four_digit_brightness(*pin, *brightness))
            }
            Drive::Colors(pin, leds, _) => board.chain_init(*pin, *leds),
            Drive::Text(_) => return self.lcd().init().map_err(failure),
            Drive::Light(_) => Ok(()),
        }
        .map_err(failure)
    }

    fn set(&mut self, drive: &Drive) -> Result<(), Failure> {
        match drive {
            Drive::Switch(pin, on) => self.board.digital_write(*pin, *on),
            Drive::Dim(pin, duty) => self.board.pwm(*pin, *duty),
            Drive::Bar(pin, _, level) => self.board.led_bar_level(*pin, *level),
            Drive::Digits(pin, _, shown) => self.board.four_digit_show(*pin, *shown),
            Drive::Colors(pin, leds, colors) => return self.paint(*pin, *leds, colors),
            Drive::Text(text) => return self.lcd().text(text).map_err(failure),
            Drive::Light(color) => return self.lcd().light(*color).map_err(failure),
        }
        .map_err(failure)
    }

    fn paint(&mut self, pin: WidePin, leds: u8, colors: &[Color]) -> Result<(), Failure> {
        for (led, color) in (0..leds.min(CHAIN_LEDS_MAX)).zip(colors) {
            // the last colour is that of all which follow
            let last = usize::from(led) + 1 == colors.len();
            let pattern = if last { Pattern::Outwards(led) } else { Pattern::One(led) };
            self.board.chain_color(pin, pattern, *color).map_err(failure)?;
        }
        Ok(())
    }

    fn lcd(&mut self) -> Lcd<&mut B, &mut D> {
        let (bus, delay) = self.board.bus();
        Lcd::new(bus, delay)
    }

    fn read(&mut self, probe: Probe) -> Result<Reading, Failure> {
        match probe {
            Probe::Level(pin) => self.board.digital_read(pin).map(Reading::Flag),
            Probe::Voltage(pin) => self.board.analog_read(pin).map(Reading::Step),
            Probe::Angle(pin) => self.board.angle(pin).map(|angle| Reading::Number(angle.0.into())),
            Probe::Temperature(pin, model) => {
                self.board.temperature(pin, model).map(|celsius| Reading::Number(celsius.0.into()))
            }
            Probe::Distance(pin) => self
                .board
                .distance(pin)
                .map(|distance| distance.map_or(Reading::None, |cm| Reading::Number(cm.0.into()))),
            Probe::Climate(pin, model, measure) => {
                let climate = self.climate(pin, model)?;
                return Ok(Reading::Number(match measure {
                    Measure::Temperature => climate.temperature.0.into(),
                    Measure::Humidity => climate.humidity.0.into(),
                }));
            }
        }
        .map_err(failure)
    }

    fn climate(&mut self, pin: Pin, model: DhtModel) -> Result<Climate, Failure> {
        let now = Instant::now();
        self.climates.retain(|(_, when, _)| now.duration_since(*when) < CLIMATE_AGE);
        if let Some((.., climate)) = self.climates.iter().find(|(known, ..)| *known == pin) {
            return Ok(*climate);
        }
        let climate = self.board.climate(pin, model).map_err(failure)?;
        self.climates.push((pin, now, climate));
        Ok(climate)
    }
}

fn failure(error: impl fmt::Display) -> Failure {
    error.to_string()
}

impl fmt::Display for BoardChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated(_) => f.write_str("a simulated GrovePi board"),
            Self::I2c(path) => write!(f, "the GrovePi board on {}", path.display()),
            Self::Remote(path) => write!(f, "the simulated board behind {}", path.display()),
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
    use grovemq_grovepi::{AnalogPin, Celsius, Centimetres, Humidity, Orientation, PwmPin, segments};

    const BUTTON: Probe = Probe::Level(Pin::D3);
    const KNOB: Probe = Probe::Voltage(AnalogPin::A0);
    const LED_ON: Drive = Drive::Switch(Pin::D4, true);
    const LED_OFF: Drive = Drive::Switch(Pin::D4, false);
    const DIMMED: Drive = Drive::Dim(PwmPin::D5, 99);
    const DARK: Drive = Drive::Dim(PwmPin::D5, 0);

    /// Old firmware: all ports are inputs until told otherwise.
    fn start() -> (SimulatedBoard, BoardLink, oneshot::Receiver<()>) {
        let hardware = SimulatedBoard::new(Firmware::V1_2_7);
        let safe = vec![LED_OFF, DARK];
        let (link, end) = BoardChoice::Simulated(hardware.clone()).start(vec![BUTTON, KNOB], safe).unwrap();
        (hardware, link, end)
    }

    #[tokio::test]
    async fn ports_are_prepared_read_and_driven() {
        let (hardware, link, _end) = start();
        hardware.set_digital(Pin::D3, true);
        hardware.set_analog(AnalogPin::A0, 321);
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Flag(true)));
        assert_eq!(link.read(KNOB).await, Ok(Reading::Step(321)));
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
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Flag(false)));
        hardware.inject(Fault::Nack, 1000);
        let failure = link.drive(LED_ON).await.unwrap_err();
        assert_eq!(failure, "digital write: I2C bus error: Nack");
        assert!(link.read(BUTTON).await.is_err());
        assert_eq!(hardware.brightness(Pin::D4), 0);
        hardware.clear_faults();
        // A reading brings the lamp back as well: the ports are prepared anew.
        assert_eq!(link.read(BUTTON).await, Ok(Reading::Flag(false)));
        assert_eq!(hardware.brightness(Pin::D4), 255);
    }

    #[tokio::test]
    async fn every_kind_of_sensor_and_display_goes_by_the_board() {
        let hardware = SimulatedBoard::new(Firmware::V1_4_0);
        let (bar, digits, chain) = (WidePin::D5, WidePin::D2, WidePin::D7);
        let blue = Color::new(0, 0, 255);
        let shown = [
            Drive::Bar(bar, Orientation::GreenToRed, 4),
            Drive::Digits(digits, 5, segments::integer(42)),
            Drive::Colors(chain, 3, vec![Color::WHITE, blue]),
            Drive::Text("21.5 °C".to_owned()),
            Drive::Light(blue),
        ];
        let safe = vec![
            Drive::Bar(bar, Orientation::GreenToRed, 0),
            Drive::Digits(digits, 5, [0; 4]),
            Drive::Colors(chain, 3, vec![Color::BLACK]),
            Drive::Text(String::new()),
            Drive::Light(Color::BLACK),
        ];
        let (link, end) = BoardChoice::Simulated(hardware.clone()).start(Vec::new(), safe).unwrap();
        let climate = |measure| Probe::Climate(Pin::D4, DhtModel::Dht22, measure);
        hardware.set_climate(Pin::D4, Some((Celsius(21.5), Humidity(40.0))));
        assert_eq!(link.read(climate(Measure::Temperature)).await, Ok(Reading::Number(21.5)));
        hardware.set_climate(Pin::D4, None);
        assert_eq!(
            link.read(climate(Measure::Humidity)).await,
            Ok(Reading::Number(40.0)),
            "one look for both"
        );
        let distance = Probe::Distance(Pin::D8);
        assert_eq!(link.read(distance).await, Ok(Reading::None));
        hardware.set_distance(Pin::D8, Some(Centimetres(33)));
        assert_eq!(link.read(distance).await, Ok(Reading::Number(33.0)));
        hardware.set_analog(AnalogPin::A1, 1023);
        assert_eq!(link.read(Probe::Angle(AnalogPin::A1)).await, Ok(Reading::Number(300.0)));

        for drive in shown {
            assert_eq!(link.drive(drive).await, Ok(()));
        }
        // power goes and comes: all is shown again with the next work
        for _ in 0..2 {
            assert!(link.read(distance).await.is_ok());
            assert_eq!(hardware.led_bar(bar).map(|bar| (bar.bits, bar.turned)), Some((0x0f, true)));
            assert_eq!(hardware.four_digit(digits).unwrap().text(), "  42");
            assert_eq!(hardware.chain(chain), [Color::WHITE, blue, blue]);
            assert_eq!((hardware.lcd().lines[0].trim(), hardware.lcd().light), ("21.5 °C", blue));
            hardware.set_present(false);
            assert!(link.read(distance).await.is_err());
            hardware.set_present(true);
        }
        drop(link);
        end.await.unwrap();
        assert_eq!(hardware.led_bar(bar).unwrap().bits, 0);
        assert_eq!(hardware.chain(chain), [Color::BLACK; 3]);
        assert_eq!((hardware.lcd().lines[0].trim(), hardware.lcd().light), ("", Color::BLACK));
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
