//! What happens to a simulated board by itself: a person who presses, a day that passes.
//!
//! ```toml
//! seed = 7                    # of random walks; the same seed, the same walk
//!
//! [[stimulus]]
//! input = "analog"            # or "digital", "distance", "temperature", "humidity"
//! pin = "A0"
//! shape = "sine"              # from low to high and back in period_s, beginning in the middle
//! low = 0
//! high = 1023
//! period_s = 20
//!
//! [[stimulus]]
//! input = "analog"
//! pin = "A1"
//! shape = "day"               # low at night, high at noon; a day takes period_s and begins at midnight
//! high = 800
//! period_s = 120              # default 86400
//!
//! [[stimulus]]
//! input = "temperature"       # with a humidity of the same pin, or 50 %
//! pin = "D7"
//! shape = "walk"              # at random, by at most step each second, between low and high
//! low = 18
//! high = 24
//! step = 0.2
//!
//! [[stimulus]]
//! input = "digital"
//! pin = "D3"
//! shape = "line"              # at so many seconds, this value; then from the beginning every period_s
//! points = [[1, 1], [1.5, 0]]
//! period_s = 5
//! ```

use std::f64::consts::TAU;
use std::path::Path;

use grovemq_grovepi::simulated::SimulatedBoard;
use grovemq_grovepi::{ANALOG_MAX, AnalogPin, Celsius, Centimetres, Humidity, Pin};

use crate::config::ConfigError;
use crate::config::stimuli;

/// A script that is being played.
#[derive(Clone, Debug)]
pub struct Script {
    stimuli: Vec<Stimulus>,
    random: u64,
    /// Whole seconds that have been walked.
    walked: u64,
}

/// One input and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stimulus {
    pub(crate) input: StimulusInput,
    pub(crate) shape: Shape,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Of a walk: where it is.
    pub(crate) at: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StimulusInput {
    Digital(Pin),
    Analog(AnalogPin),
    Distance(Pin),
    Temperature(Pin),
    Humidity(Pin),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Sine {
        period_s: f64,
    },
    Day {
        period_s: f64,
    },
    Walk {
        step: f64,
    },
    /// Seconds and values, in order.
    Line {
        points: Vec<(f64, f64)>,
        period_s: Option<f64>,
    },
}

/// A pause longer than this is not walked through.
const WALKED_AT_ONCE_MAX: u64 = 100_000;

impl Script {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        stimuli::load(path)
    }

    pub(crate) fn new(stimuli: Vec<Stimulus>, seed: u64) -> Self {
        Self { stimuli, random: seed, walked: 0 }
    }

    /// Makes the inputs what they are at this time, in seconds since the beginning.
    pub fn apply(&mut self, board: &SimulatedBoard, seconds: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
        let whole = seconds as u64;
        let steps = whole.saturating_sub(self.walked).min(WALKED_AT_ONCE_MAX);
        for _ in 0..steps {
            self.walk();
        }
        self.walked = whole;
        for stimulus in &self.stimuli {
            if let Some(value) = stimulus.value(seconds) {
                stimulus.input.set(board, value);
            }
        }
    }

    fn walk(&mut self) {
        for stimulus in &mut self.stimuli {
            if let Shape::Walk { step } = stimulus.shape {
                let way = step * (2.0 * random(&mut self.random) - 1.0);
                stimulus.at = (stimulus.at + way).clamp(stimulus.low, stimulus.high);
            }
        }
    }
}

impl Stimulus {
    /// `None` before the first point of a line.
    fn value(&self, seconds: f64) -> Option<f64> {
        let between = |part: f64| self.low + (self.high - self.low) * part;
        match &self.shape {
            Shape::Sine { period_s } => Some(between(0.5 + 0.5 * libm::sin(seconds / period_s * TAU))),
            // the sun is up from six to six
            Shape::Day { period_s } => Some(between((-libm::cos(seconds / period_s * TAU)).max(0.0))),
            Shape::Walk { .. } => Some(self.at),
            Shape::Line { points, period_s } => {
                let at = period_s.map_or(seconds, |period| seconds % period);
                points.iter().rev().find(|(when, _)| *when <= at).map(|(_, value)| *value)
            }
        }
    }
}

impl StimulusInput {
    fn set(self, board: &SimulatedBoard, value: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
        let whole = value.round() as u16;
        #[expect(clippy::cast_possible_truncation, reason = "a sensor is less precise")]
        let rough = value as f32;
        match self {
            Self::Digital(pin) => board.set_digital(pin, value >= 0.5),
            Self::Analog(pin) => board.set_analog(pin, whole.min(ANALOG_MAX)),
            Self::Distance(pin) => board.set_distance(pin, (whole > 0).then_some(Centimetres(whole))),
            Self::Temperature(pin) => {
                let humidity = board.climate(pin).map_or(Humidity(50.0), |(_, humidity)| humidity);
                board.set_climate(pin, Some((Celsius(rough), humidity)));
            }
            Self::Humidity(pin) => {
                let celsius = board.climate(pin).map_or(Celsius(20.0), |(celsius, _)| celsius);
                board.set_climate(pin, Some((celsius, Humidity(rough.clamp(0.0, 100.0)))));
            }
        }
    }
}

/// The next random number from 0 to 1 (`SplitMix64`).
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        stimuli::parse(text, "script.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    fn analog(script: &mut Script, seconds: f64) -> u16 {
        let board = SimulatedBoard::default();
        script.apply(&board, seconds);
        board.analog(AnalogPin::A0)
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        let of = |lines: &str| script(&format!("[[stimulus]]\ninput = 'analog'\npin = 'A0'\n{lines}"));
        let mut sine = of("shape = 'sine'\nlow = 100\nhigh = 300\nperiod_s = 40");
        let values = [0.0, 10.0, 20.0, 30.0, 40.0].map(|t| analog(&mut sine, t));
        assert_eq!(values, [200, 300, 200, 100, 200]);
        let mut day = of("shape = 'day'\nhigh = 1000\nperiod_s = 24");
        assert_eq!([0.0, 6.0, 12.0, 18.0, 23.0, 36.0].map(|t| analog(&mut day, t)), [0, 0, 1000, 0, 0, 1000]);
        let mut line = of("shape = 'line'\npoints = [[1, 10], [2.5, 20]]\nperiod_s = 4");
        assert_eq!([0.0, 1.0, 2.4, 2.5, 3.9, 5.0].map(|t| analog(&mut line, t)), [0, 10, 10, 20, 20, 10]);
    }

    #[test]
    fn a_walk_is_the_same_for_the_same_seed_and_stays_within_its_bounds() {
        let text = |seed: u32| {
            format!(
                "seed = {seed}\n[[stimulus]]\ninput='analog'\npin='A0'\nshape='walk'\nlow=100\nhigh=120\nstep=5"
            )
        };
        let walk = |seed| {
            let mut script = script(&text(seed));
            (0..100).map(|t| analog(&mut script, f64::from(t))).collect::<Vec<_>>()
        };
        assert_eq!(walk(1), walk(1));
        assert_ne!(walk(1), walk(2));
        assert!(walk(3).iter().all(|value| (100..=120).contains(value)));
        assert!(walk(3).windows(2).any(|two| two[0] != two[1]));
    }

    #[test]
    fn weather_and_buttons_follow_too() {
        let mut script = script(
            "[[stimulus]]\ninput='temperature'\npin='D7'\nshape='line'\npoints=[[0, 21.5]]\n\
             [[stimulus]]\ninput='humidity'\npin='D7'\nshape='line'\npoints=[[0, 40]]\n\
             [[stimulus]]\ninput='distance'\npin='D8'\nshape='line'\npoints=[[0, 33]]\n\
             [[stimulus]]\ninput='digital'\npin='D3'\nshape='line'\npoints=[[0, 1]]\n",
        );
        let board = SimulatedBoard::default();
        script.apply(&board, 0.0);
        assert_eq!(board.climate(Pin::D7), Some((Celsius(21.5), Humidity(40.0))));
        assert_eq!((board.distance(Pin::D8), board.digital(Pin::D3)), (Some(Centimetres(33)), true));
    }

    #[test]
    fn all_mistakes_are_told_with_their_place() {
        let error = stimuli::parse(
            "sed = 1\n[[stimulus]]\ninput = 'analog'\npin = 'D3'\nshape = 'sine'\nperiod_s = 0\n\
             [[stimulus]]\ninput = 'wind'\npin = 'D3'\nshape = 'line'\npoints = [[2, 1], [1, 1]]\n",
            "s.toml",
        )
        .unwrap_err();
        let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        for (line, start) in lines.iter().zip([
            "s.toml:1:1: unknown field `sed`",
            "s.toml:4:7: D3 has no analog input",
            "s.toml:6:12: period_s has to be above 0",
            "s.toml:8:9: unknown variant `wind`",
            "s.toml:11:10: points takes",
        ]) {
            assert!(line.starts_with(start), "{line}");
        }
    }
}
