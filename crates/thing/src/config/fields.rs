//! Taking fields out of the tables of a file, and noting everything that is wrong on the way.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use grovemq_grovepi::Pin;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// All that is wrong, and what is taken already.
pub(super) struct Check<'a> {
    text: &'a str,
    pub(super) problems: Vec<Problem>,
    names: HashMap<String, usize>,
    pins: HashMap<Pin, Holder>,
}

/// Who is on a pin.
struct Holder {
    name: String,
    /// Others may be on it that share in the same way.
    shared: Option<&'static str>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) span: Range<usize>,
    pub(super) value: T,
}

/// A table of which the fields are taken one by one.
pub(super) struct Fields<'a> {
    table: DeTable<'a>,
    pub(super) span: Range<usize>,
    /// The fields that were asked for.
    asked: Vec<&'static str>,
}

const NAME_BYTES_MAX: usize = 64;

impl<'a> Check<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new(), names: HashMap::new(), pins: HashMap::new() }
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let position = Some(position(self.text, span.start));
        self.problems.push(Problem { position, message: message.into() });
    }

    /// A name is simple, and nobody else's.
    pub(super) fn name(&mut self, name: &At<String>) {
        let text = &name.value;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(plain) {
            let message = format!("a name is 1 to {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`");
            self.problem(&name.span, message);
        }
        let line = position(self.text, name.span.start).0;
        if let Some(earlier) = self.names.insert(text.clone(), line) {
            self.problem(&name.span, format!("the name `{text}` is taken already, in line {earlier}"));
        }
    }

    /// A pin is nobody else's, unless both share it in the same way.
    pub(super) fn pin(&mut self, pin: Pin, span: &Range<usize>, name: &str, shared: Option<&'static str>) {
        let holder = Holder { name: name.to_owned(), shared };
        if let Some(earlier) = self.pins.insert(pin, holder)
            && (shared.is_none() || earlier.shared != shared)
        {
            self.problem(span, format!("{pin} is taken already, by `{}`", earlier.name));
        }
    }
}

impl<'a> Fields<'a> {
    /// The whole file.
    pub(super) fn of_file(table: Spanned<DeTable<'a>>) -> Self {
        let span = table.span();
        Self { table: table.into_inner(), span, asked: Vec::new() }
    }

    /// `None` if the value is no table.
    pub(super) fn of(value: Spanned<DeValue<'a>>) -> Option<Self> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Self { table, span, asked: Vec::new() }),
            _ => None,
        }
    }

    /// The raw value of a field.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.asked.push(name);
        self.table.remove(name)
    }

    /// A field that may be missing. What is wrong with it is noted, and it counts as missing then.
    pub(super) fn take<T>(
        &mut self,
        check: &mut Check<'_>,
        name: &'static str,
        parse: impl FnOnce(&'static str, &DeValue<'_>) -> Result<T, String>,
    ) -> Option<At<T>> {
        let value = self.value(name)?;
        let span = value.span();
        match parse(name, value.get_ref()) {
            Ok(value) => Some(At { span, value }),
            Err(message) => {
                check.problem(&span, message);
                None
            }
        }
    }

    /// A field that has to be there.
    pub(super) fn need<T>(
        &mut self,
        check: &mut Check<'_>,
        name: &'static str,
        parse: impl FnOnce(&'static str, &DeValue<'_>) -> Result<T, String>,
    ) -> Option<At<T>> {
        if !self.table.contains_key(name) {
            self.asked.push(name);
            check.problem(&self.span, format!("missing field `{name}`"));
            return None;
        }
        self.take(check, name, parse)
    }

    /// Names what nobody has asked for. `elsewhere` are fields that others of this table have, but not `kind`.
    pub(super) fn finish(self, check: &mut Check<'_>, elsewhere: Option<(&str, &[&str])>) {
        for key in self.table.keys() {
            let (span, name) = (key.span(), key.get_ref());
            let message = match elsewhere {
                Some((kind, fields)) if fields.iter().any(|field| field == name) => {
                    format!("a sensor or actuator of the kind `{kind}` has no `{name}`")
                }
                _ => {
                    let known: Vec<_> = self.asked.iter().map(|field| format!("`{field}`")).collect();
                    format!("unknown field `{name}`, expected one of {}", known.join(", "))
                }
            };
            check.problem(&span, message);
        }
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

fn wrong(name: &str, wanted: &str, value: &DeValue<'_>) -> String {
    format!("{name} has to be {wanted}, not {}", value.type_str())
}

pub(super) fn text(name: &'static str, value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a string", value))
}

/// A text that says something.
pub(super) fn some_text(name: &'static str, value: &DeValue<'_>) -> Result<String, String> {
    let text = text(name, value)?;
    if text.is_empty() { Err(format!("{name} must not be empty")) } else { Ok(text) }
}

pub(super) fn flag(name: &'static str, value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wrong(name, "true or false", value))
}

/// What has a form of its own.
pub(super) fn parsed<T: FromStr<Err: ToString>>(
    name: &'static str,
    value: &DeValue<'_>,
) -> Result<T, String> {
    text(name, value)?.parse().map_err(|error: T::Err| error.to_string())
}

/// One of these words.
pub(super) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl FnOnce(&'static str, &DeValue<'_>) -> Result<T, String> {
    move |name, value| {
        let text = text(name, value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            format!("unknown variant `{text}`, expected one of {}", known.join(", "))
        })
    }
}

/// An integer within these bounds.
pub(super) fn integer(
    bounds: RangeInclusive<u64>,
) -> impl FnOnce(&'static str, &DeValue<'_>) -> Result<u64, String> {
    move |name, value| {
        let integer = value.as_integer().ok_or_else(|| wrong(name, "an integer", value))?;
        let parsed = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let (low, high) = (bounds.start(), bounds.end());
        parsed.filter(|value| bounds.contains(value)).ok_or_else(|| format!("{name} must be {low} to {high}"))
    }
}

/// A number, with a point or without.
pub(super) fn number(name: &'static str, value: &DeValue<'_>) -> Result<f64, String> {
    let parsed = match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
        _ => None,
    };
    parsed.filter(|value: &f64| value.is_finite()).ok_or_else(|| wrong(name, "a number", value))
}

/// A list of what `item` takes, within these bounds.
pub(super) fn list<T>(
    bounds: RangeInclusive<usize>,
    what: &'static str,
    item: impl Fn(&'static str, &DeValue<'_>) -> Result<T, String>,
) -> impl FnOnce(&'static str, &DeValue<'_>) -> Result<Vec<T>, String> {
    move |name, value| {
        let array = value.as_array().ok_or_else(|| wrong(name, "a list", value))?;
        if !bounds.contains(&array.len()) {
            return Err(format!("{name} takes {} to {} {what}", bounds.start(), bounds.end()));
        }
        array.iter().map(|value| item(name, value.get_ref())).collect()
    }
}

/// Two numbers that differ.
pub(super) fn range(name: &'static str, value: &DeValue<'_>) -> Result<(f64, f64), String> {
    let ends = value
        .as_array()
        .map(|array| array.iter().map(|value| number(name, value.get_ref())).collect::<Result<Vec<_>, _>>());
    match ends.transpose()?.as_deref() {
        Some(&[low, high]) if (high - low).abs() > f64::EPSILON => Ok((low, high)),
        _ => Err(format!("{name} takes two different numbers, such as [0, 1023]")),
    }
}
