//! Findings as compilers show them: the place, the line, a mark below it.

use grovemq_config::{Diagnostic, Severity, Span, table};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer files are not shown, and longer lines are cut.
const FILE_BYTES_MAX: u64 = 64 << 20;
const LINE_CHARS_MAX: usize = 160;

/// The files findings are about, each read once.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<PathBuf, Vec<String>>);

impl Sources {
    /// ```text
    /// Error: Unknown configuration variable 'alow_anonymous'.
    ///  --> mosquitto.conf:7:1
    ///   |
    /// 7 | alow_anonymous true
    ///   | ^^^^^^^^^^^^^^
    ///   = Did you mean 'allow_anonymous'?
    /// ```
    pub(super) fn show(&mut self, finding: &Diagnostic) -> String {
        let word = match finding.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
            Severity::Notice | Severity::Information => "Note",
        };
        let mut text = format!("{word}: {}", printable(finding.message.trim_start_matches("Note: ")));
        let mut margin = 2;
        if let Some(place) = &finding.place {
            margin = place.line.to_string().len() + 1;
            let line = self.line(&place.file, place.line);
            let (shown, column, mark) = line.map_or_else(Default::default, |line| marked(line, finding.span));
            let arrow = "-".repeat(margin);
            let _infallible = write!(text, "\n{arrow}> {}:{}:{column}", place.file.display(), place.line);
            if !shown.is_empty() {
                let _infallible =
                    write!(text, "\n{:margin$}|\n{} | {shown}\n{:margin$}| {mark}", "", place.line, "");
            }
            if let Some(main) = &place.included_at {
                let _infallible = write!(text, "\n{:margin$}= Included at {main}.", "");
            }
        }
        for hint in finding.hint.iter().flat_map(|hint| hint.lines()) {
            let _infallible = write!(text, "\n{:margin$}= {}", "", printable(hint));
        }
        text.push('\n');
        text
    }

    fn line(&mut self, file: &Path, line: u32) -> Option<&str> {
        let lines = self.0.entry(file.to_path_buf()).or_insert_with(|| read(file));
        lines.get(usize::try_from(line).ok()?.checked_sub(1)?).map(String::as_str)
    }
}

/// Nothing where the file cannot be read; the finding is about that, then.
fn read(file: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let opened = File::open(file).and_then(|f| f.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    if opened.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).into_owned();
    text.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

/// The line as it can be shown, the column counted from 1, and the mark.
fn marked(line: &str, span: Option<Span>) -> (String, usize, String) {
    let bare = line.trim();
    let whole = Span { start: line.len() - line.trim_start().len(), len: bare.len() };
    let span = span.unwrap_or(whole);
    let before = line.get(..span.start).unwrap_or_default();
    let (line, secret) = masked(line);
    let chars = |n: usize, text: &str| text.chars().count().min(n);
    let column = chars(LINE_CHARS_MAX, before);
    let part = line.get(span.start..).map_or("", |rest| rest.get(..span.len).unwrap_or(rest));
    let len = chars(LINE_CHARS_MAX - column, part).max(1);
    let mut shown: String = printable(&line).chars().take(LINE_CHARS_MAX).collect();
    if line.chars().nth(LINE_CHARS_MAX).is_some() {
        shown.push('…');
    }
    let len = if secret { len.min(shown.chars().count().saturating_sub(column)).max(1) } else { len };
    (shown, column + 1, format!("{}{}", " ".repeat(column), "^".repeat(len)))
}

/// The line with its value hidden if that is a secret, and whether it is.
fn masked(line: &str) -> (String, bool) {
    let bare = line.trim_start_matches(' ');
    match bare.split_once(' ') {
        Some((name, _)) if table::find(name).is_some_and(|option| option.secret) => {
            let indent = line.len() - bare.len();
            (format!("{}{name} ********", " ".repeat(indent)), true)
        }
        _ => (line.to_owned(), false),
    }
}

/// One column for each character, none of which moves the cursor elsewhere.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_config::Config;

    fn shown(text: &str) -> Vec<String> {
        let dir = std::env::temp_dir();
        let file = dir.join(format!("grovemq-check-{}-{}.conf", std::process::id(), text.len()));
        std::fs::write(&file, text).unwrap();
        let mut sources = Sources::default();
        let findings = Config::inspect(&file).findings;
        let shown = findings.iter().map(|f| sources.show(f).replace(file.to_str().unwrap(), "F")).collect();
        std::fs::remove_file(&file).unwrap();
        shown
    }

    #[test]
    fn the_place_the_line_and_a_mark() {
        let text = "# nothing\n\n\n\n\n\n  alow_anonymous true\nmax_qos  9 # x\nallow_anonymous maybe";
        assert_eq!(
            shown(text)[..3],
            [
                "Error: Unknown configuration variable 'alow_anonymous'.\n--> F:7:3\n  |\n7 |   alow_anonymous true\n  |   ^^^^^^^^^^^^^^\n  = Did you mean 'allow_anonymous'?\n",
                "Error: 'max_qos' must be between 0 and 2 inclusive.\n--> F:8:10\n  |\n8 | max_qos  9 # x\n  |          ^\n",
                "Error: Invalid 'allow_anonymous' value (maybe).\n--> F:9:17\n  |\n9 | allow_anonymous maybe\n  |                 ^^^^^\n",
            ]
        );
    }

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let text = "connection b\nremote_password hunter2\nremote_password hunter3\nuser a\x1b[31m";
        let all = shown(text).concat();
        assert!(!all.contains("hunter") && !all.contains('\x1b'), "{all}");
        assert!(all.contains("remote_password ********"), "{all}");
    }

    #[test]
    fn long_lines_are_cut_and_foreign_bytes_shown() {
        let all = shown(&format!("nonsense {}", "ü".repeat(1000))).concat();
        assert!(all.contains('…') && all.len() < 1000, "{all}");
        assert!(marked("x", Some(Span { start: 50, len: 3 })).2.ends_with('^'));
        assert_eq!(marked("é x", Some(Span { start: 3, len: 1 })), ("é x".into(), 3, "  ^".into()));
    }
}
