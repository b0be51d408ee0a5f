//! Colours for eyes: on a terminal, and elsewhere only when asked for.

use std::fmt;
use std::io::{self, IsTerminal as _};

/// When to colour what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// On a terminal that has colours, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// What a piece of output is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Topic,
    /// The topic of a retained message.
    Retained,
    /// What is less important than the rest.
    Aside,
    Good,
    Bad,
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Palette {
    is_on: bool,
}

/// A text in its colour, to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painted<'a> {
    text: &'a str,
    code: Option<&'static str>,
}

impl When {
    /// The colours for standard output.
    pub(crate) fn for_stdout(self) -> Palette {
        Palette { is_on: self.decide(io::stdout().is_terminal()) }
    }

    fn decide(self, is_terminal: bool) -> bool {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                is_terminal
                    && !is_set("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

impl Palette {
    pub(crate) fn paint(self, style: Style, text: &str) -> Painted<'_> {
        let code = match style {
            Style::Topic => "36",
            Style::Retained => "35",
            Style::Aside => "2",
            Style::Good => "32",
            Style::Bad => "31",
        };
        Painted { text, code: self.is_on.then_some(code) }
    }
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = self.code else { return f.pad(self.text) };
        write!(f, "\x1b[{code}m")?;
        f.pad(self.text)?;
        f.write_str("\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_where_it_is_wanted() {
        assert!(When::Always.decide(false));
        assert!(!When::Never.decide(true));
        assert!(!When::Auto.decide(false));
        let shown = |is_on| Palette { is_on }.paint(Style::Topic, "a").to_string();
        assert_eq!(shown(false), "a");
        assert_eq!(shown(true), "\x1b[36ma\x1b[0m");
    }
}
