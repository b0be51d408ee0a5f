//! What messages mean to an actuator, without any hardware or network.

use std::fmt;

use grovemq_grovepi::{ANALOG_MAX, Color, LED_BAR_LEDS, segments};

use crate::config::{Actuator, Combine, Output, Payload, Rule, Threshold};
use crate::resource::Drive;
use crate::value::Value;

/// Topics that are remembered to be combined; what comes from others beyond is ignored.
const TOPICS_MAX: usize = 256;
/// More of a text is not looked at.
const TEXT_CHARS_MAX: usize = 256;
const COLORS_MAX: usize = 10;

/// What an actuator is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Board(Drive),
    Gpio(bool),
    /// A program and its arguments.
    Run(Vec<String>),
    Nothing,
}

/// A payload that an actuator does not obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ignored {
    wanted: &'static str,
}

/// Follows the topics of an actuator.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    output: Output,
    payload: Payload,
    rule: Rule,
    safe: Option<String>,
    /// The newest value by topic, where several count.
    newest: Vec<(String, Value)>,
    /// The newest text by filter, where a format shows them.
    texts: Vec<String>,
    /// On which side of the threshold the last number was.
    beyond: bool,
}

impl Follower {
    pub(crate) fn new(actuator: &Actuator) -> Self {
        Self {
            output: actuator.output.clone(),
            payload: actuator.payload,
            rule: actuator.rule.clone(),
            safe: actuator.safe.clone(),
            newest: Vec::new(),
            texts: vec![String::new(); actuator.subscribe.len()],
            beyond: false,
        }
    }

    /// What it does before any message and after the last one.
    pub(crate) fn safe(&self) -> Act {
        self.safe_of_text().ok().or_else(|| self.dark()).unwrap_or(Act::Nothing)
    }

    /// What the configured message for safety means; nothing if there is none.
    pub(crate) fn safe_of_text(&self) -> Result<Act, Ignored> {
        let Some(text) = &self.safe else { return Ok(self.dark().unwrap_or(Act::Nothing)) };
        // taken as it is, whatever the messages look like
        let mut plain = self.clone();
        plain.rule = Rule::default();
        plain.decide(&Value::Text(text.clone()))
    }

    /// What an order means that goes to this actuator alone, whatever its topics say.
    pub(crate) fn ordered(&self, payload: &[u8]) -> Result<Act, Ignored> {
        let value = Value::of_payload(payload, self.payload).map_err(|_| self.ignored())?;
        let mut plain = self.clone();
        plain.rule.combine = Combine::Latest;
        plain.decide(&value)
    }

    /// Forgets what was heard.
    pub(crate) fn forget(&mut self) {
        self.newest.clear();
        self.texts.iter_mut().for_each(String::clear);
        self.beyond = false;
    }

    /// The meaning of a message to one of the filters, by number.
    pub(crate) fn hear(&mut self, filter: usize, topic: &str, payload: &[u8]) -> Result<Act, Ignored> {
        let value = Value::of_payload(payload, self.payload).map_err(|error| match self.payload {
            Payload::Text => self.ignored(),
            Payload::Json => Ignored { wanted: error.0 },
        })?;
        if let Some(text) = self.texts.get_mut(filter) {
            *text = value.to_string().chars().take(TEXT_CHARS_MAX).collect();
        }
        let value = match self.rule.combine {
            Combine::Latest => value,
            Combine::Any | Combine::All => self.combined_flag(topic, &value)?,
            Combine::Minimum | Combine::Maximum | Combine::Average => self.combined_number(topic, &value)?,
        };
        self.decide(&value)
    }

    /// Or'ed or and'ed with what other topics said.
    fn combined_flag(&mut self, topic: &str, value: &Value) -> Result<Value, Ignored> {
        let before = self.newest.iter().any(|(known, value)| known == topic && *value == Value::Flag(true));
        let flag = self.flag(value, before).ok_or(self.ignored())?;
        self.note(topic, Value::Flag(flag))?;
        let mut flags = self.newest.iter().map(|(_, value)| *value == Value::Flag(true));
        let combined =
            if self.rule.combine == Combine::Any { flags.any(|on| on) } else { flags.all(|on| on) };
        Ok(Value::Flag(combined))
    }

    fn combined_number(&mut self, topic: &str, value: &Value) -> Result<Value, Ignored> {
        let number = self.number(value).ok_or(self.ignored())?;
        self.note(topic, Value::Number(number, 9))?;
        let numbers = self.newest.iter().filter_map(|(_, value)| match value {
            Value::Number(number, _) => Some(*number),
            _ => None,
        });
        #[expect(clippy::cast_precision_loss, reason = "topics are few")]
        let count = self.newest.len().max(1) as f64;
        let combined = match self.rule.combine {
            Combine::Minimum => numbers.fold(f64::INFINITY, f64::min),
            Combine::Maximum => numbers.fold(f64::NEG_INFINITY, f64::max),
            _ => numbers.sum::<f64>() / count,
        };
        Ok(Value::Number(combined, 9))
    }

    fn note(&mut self, topic: &str, value: Value) -> Result<(), Ignored> {
        let room = self.newest.len() < TOPICS_MAX;
        match self.newest.iter_mut().find(|(known, _)| known == topic) {
            Some((_, newest)) => *newest = value,
            None if room => self.newest.push((topic.to_owned(), value)),
            None => return Err(Ignored { wanted: "of a topic that is followed: there are too many" }),
        }
        Ok(())
    }

    fn decide(&mut self, value: &Value) -> Result<Act, Ignored> {
        let act = match &self.output {
            Output::Switch(pin) => {
                let pin = *pin;
                Act::Board(Drive::Switch(pin, self.switched(value)?))
            }
            Output::Gpio(_) => Act::Gpio(self.switched(value)?),
            Output::DimmedLed(pin) => Act::Board(Drive::Dim(*pin, self.scaled(value, 1023.0, 255)?)),
            Output::LedBar { pin, orientation } => {
                let level = self.scaled(value, f64::from(LED_BAR_LEDS), LED_BAR_LEDS)?;
                Act::Board(Drive::Bar(*pin, *orientation, level))
            }
            Output::FourDigit { pin, brightness } => {
                let shown = self.digits(value).ok_or(self.ignored())?;
                Act::Board(Drive::Digits(*pin, *brightness, shown))
            }
            Output::Chain { pin, leds } => {
                let colors = colors(value).ok_or(self.ignored())?;
                Act::Board(Drive::Colors(*pin, *leds, colors))
            }
            Output::Lcd => Act::Board(Drive::Text(self.formatted(value))),
            Output::LcdLight => {
                let colors = colors(value).ok_or(self.ignored())?;
                Act::Board(Drive::Light(colors.first().copied().unwrap_or_default()))
            }
            Output::Command(program) => {
                let text = self.formatted(value);
                let filled = program.arguments.iter().map(|argument| argument.replace("{value}", &text));
                Act::Run(filled.collect())
            }
        };
        Ok(act)
    }

    fn switched(&mut self, value: &Value) -> Result<bool, Ignored> {
        self.beyond = self.flag(value, self.beyond).ok_or(self.ignored())?;
        Ok(self.beyond != self.rule.invert)
    }

    /// `True` or `False`, or on which side of the threshold a number is.
    fn flag(&self, value: &Value, before: bool) -> Option<bool> {
        if let (Some(threshold), false) = (self.rule.threshold, matches!(value, Value::Flag(_))) {
            let number = self.number(value)?;
            return Some(match (threshold, before) {
                (Threshold::Above { on, .. }, false) => number > on,
                (Threshold::Above { off, .. }, true) => number > off,
                (Threshold::Below { on, .. }, false) => number < on,
                (Threshold::Below { off, .. }, true) => number < off,
            });
        }
        match value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) if text == "True" => Some(true),
            Value::Text(text) if text == "False" => Some(false),
            _ => None,
        }
    }

    fn number(&self, value: &Value) -> Option<f64> {
        match value {
            Value::Number(number, _) => Some(*number),
            // positions are digits and nothing else, unless numbers of another range were asked for
            Value::Text(text) if matches!(self.output, Output::DimmedLed(_)) && self.rule.from.is_none() => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| digits)
            }
            Value::Text(text) => text.trim().parse().ok(),
            Value::Flag(_) | Value::None => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// A number from 0 to `top`, or from where it was configured, as one from 0 to `steps`, to the nearest.
    fn scaled(&self, value: &Value, top: f64, steps: u8) -> Result<u8, Ignored> {
        let number = self.number(value).ok_or(self.ignored())?;
        let number = match self.rule.from {
            Some(from) => self.mapped(number, from, f64::from(steps)),
            None if (0.0..=top).contains(&number) => self.mapped(number, (0.0, top), f64::from(steps)),
            None => return Err(self.ignored()),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and steps"
        )]
        let step = number.round().clamp(0.0, f64::from(steps)) as u8;
        Ok(step)
    }

    fn mapped(&self, number: f64, (low, high): (f64, f64), top: f64) -> f64 {
        let (first, last) = self.rule.to.unwrap_or((0.0, top));
        let part = ((number - low) / (high - low)).clamp(0.0, 1.0);
        first + part * (last - first)
    }

    /// The segments of a number, or of two with a colon.
    fn digits(&self, value: &Value) -> Option<[u8; 4]> {
        if let Value::Text(text) = value
            && let Some((left, right)) = text.trim().split_once(':')
        {
            let two = |text: &str| {
                let number: u8 = text.parse().ok().filter(|number| *number < 100)?;
                Some([number / 10, number % 10].map(segments::digit))
            };
            let ([first, second], [third, fourth]) = (two(left)?, two(right)?);
            return Some([first, second | segments::COLON, third, fourth]);
        }
        let number = self.number(value)?;
        let number = match self.rule.from {
            Some(from) => self.mapped(number, from, 9999.0),
            None => number,
        };
        #[expect(clippy::cast_possible_truncation, reason = "it is within the display's range")]
        let shown = number.round().clamp(-999.0, 9999.0) as i16;
        Some(segments::integer(shown))
    }

    fn formatted(&self, value: &Value) -> String {
        let text = match &self.rule.format {
            None => value.to_string(),
            Some(format) => {
                let mut text = format.clone();
                for (index, newest) in self.texts.iter().enumerate() {
                    text = text.replace(&format!("{{{}}}", index + 1), newest);
                }
                text
            }
        };
        text.chars().take(TEXT_CHARS_MAX).collect()
    }

    fn dark(&self) -> Option<Act> {
        Some(Act::Board(match &self.output {
            Output::Switch(pin) => Drive::Switch(*pin, false),
            Output::DimmedLed(pin) => Drive::Dim(*pin, 0),
            Output::LedBar { pin, orientation } => Drive::Bar(*pin, *orientation, 0),
            Output::FourDigit { pin, brightness } => Drive::Digits(*pin, *brightness, [0; 4]),
            Output::Chain { pin, leds } => Drive::Colors(*pin, *leds, vec![Color::BLACK]),
            Output::Lcd => Drive::Text(String::new()),
            Output::LcdLight => Drive::Light(Color::BLACK),
            Output::Gpio(_) => return Some(Act::Gpio(false)),
            Output::Command(_) => return None,
        }))
    }

    fn ignored(&self) -> Ignored {
        let wanted = match (&self.output, self.rule.from, self.rule.threshold) {
            (Output::Switch(_) | Output::Gpio(_), _, None) => "`True` or `False`",
            (Output::DimmedLed(_), None, _) => "a number from 0 to 1023",
            (Output::LedBar { .. }, None, _) => "a number from 0 to 10",
            (Output::FourDigit { .. }, ..) => "a number or a time such as 23:59",
            (Output::Chain { .. } | Output::LcdLight, ..) => "a colour such as #ff8000",
            (Output::Lcd | Output::Command(_), ..) => "a text",
            _ => "a number",
        };
        Ignored { wanted }
    }
}

/// `#ff8000`, or several with spaces or commas between them.
fn colors(value: &Value) -> Option<Vec<Color>> {
    let Value::Text(text) = value else { return None };
    let words = text.split([' ', ',']).filter(|word| !word.is_empty()).take(COLORS_MAX);
    let colors: Option<Vec<Color>> = words.map(color).collect();
    colors.filter(|colors| !colors.is_empty())
}

fn color(word: &str) -> Option<Color> {
    let digits = word.strip_prefix('#')?;
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Color::new(red, green, blue))
}

impl Act {
    /// How it would be ordered, as far as there are words for it.
    pub(crate) fn as_payload(&self) -> String {
        match self {
            Self::Board(Drive::Switch(_, on)) | Self::Gpio(on) => Value::Flag(*on).to_string(),
            Self::Board(Drive::Dim(_, duty)) => duty.to_string(),
            Self::Board(Drive::Bar(_, _, level)) => level.to_string(),
            Self::Board(Drive::Text(text)) => text.clone(),
            Self::Nothing => String::new(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Board(drive) => drive.fmt(f),
            Self::Gpio(true) => f.write_str("on"),
            Self::Gpio(false) => f.write_str("off"),
            Self::Run(arguments) => write!(f, "runs {}", arguments.first().map_or("", String::as_str)),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", self.wanted)
    }
}

const _: () = assert!(ANALOG_MAX == 1023, "the texts above say so");

#[cfg(test)]
mod tests;
