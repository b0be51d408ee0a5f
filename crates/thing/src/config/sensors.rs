//! A `[[sensor]]` of the file.

use std::path::PathBuf;
use std::time::Duration;

use grovemq_grovepi::{DhtModel, Pin, Thermistor, WrongPort};

use super::fields::{At, Check, Fields, flag, integer, list, number, parsed, some_text, text, word};
use super::{
    Analog, Bias, Digital, Filter, GpioLine, Input, Measure, Payload, Program, Sensor, System, Tuning, file,
    schema,
};
use crate::topic::Template;

pub(super) const PAYLOADS: &[(&str, Payload)] = &[("text", Payload::Text), ("json", Payload::Json)];

pub(super) fn read(check: &mut Check<'_>, mut fields: Fields<'_>) -> Option<Sensor> {
    let kind = fields.need(check, "kind", |name, value| schema::SENSORS.find(&text(name, value)?));
    let name = fields.need(check, "name", text);
    if let Some(name) = &name {
        check.name(name);
    }
    let kind = kind?.value;
    let label = name.as_ref().map_or(At { span: fields.span.clone(), value: String::new() }, Clone::clone);
    let input = input(check, &mut fields, kind, &label);
    // the other fields are looked at even if this one is no sensor
    let shape = input.clone().unwrap_or(Input::Clock);
    let sensor = rest(check, &mut fields, Sensor::new(label.value, shape), input.is_none());
    fields.finish(check, Some((kind, &schema::SENSORS.all_fields())));
    input.and(name).map(|_| sensor)
}

fn input(check: &mut Check<'_>, fields: &mut Fields<'_>, kind: &str, name: &At<String>) -> Option<Input> {
    const MODELS: &[(&str, Thermistor)] =
        &[("1.0", Thermistor::V1_0), ("1.1", Thermistor::V1_1), ("1.2", Thermistor::V1_2)];
    const MEASURES: &[(&str, Measure)] =
        &[("temperature", Measure::Temperature), ("humidity", Measure::Humidity)];
    let digital = |sense| move |pin| Input::Digital { pin, sense };
    let analog = |sense| move |pin| Input::Analog { pin, sense };
    Some(match kind {
        "button" => digital(Digital::Button)(pin(check, fields, name)?),
        "touch" => digital(Digital::Touch)(pin(check, fields, name)?),
        "motion" => digital(Digital::Motion)(pin(check, fields, name)?),
        "digital" => digital(Digital::Other)(pin(check, fields, name)?),
        "potentiometer" => analog(Analog::Potentiometer)(capable(check, fields, name)?),
        "angle" => analog(Analog::Angle)(capable(check, fields, name)?),
        "light" => analog(Analog::Light)(capable(check, fields, name)?),
        "sound" => analog(Analog::Sound)(capable(check, fields, name)?),
        "moisture" => analog(Analog::Moisture)(capable(check, fields, name)?),
        "analog" => analog(Analog::Other)(capable(check, fields, name)?),
        "temperature" => {
            let model = fields.take(check, "model", word(MODELS)).map(|at| at.value).unwrap_or_default();
            Input::Temperature { pin: capable(check, fields, name)?, model }
        }
        "dht11" | "dht22" => {
            let model = if kind == "dht11" { DhtModel::Dht11 } else { DhtModel::Dht22 };
            let measure = fields.take(check, "measure", word(MEASURES));
            let measure = measure.map_or(Measure::Temperature, |at| at.value);
            let At { span, value: pin } = port(check, fields, name)?;
            let shared = if model == DhtModel::Dht11 { "dht11" } else { "dht22" };
            check.pin(pin, &span, &name.value, Some(shared));
            Input::Dht { pin, model, measure }
        }
        "distance" => Input::Distance(pin(check, fields, name)?),
        "clock" => Input::Clock,
        "cpu_temperature" => Input::System(System::CpuTemperature),
        "cpu_load" => Input::System(System::CpuLoad),
        "memory" => Input::System(System::Memory),
        "uptime" => Input::System(System::Uptime),
        "disk" => {
            let path = fields.take(check, "path", some_text).map_or_else(|| "/".to_owned(), |at| at.value);
            Input::System(System::Disk(path.into()))
        }
        "command" => Input::Command(program(check, fields)?),
        "gpio" => Input::Gpio(gpio(check, fields)?),
        _ => return None,
    })
}

/// The fields that all sensors have, or most. Of a sensor that is none, only the form of the fields is looked at.
fn rest(check: &mut Check<'_>, fields: &mut Fields<'_>, mut sensor: Sensor, broken: bool) -> Sensor {
    if let Some(topic) = fields.take(check, "topic", parsed::<Template>) {
        sensor.topic = topic.value;
    }
    if let Some(interval) = fields.take(check, "interval_ms", integer(10..=86_400_000)) {
        sensor.interval = Duration::from_millis(interval.value);
    }
    if let Some(on_change) = fields.take(check, "on_change", flag) {
        sensor.on_change = on_change.value;
    }
    sensor.every = fields.take(check, "every_s", integer(1..=86_400)).map(|at| Duration::from_secs(at.value));
    if let Some(payload) = fields.take(check, "payload", word(PAYLOADS)) {
        sensor.payload = payload.value;
    }
    if broken || sensor.input.is_numeric() {
        sensor.tuning = tuning(check, fields, sensor.tuning, &sensor.input);
        if let Some(unit) = fields.take(check, "unit", text) {
            sensor.unit = Some(unit.value).filter(|unit| !unit.is_empty());
        }
    }
    if broken || matches!(sensor.input, Input::Digital { .. } | Input::Gpio(_)) {
        sensor.tuning.invert = fields.take(check, "invert", flag).is_some_and(|at| at.value);
    }
    if let Some(qos) = fields.take(check, "qos", file::qos) {
        sensor.qos = qos.value;
    }
    sensor.retain = fields.take(check, "retain", flag).is_some_and(|at| at.value);
    sensor
}

fn tuning(check: &mut Check<'_>, fields: &mut Fields<'_>, mut tuning: Tuning, input: &Input) -> Tuning {
    let window = || integer(2..=99);
    let median = fields.take(check, "median", window());
    let average = fields.take(check, "average", window());
    let size = |at: At<u64>| u8::try_from(at.value).unwrap_or(u8::MAX);
    tuning.filter = match (median, average) {
        (Some(_), Some(average)) => {
            check.problem(&average.span, "median and average exclude each other");
            Filter::None
        }
        (Some(median), None) => Filter::Median(size(median)),
        (None, Some(average)) => Filter::Average(size(average)),
        (None, None) => Filter::None,
    };
    let scale = fields.take(check, "scale", number);
    if let Some(At { span, value: 0.0 }) = &scale {
        check.problem(span, "scale must not be 0");
    }
    let scaled = scale.is_some();
    tuning.scale = scale.map_or(1.0, |at| at.value);
    tuning.offset = fields.take(check, "offset", number).map_or(0.0, |at| at.value);
    let decimals = fields.take(check, "decimals", integer(0..=9));
    match decimals {
        Some(decimals) => tuning.decimals = u8::try_from(decimals.value).unwrap_or_default(),
        None if scaled => tuning.decimals = tuning.decimals.max(2),
        None => {}
    }
    tuning.dead_band *= tuning.scale.abs();
    if let Some(dead_band) = fields.take(check, "dead_band", number) {
        let whole = f64::from(grovemq_grovepi::ANALOG_MAX) * tuning.scale.abs();
        if dead_band.value < 0.0 {
            check.problem(&dead_band.span, "dead_band must not be negative");
        } else if matches!(input, Input::Analog { .. } | Input::Clock) && dead_band.value >= whole {
            check.problem(&dead_band.span, format!("dead_band must be below {whole}"));
        }
        tuning.dead_band = dead_band.value;
    }
    tuning
}

/// The port that is for this one alone.
fn pin(check: &mut Check<'_>, fields: &mut Fields<'_>, name: &At<String>) -> Option<Pin> {
    let At { span, value } = port(check, fields, name)?;
    check.pin(value, &span, &name.value, None);
    Some(value)
}

/// The port, which is able to do more than others.
pub(super) fn capable<P: TryFrom<Pin, Error = WrongPort>>(
    check: &mut Check<'_>,
    fields: &mut Fields<'_>,
    name: &At<String>,
) -> Option<P> {
    let At { span, value } = port(check, fields, name)?;
    check.pin(value, &span, &name.value, None);
    P::try_from(value).map_err(|wrong| check.problem(&span, wrong.to_string())).ok()
}

pub(super) fn port(check: &mut Check<'_>, fields: &mut Fields<'_>, name: &At<String>) -> Option<At<Pin>> {
    let Some(value) = fields.value("pin") else {
        check.problem(&name.span, format!("`{}` needs a pin", name.value));
        return None;
    };
    let span = value.span();
    match parsed("pin", value.get_ref()) {
        Ok(value) => Some(At { span, value }),
        Err(message) => {
            check.problem(&span, message);
            None
        }
    }
}

pub(super) fn program(check: &mut Check<'_>, fields: &mut Fields<'_>) -> Option<Program> {
    let arguments = fields.need(check, "command", list(1..=64, "words", text));
    let timeout = fields.take(check, "timeout_ms", integer(10..=600_000));
    let timeout = Duration::from_millis(timeout.map_or(5000, |at| at.value));
    let arguments = arguments?;
    if arguments.value.first().is_none_or(String::is_empty) {
        check.problem(&arguments.span, "command begins with the program");
    }
    Some(Program { arguments: arguments.value, timeout })
}

pub(super) fn gpio(check: &mut Check<'_>, fields: &mut Fields<'_>) -> Option<GpioLine> {
    const BIASES: &[(&str, Bias)] = &[
        ("as_is", Bias::AsIs),
        ("off", Bias::Off),
        ("pull_up", Bias::PullUp),
        ("pull_down", Bias::PullDown),
    ];
    let chip = fields.take(check, "chip", some_text);
    let chip = chip.map_or_else(|| PathBuf::from("/dev/gpiochip0"), |at| at.value.into());
    let bias = fields.take(check, "bias", word(BIASES)).map(|at| at.value).unwrap_or_default();
    let line = fields.need(check, "line", integer(0..=u64::from(u32::MAX)))?.value;
    Some(GpioLine { chip, line: u32::try_from(line).unwrap_or(u32::MAX), bias })
}
