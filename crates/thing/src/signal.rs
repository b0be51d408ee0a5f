//! From readings to what is worth a message: filter, scale, dead band.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Filter, Input, Sensor, Tuning};
use crate::value::Value;

/// What a source has to say, before it is tuned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    Flag(bool),
    Number(f64),
    /// Of a converter, 0 to 1023; its ends are told even within the dead band.
    Step(u16),
    Text(String),
    /// There is nothing to be seen.
    None,
}

/// The way of one sensor's readings.
#[derive(Debug)]
pub(crate) struct Signal {
    tuning: Tuning,
    on_change: bool,
    every: Option<Duration>,
    /// Each reading is new.
    is_clock: bool,
    window: VecDeque<f64>,
    told: Option<(Value, Instant)>,
}

impl Signal {
    pub(crate) fn new(sensor: &Sensor) -> Self {
        Self {
            tuning: sensor.tuning,
            on_change: sensor.on_change,
            every: sensor.every,
            is_clock: sensor.input == Input::Clock,
            window: VecDeque::new(),
            told: None,
        }
    }

    /// Takes a reading and gives back what is to be published, if anything.
    pub(crate) fn feed(&mut self, reading: Reading, at: Instant) -> Option<Value> {
        let at_an_end = matches!(reading, Reading::Step(0 | grovemq_grovepi::ANALOG_MAX));
        let value = self.tuned(reading);
        let worth = match &self.told {
            None => true,
            Some(_) if self.is_clock => true,
            Some((told, when)) => {
                let overdue = self.every.is_some_and(|every| at.duration_since(*when) >= every);
                overdue || (self.on_change && self.differs(&value, told, at_an_end))
            }
        };
        worth.then(|| {
            self.told = Some((value.clone(), at));
            value
        })
    }

    /// What it is now, for a broker that has not heard of it. A clock waits for its time.
    pub(crate) fn again(&mut self, at: Instant) -> Option<Value> {
        let (told, when) = self.told.as_mut().filter(|_| !self.is_clock)?;
        *when = at;
        // what was told last, not what has flickered since
        Some(told.clone())
    }

    fn tuned(&mut self, reading: Reading) -> Value {
        let number = match reading {
            Reading::Flag(flag) => return Value::Flag(flag != self.tuning.invert),
            Reading::Text(text) => return Value::Text(text),
            Reading::None => {
                self.window.clear();
                return Value::None;
            }
            Reading::Step(step) => f64::from(step),
            Reading::Number(number) => number,
        };
        let Tuning { scale, offset, decimals, .. } = self.tuning;
        let number = Value::rounded(self.filtered(number) * scale + offset, decimals);
        Value::Number(number, decimals)
    }

    fn filtered(&mut self, number: f64) -> f64 {
        let (Filter::Median(size) | Filter::Average(size)) = self.tuning.filter else { return number };
        if self.window.len() >= usize::from(size) {
            self.window.pop_front();
        }
        self.window.push_back(number);
        if matches!(self.tuning.filter, Filter::Average(_)) {
            #[expect(clippy::cast_precision_loss, reason = "a window is short")]
            let count = self.window.len() as f64;
            return self.window.iter().sum::<f64>() / count;
        }
        let mut sorted: Vec<f64> = self.window.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        // of an even number the lower one, so that it is a value that was read
        sorted.get((sorted.len() - 1) / 2).copied().unwrap_or(number)
    }

    fn differs(&self, now: &Value, told: &Value, at_an_end: bool) -> bool {
        match (now, told) {
            (Value::Number(now, _), Value::Number(told, _)) => {
                // The ends are always reached: a lamp must go dark, not almost dark.
                let far = (now - told).abs() > self.tuning.dead_band + 1e-9;
                far || (at_an_end && (now - told).abs() > 1e-9)
            }
            _ => now != told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Analog, Digital};
    use grovemq_grovepi::{ANALOG_MAX, AnalogPin, Pin};
    use proptest::prelude::*;

    fn knob(dead_band: f64) -> Sensor {
        let input = Input::Analog { pin: AnalogPin::A0, sense: Analog::Potentiometer };
        let mut sensor = Sensor::new("knob", input);
        sensor.tuning.dead_band = dead_band;
        sensor
    }

    /// The texts published for these readings, a second apart.
    fn published(sensor: &Sensor, readings: impl IntoIterator<Item = Reading>) -> Vec<String> {
        let mut signal = Signal::new(sensor);
        let start = Instant::now();
        readings
            .into_iter()
            .zip(0u64..)
            .filter_map(|(reading, second)| signal.feed(reading, start + Duration::from_secs(second)))
            .map(|value| value.to_string())
            .collect()
    }

    fn steps(sensor: &Sensor, readings: &[u16]) -> Vec<String> {
        published(sensor, readings.iter().copied().map(Reading::Step))
    }

    #[test]
    fn a_button_tells_its_first_state_and_each_change() {
        let mut button = Sensor::new("b", Input::Digital { pin: Pin::D3, sense: Digital::Button });
        let readings = || [false, false, true, true, false].map(Reading::Flag);
        assert_eq!(published(&button, readings()), ["False", "True", "False"]);
        button.tuning.invert = true;
        assert_eq!(published(&button, readings()), ["True", "False", "True"]);
    }

    #[test]
    fn flicker_is_silent_but_a_slow_turn_and_the_ends_are_not() {
        assert_eq!(steps(&knob(2.0), &[500, 502, 498, 501, 500]), ["500"]);
        assert_eq!(steps(&knob(2.0), &[500, 501, 502, 503, 504, 505, 506]), ["500", "503", "506"]);
        assert_eq!(steps(&knob(2.0), &[2, 1, 0, 1, 2, 0]), ["2", "0"]);
        assert_eq!(steps(&knob(2.0), &[1022, 1023, 1022, 1021]), ["1022", "1023"]);
        assert_eq!(steps(&knob(0.0), &[5, 6, 6, 5]), ["5", "6", "5"]);
    }

    #[test]
    fn filters_calm_and_scales_give_units() {
        let mut sensor = knob(0.0);
        sensor.tuning.filter = Filter::Median(3);
        assert_eq!(steps(&sensor, &[10, 900, 11, 12, 13]), ["10", "11", "12"]);
        sensor.tuning.filter = Filter::Average(2);
        assert_eq!(steps(&sensor, &[10, 20, 30]), ["10", "15", "25"]);
        sensor.tuning =
            Tuning { filter: Filter::None, scale: -0.1, offset: 100.0, decimals: 1, ..sensor.tuning };
        assert_eq!(steps(&sensor, &[0, 15, 1000]), ["100", "98.5", "0"]);
    }

    #[test]
    fn intervals_tell_what_has_not_changed() {
        let mut sensor = knob(2.0);
        sensor.every = Some(Duration::from_secs(3));
        assert_eq!(steps(&sensor, &[7; 8]), ["7", "7", "7"]);
        sensor.on_change = false;
        assert_eq!(steps(&sensor, &[1, 100, 200, 300, 400, 500, 600]), ["1", "300", "600"]);
    }

    #[test]
    fn nothing_in_reach_is_a_change() {
        let sensor = Sensor::new("d", Input::Distance(Pin::D4));
        let readings = [Reading::Number(10.0), Reading::None, Reading::None, Reading::Number(10.0)];
        assert_eq!(published(&sensor, readings), ["10", "None", "10"]);
    }

    #[test]
    fn after_a_reconnection_the_last_value_is_told_but_no_old_time() {
        let now = Instant::now();
        let mut signal = Signal::new(&knob(2.0));
        assert_eq!(signal.again(now), None);
        signal.feed(Reading::Step(500), now);
        signal.feed(Reading::Step(501), now);
        assert_eq!(signal.again(now), Some(Value::Number(500.0, 0)));
        let mut clock = Signal::new(&Sensor::new("c", Input::Clock));
        let time = || Reading::Text("2026-01-01 00:00:00".to_owned());
        assert!(clock.feed(time(), now).is_some() && clock.feed(time(), now).is_some());
        assert_eq!(clock.again(now), None);
    }

    proptest! {
        /// What was published last is never further from the truth than the dead band.
        #[test]
        fn the_published_value_follows(readings in prop::collection::vec(0..=ANALOG_MAX, 1..50), dead_band in 0u16..20) {
            for end in 1..=readings.len() {
                let sent = steps(&knob(f64::from(dead_band)), &readings[..end]);
                let last: u16 = sent.last().unwrap().parse().unwrap();
                prop_assert!(last.abs_diff(readings[end - 1]) <= dead_band);
            }
        }
    }
}
