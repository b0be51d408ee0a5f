//! Where a sensor's readings come from.

use crate::board::{BoardLink, Failure};
use crate::config::{Input, Program, System};
use crate::gpio::GpioInput;
use crate::program;
use crate::resource::Probe;
use crate::signal::Reading;
use crate::system::{self, CpuTime};

/// How the clock tells the local time.
const CLOCK_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

#[derive(Debug)]
pub(crate) enum Source {
    Board(Probe, BoardLink),
    Clock,
    System { what: System, before: Option<CpuTime> },
    Command(Program),
    Gpio(GpioInput),
}

impl Source {
    pub(crate) fn new(input: &Input, board: &BoardLink) -> Self {
        if let Some(probe) = input.probe() {
            return Self::Board(probe, board.clone());
        }
        match input {
            Input::System(what) => Self::System { what: what.clone(), before: None },
            Input::Command(program) => Self::Command(program.clone()),
            Input::Gpio(line) => Self::Gpio(GpioInput::new(line.clone())),
            _ => Self::Clock,
        }
    }

    pub(crate) async fn read(&mut self) -> Result<Reading, Failure> {
        match self {
            Self::Board(probe, board) => board.read(*probe).await,
            Self::Clock => Ok(Reading::Text(jiff::Zoned::now().strftime(CLOCK_FORMAT).to_string())),
            Self::System { what, before } => {
                let (what, then) = (what.clone(), *before);
                // a file system may take its time
                let look = tokio::task::spawn_blocking(move || system::look(&what, then));
                let (number, now) = look.await.map_err(|error| error.to_string())??;
                *before = now;
                Ok(Reading::Number(number))
            }
            Self::Command(program) => {
                let text = program::output(&program.arguments, program.timeout).await?;
                Ok(match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => Reading::Number(number),
                    _ => Reading::Text(text),
                })
            }
            Self::Gpio(input) => input.read().map(Reading::Flag),
        }
    }
}
