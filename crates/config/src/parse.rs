//! Text to literal lines: a name, the rest, and where it stands.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place, Report};
use crate::limits::{DIRECTIVES_MAX, LINE_BYTES_MAX, TEXT_BYTES_MAX};

/// One directive as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Everything up to the first space; not checked to be a directive.
    pub name: String,
    /// The rest without white space around it; may be empty, may hold what was meant as a comment.
    pub value: String,
    /// Where it stands.
    pub place: Place,
    /// Where the name begins in the text of the line, in bytes.
    pub name_at: usize,
    /// Where the value begins.
    pub value_at: usize,
}

impl Line {
    /// The words of the value, at spaces.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.value.split(' ').filter(|word| !word.is_empty())
    }
}

/// Splits `text` into lines; `file` is only a name for messages.
///
/// `include_dir` stays an ordinary line: only [`Config::load`](crate::Config::load) reads files.
pub fn parse(text: &str, file: &Path) -> (Vec<Line>, Vec<Diagnostic>) {
    parse_bytes(text.as_bytes(), file)
}

/// Like [`parse()`], for bytes of unknown origin. Comments may hold any bytes, directives must be UTF-8.
pub fn parse_bytes(bytes: &[u8], file: &Path) -> (Vec<Line>, Vec<Diagnostic>) {
    let (mut lines, mut report) = (Vec::new(), Report::default());
    read_text(bytes, &Arc::from(file), None, &mut lines, &mut report);
    (lines, report.finish(()).err().unwrap_or_default())
}

/// Appends the directives of one file to `lines`.
pub(crate) fn read_text(
    bytes: &[u8],
    file: &Arc<Path>,
    included_at: Option<&Arc<Place>>,
    lines: &mut Vec<Line>,
    report: &mut Report,
) {
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("Config file '{}' has more than {} MiB.", file.display(), TEXT_BYTES_MAX >> 20);
        return report.push(Diagnostic::error(None, message));
    }
    // Editors on Windows put a byte order mark in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, raw) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let place = || Place { file: Arc::clone(file), line: number, included_at: included_at.cloned() };
        match read_line(raw) {
            Ok(None) => {}
            Ok(Some(raw)) if lines.len() < DIRECTIVES_MAX => {
                let RawLine { name, value, name_at, value_at } = raw;
                let (name, value) = (name.to_owned(), value.to_owned());
                lines.push(Line { name, value, place: place(), name_at, value_at });
            }
            Ok(Some(_)) => {
                let message = format!("More than {DIRECTIVES_MAX} directives.");
                return report.push(Diagnostic::error(Some(place()), message));
            }
            Err(message) => report.push(Diagnostic::error(Some(place()), message)),
        }
        if report.is_overflown() {
            return;
        }
    }
}

/// Name and value, and where they begin.
struct RawLine<'a> {
    name: &'a str,
    value: &'a str,
    name_at: usize,
    value_at: usize,
}

/// Name and value of one line, or nothing if it is blank or a comment.
fn read_line(raw: &[u8]) -> Result<Option<RawLine<'_>>, String> {
    if raw.first() == Some(&b'#') {
        return Ok(None);
    }
    if raw.len() > LINE_BYTES_MAX {
        return Err(format!("Line has more than {LINE_BYTES_MAX} bytes."));
    }
    let text = std::str::from_utf8(raw).map_err(|_| "Malformed UTF-8 in configuration.")?;
    if text.contains('\0') {
        return Err("Malformed UTF-8 in configuration.".to_owned());
    }
    let text = text.trim_end();
    let bare = text.trim_start_matches(' ');
    let name_at = text.len() - bare.len();
    let (name, rest) = bare.split_once(' ').unwrap_or((bare, ""));
    let value = rest.trim();
    let value_at = text.len() - rest.trim_start().len();
    Ok((!name.is_empty()).then_some(RawLine { name, value, name_at, value_at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, String, u32)> {
        let (lines, errors) = parse(text, Path::new("t"));
        assert_eq!(errors, []);
        lines.into_iter().map(|line| (line.name, line.value, line.place.line)).collect()
    }

    fn line(name: &str, value: &str, number: u32) -> (String, String, u32) {
        (name.to_owned(), value.to_owned(), number)
    }

    #[test]
    fn names_values_and_numbers() {
        let text = "# comment\n\nport 1883\r\n   user  a b \n#x\npid_file\n \t\nlast x";
        assert_eq!(
            lines(text),
            [line("port", "1883", 3), line("user", "a b", 4), line("pid_file", "", 6), line("last", "x", 8)]
        );
    }

    #[test]
    fn names_and_values_are_found_again_in_the_text() {
        let text = "  user   a b  \npid_file\n\u{e9} x";
        let (lines, _) = parse(text, Path::new("t"));
        for (line, text) in lines.iter().zip(text.lines()) {
            assert!(text.get(line.name_at..).unwrap().starts_with(&line.name), "{text}");
            assert!(text.get(line.value_at..).unwrap().starts_with(&line.value), "{text}");
        }
        assert_eq!((lines[0].name_at, lines[0].value_at, lines[1].value_at), (2, 9, 8));
    }

    #[test]
    fn a_comment_is_one_only_in_the_first_column() {
        assert_eq!(lines(" # x\nport 1 # x"), [line("#", "x", 1), line("port", "1 # x", 2)]);
    }

    #[test]
    fn a_tab_does_not_end_a_name() {
        assert_eq!(lines("port\t1883"), [line("port\t1883", "", 1)]);
    }

    #[test]
    fn byte_order_mark_and_foreign_comments_are_skipped() {
        let (lines, errors) = parse_bytes(b"\xef\xbb\xbf# f\xfcr\nport 1\n", Path::new("t"));
        assert_eq!(errors, []);
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn broken_lines_are_named_and_the_rest_is_read() {
        let text =
            [b"user \xfc\nuser a\0b\n".as_slice(), &vec![b'a'; LINE_BYTES_MAX + 1], b"\nport 1"].concat();
        let (lines, errors) = parse_bytes(&text, Path::new("t"));
        assert_eq!(lines.len(), 1);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "Error: Malformed UTF-8 in configuration.\nError found at t:1.",
                "Error: Malformed UTF-8 in configuration.\nError found at t:2.",
                "Error: Line has more than 66000 bytes.\nError found at t:3.",
            ]
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let (_, errors) = parse_bytes(&vec![b'\n'; TEXT_BYTES_MAX + 1], Path::new("t"));
        assert_eq!(errors.len(), 1);
        let (lines, errors) = parse(&"a b\n".repeat(DIRECTIVES_MAX + 7), Path::new("t"));
        assert_eq!((lines.len(), errors.len()), (DIRECTIVES_MAX, 1));
        let (_, errors) = parse(&"a\0\n".repeat(1000), Path::new("t"));
        assert_eq!(errors.len(), crate::limits::ERRORS_MAX);
    }
}
