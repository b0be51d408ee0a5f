//! An `[[actuator]]` of the file.

use std::time::Duration;

use grovemq_grovepi::{BRIGHTNESS_MAX, CHAIN_LEDS_MAX, Orientation, Pin, WidePin};

use super::fields::{At, Check, Fields, flag, integer, list, number, parsed, range, text, word};
use super::sensors::{PAYLOADS, capable, gpio, port, program};
use super::{Actuator, Combine, Output, Payload, Rule, Threshold, file, schema};
use crate::rule::Follower;
use crate::topic::Template;

const SUBSCRIBE_MAX: usize = 32;

pub(super) fn read(check: &mut Check<'_>, mut fields: Fields<'_>) -> Option<Actuator> {
    let kind = fields.need(check, "kind", |name, value| schema::ACTUATORS.find(&text(name, value)?));
    let name = fields.need(check, "name", text);
    if let Some(name) = &name {
        check.name(name);
    }
    let kind = kind?.value;
    let label = name.as_ref().map_or(At { span: fields.span.clone(), value: String::new() }, Clone::clone);
    let output = output(check, &mut fields, kind, &label);
    let shape = output.clone().unwrap_or(Output::Lcd);
    let actuator = rest(check, &mut fields, Actuator::new(label.value, shape), output.is_none());
    fields.finish(check, Some((kind, &schema::ACTUATORS.all_fields())));
    output.and(name).map(|_| actuator)
}

fn output(check: &mut Check<'_>, fields: &mut Fields<'_>, kind: &str, name: &At<String>) -> Option<Output> {
    const ORIENTATIONS: &[(&str, Orientation)] =
        &[("red_to_green", Orientation::RedToGreen), ("green_to_red", Orientation::GreenToRed)];
    Some(match kind {
        "led" | "relay" | "buzzer" => Output::Switch(capable::<AnyPin>(check, fields, name)?.0),
        "dimmed_led" => Output::DimmedLed(capable(check, fields, name)?),
        "led_bar" => {
            let orientation = fields.take(check, "orientation", word(ORIENTATIONS));
            let orientation = orientation.map(|at| at.value).unwrap_or_default();
            Output::LedBar { pin: wide(check, fields, name)?, orientation }
        }
        "four_digit" => {
            let brightness = fields.take(check, "brightness", integer(0..=u64::from(BRIGHTNESS_MAX)));
            let brightness = small(brightness, BRIGHTNESS_MAX);
            Output::FourDigit { pin: wide(check, fields, name)?, brightness }
        }
        "rgb_led" => {
            let leds = small(fields.take(check, "leds", integer(1..=u64::from(CHAIN_LEDS_MAX))), 1);
            Output::Chain { pin: wide(check, fields, name)?, leds }
        }
        "lcd" => Output::Lcd,
        "lcd_light" => Output::LcdLight,
        "command" => Output::Command(program(check, fields)?),
        "gpio" => Output::Gpio(gpio(check, fields)?),
        _ => return None,
    })
}

fn rest(check: &mut Check<'_>, fields: &mut Fields<'_>, mut actuator: Actuator, broken: bool) -> Actuator {
    if let Some(filters) =
        fields.take(check, "subscribe", list(1..=SUBSCRIBE_MAX, "topics", parsed::<Template>))
    {
        actuator.subscribe = filters.value;
    }
    if let Some(qos) = fields.take(check, "qos", file::qos) {
        actuator.qos = qos.value;
    }
    if let Some(payload) = fields.take(check, "payload", word(PAYLOADS)) {
        actuator.payload = payload.value;
    }
    actuator.rule = rule(check, fields, &actuator, broken);
    actuator.safe_when_offline = fields.take(check, "safe_when_offline", flag).is_some_and(|at| at.value);
    let timeout = fields.take(check, "timeout_s", integer(1..=86_400));
    actuator.timeout = timeout.map(|at| Duration::from_secs(at.value));
    if let Some(safe) = fields.take(check, "safe", text) {
        actuator.safe = Some(safe.value);
        if !broken && let Err(ignored) = Follower::new(&actuator).safe_of_text() {
            check.problem(&safe.span, format!("safe is {ignored}"));
        }
    }
    actuator
}

fn rule(check: &mut Check<'_>, fields: &mut Fields<'_>, actuator: &Actuator, broken: bool) -> Rule {
    const COMBINES: &[(&str, Combine)] = &[
        ("latest", Combine::Latest),
        ("any", Combine::Any),
        ("all", Combine::All),
        ("minimum", Combine::Minimum),
        ("maximum", Combine::Maximum),
        ("average", Combine::Average),
    ];
    let combine = fields.take(check, "combine", word(COMBINES)).map(|at| at.value).unwrap_or_default();
    let mut rule = Rule { combine, ..Rule::default() };
    let output = &actuator.output;
    if broken || matches!(output, Output::Switch(_) | Output::Gpio(_)) {
        rule.threshold = threshold(check, fields);
        rule.invert = fields.take(check, "invert", flag).is_some_and(|at| at.value);
    }
    if broken || matches!(output, Output::DimmedLed(_) | Output::LedBar { .. } | Output::FourDigit { .. }) {
        rule.from = fields.take(check, "from", range).map(|at| at.value);
        rule.to = fields.take(check, "to", range).map(|at| at.value);
    }
    if broken || matches!(output, Output::Lcd | Output::Command(_)) {
        rule.format = fields.take(check, "format", text).map(|at| at.value);
    }
    if actuator.payload == Payload::Json && rule.format.is_some() {
        check
            .problem(&fields.span, "format shows messages as they are: payload has to be \"text\" beside it");
    }
    rule
}

fn threshold(check: &mut Check<'_>, fields: &mut Fields<'_>) -> Option<Threshold> {
    let above = fields.take(check, "above", number);
    let below = fields.take(check, "below", number);
    let hysteresis = fields.take(check, "hysteresis", number);
    let band = hysteresis.as_ref().map_or(0.0, |at| at.value);
    if let Some(hysteresis) = &hysteresis
        && (band < 0.0 || (above.is_none() && below.is_none()))
    {
        check.problem(&hysteresis.span, "hysteresis is a number from 0 on, beside above or below");
    }
    match (above, below) {
        (Some(_), Some(below)) => {
            check.problem(&below.span, "above and below exclude each other");
            None
        }
        (Some(above), None) => Some(Threshold::Above { on: above.value, off: above.value - band }),
        (None, Some(below)) => Some(Threshold::Below { on: below.value, off: below.value + band }),
        (None, None) => None,
    }
}

/// A port of which the next line is used as well.
fn wide(check: &mut Check<'_>, fields: &mut Fields<'_>, name: &At<String>) -> Option<WidePin> {
    let At { span, value } = port(check, fields, name)?;
    check.pin(value, &span, &name.value, None);
    let pin = WidePin::try_from(value).map_err(|wrong| check.problem(&span, wrong.to_string())).ok()?;
    check.pin(pin.next(), &span, &name.value, None);
    Some(pin)
}

fn small(at: Option<At<u64>>, default: u8) -> u8 {
    at.and_then(|at| u8::try_from(at.value).ok()).unwrap_or(default)
}

/// Every port can be switched.
struct AnyPin(Pin);

impl TryFrom<Pin> for AnyPin {
    type Error = grovemq_grovepi::WrongPort;

    fn try_from(pin: Pin) -> Result<Self, Self::Error> {
        Ok(Self(pin))
    }
}
