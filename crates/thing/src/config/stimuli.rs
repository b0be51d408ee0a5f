//! The file of a [`Script`].

use std::path::Path;

use grovemq_grovepi::{ANALOG_MAX, AnalogPin, Pin};
use toml::de::DeValue;

use super::fields::{At, Check, Fields, integer, number, parsed, word};
use super::{ConfigError, file};
use crate::script::{Script, Shape, Stimulus, StimulusInput};

const STIMULI_MAX: usize = 64;
const POINTS_MAX: usize = 10_000;

#[derive(Clone, Copy, PartialEq)]
enum Input {
    Digital,
    Analog,
    Distance,
    Temperature,
    Humidity,
}

#[derive(Clone, Copy)]
enum ShapeName {
    Sine,
    Day,
    Walk,
    Line,
}

pub(crate) fn load(path: &Path) -> Result<Script, ConfigError> {
    let problems = |problems| ConfigError { file: path.to_owned(), problems };
    file::read(path).and_then(|text| file::read_toml(&text, script)).map_err(problems)
}

#[cfg(test)]
pub(crate) fn parse(text: &str, name: &str) -> Result<Script, ConfigError> {
    file::read_toml(text, script).map_err(|problems| ConfigError { file: name.into(), problems })
}

fn script(check: &mut Check<'_>, mut fields: Fields<'_>) -> Script {
    let seed = fields.take(check, "seed", integer(0..=u64::MAX)).map_or(0, |at| at.value);
    let tables = file::sections(check, &mut fields, "stimulus");
    fields.finish(check, None);
    if tables.len() > STIMULI_MAX {
        check.problem(&(0..0), format!("more than {STIMULI_MAX} stimuli"));
        return Script::new(Vec::new(), seed);
    }
    Script::new(tables.into_iter().filter_map(|table| stimulus(check, table)).collect(), seed)
}

fn stimulus(check: &mut Check<'_>, mut fields: Fields<'_>) -> Option<Stimulus> {
    const INPUTS: &[(&str, Input)] = &[
        ("digital", Input::Digital),
        ("analog", Input::Analog),
        ("distance", Input::Distance),
        ("temperature", Input::Temperature),
        ("humidity", Input::Humidity),
    ];
    const SHAPES: &[(&str, ShapeName)] = &[
        ("sine", ShapeName::Sine),
        ("day", ShapeName::Day),
        ("walk", ShapeName::Walk),
        ("line", ShapeName::Line),
    ];
    let input = fields.need(check, "input", word(INPUTS)).map(|at| at.value);
    let pin = fields.need(check, "pin", parsed::<Pin>);
    let shape = fields.need(check, "shape", word(SHAPES)).map(|at| at.value);
    let low = fields.take(check, "low", number).map_or(0.0, |at| at.value);
    let top = match input {
        Some(Input::Analog) => f64::from(ANALOG_MAX),
        Some(Input::Digital) => 1.0,
        _ => 100.0,
    };
    let high = fields.take(check, "high", number);
    if let Some(high) = high.as_ref().filter(|high| high.value <= low) {
        check.problem(&high.span, "high has to be above low");
    }
    let high = high.map_or(top, |at| at.value).max(low);
    let period = above_zero(check, &mut fields, "period_s");
    let step = above_zero(check, &mut fields, "step");
    let points = fields.take(check, "points", points);
    fields.finish(check, None);
    let shape = match shape? {
        ShapeName::Sine => Shape::Sine { period_s: period.unwrap_or(60.0) },
        ShapeName::Day => Shape::Day { period_s: period.unwrap_or(86_400.0) },
        ShapeName::Walk => Shape::Walk { step: step.unwrap_or((high - low) / 50.0) },
        ShapeName::Line => Shape::Line { points: points?.value, period_s: period },
    };
    let At { span, value: pin } = pin?;
    let input = match input? {
        Input::Digital => StimulusInput::Digital(pin),
        Input::Distance => StimulusInput::Distance(pin),
        Input::Temperature => StimulusInput::Temperature(pin),
        Input::Humidity => StimulusInput::Humidity(pin),
        Input::Analog => {
            let analog = AnalogPin::try_from(pin).map_err(|wrong| check.problem(&span, wrong.to_string()));
            StimulusInput::Analog(analog.ok()?)
        }
    };
    Some(Stimulus { input, shape, low, high, at: f64::midpoint(low, high) })
}

fn above_zero(check: &mut Check<'_>, fields: &mut Fields<'_>, name: &'static str) -> Option<f64> {
    let At { span, value } = fields.take(check, name, number)?;
    if value > 0.0 {
        return Some(value);
    }
    check.problem(&span, format!("{name} has to be above 0"));
    None
}

fn points(name: &'static str, value: &DeValue<'_>) -> Result<Vec<(f64, f64)>, String> {
    let wrong =
        || format!("{name} takes 1 to {POINTS_MAX} pairs of seconds and values, in the order of time");
    let array = value.as_array().filter(|array| (1..=POINTS_MAX).contains(&array.len())).ok_or_else(wrong)?;
    let point = |value: &DeValue<'_>| match value.as_array().map(|pair| &pair[..]) {
        Some([when, value]) => Ok((number(name, when.get_ref())?, number(name, value.get_ref())?)),
        _ => Err(wrong()),
    };
    let points: Vec<_> = array.iter().map(|value| point(value.get_ref())).collect::<Result<_, _>>()?;
    if points.is_sorted_by(|(a, _), (b, _)| a < b) { Ok(points) } else { Err(wrong()) }
}
