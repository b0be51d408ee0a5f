//! What is wrong, where, and what to do about it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::limits::{ERRORS_MAX, WARNINGS_MAX};

/// How much a [`Diagnostic`] weighs; the broker logs it at the level of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Information,
    /// Works, but there is a better way.
    Notice,
    /// Probably not what the user meant.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file as it was named by the user or found by `include_dir`.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: u32,
    /// The `include_dir` line that brought the file in.
    pub included_at: Option<Arc<Place>>,
}

impl Place {
    /// A place in a main file.
    pub fn new(file: impl AsRef<Path>, line: u32) -> Self {
        Self { file: Arc::from(file.as_ref()), line, included_at: None }
    }
}

impl fmt::Display for Place {
    /// `FILE:LINE`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A part of a line, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where it begins, counted from 0.
    pub start: usize,
    /// How long it is.
    pub len: usize,
}

/// One finding about a configuration.
///
/// `Display` gives the original broker's words, the place in its form, and the hint as a line of its own:
///
/// ```text
/// Error: Unknown configuration variable 'alow_anonymous'.
/// Error found at /etc/mosquitto/mosquitto.conf:7.
/// Did you mean 'allow_anonymous'?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where; absent for what concerns a whole file or the command line.
    pub place: Option<Place>,
    /// Which part of that line; the whole line where absent.
    pub span: Option<Span>,
    /// The sentence without its `Error: `.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding without a hint.
    pub fn new(severity: Severity, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity, place, span: None, message: message.into(), hint: None }
    }

    pub(crate) fn error(place: Option<Place>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, place, message)
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The file, if the finding has a place.
    pub fn file(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| &*place.file)
    }

    /// The line, counted from 1, if the finding has a place.
    pub fn line(&self) -> Option<u32> {
        self.place.as_ref().map(|place| place.line)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "Error: {}", self.message)?,
            Severity::Warning => write!(f, "Warning: {}", self.message)?,
            Severity::Notice | Severity::Information => write!(f, "{}", self.message)?,
        }
        match (&self.place, self.severity) {
            (Some(place), Severity::Error) => match &place.included_at {
                Some(main) => write!(f, "\nError found at '{place}'.\nError found at {main}.")?,
                None => write!(f, "\nError found at {place}.")?,
            },
            (Some(place), _) => write!(f, " ({place})")?,
            (None, _) => {}
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

impl std::error::Error for Diagnostic {}

/// Collects findings, no more than a person can read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    overflown: bool,
}

impl Report {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error if self.errors.len() < ERRORS_MAX => self.errors.push(diagnostic),
            Severity::Error => self.overflown = true,
            _ if self.warnings.len() < WARNINGS_MAX => self.warnings.push(diagnostic),
            _ => {}
        }
    }

    pub(crate) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// There are more errors than are kept: reading on is useless.
    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Says that the errors are not all.
    pub(crate) fn give_up(&mut self) {
        self.errors
            .push(Diagnostic::error(None, "Too many errors: the rest of the configuration is not checked."));
    }

    /// Errors, then warnings.
    pub(crate) fn into_all(mut self) -> Vec<Diagnostic> {
        self.errors.append(&mut self.warnings);
        self.errors
    }

    /// The warnings with `value`, or the errors.
    pub(crate) fn finish<T>(self, value: T) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        if self.errors.is_empty() { Ok((value, self.warnings)) } else { Err(self.errors) }
    }
}

/// `text` in a form that can be shown: no control characters, not endless.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut shown: String =
        text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
