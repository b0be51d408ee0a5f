//! `sub --watch`: each topic has a row of the screen, with what came last.

use std::collections::HashMap;
use std::io::{self, Write};

/// Rows; topics beyond share the last one.
const ROWS_MAX: usize = 1000;
const CLEAR: &[u8] = b"\x1b[2J";

/// Which topic is where.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    rows: HashMap<String, usize>,
}

impl Screen {
    /// Shows a line in the topic's row.
    pub(crate) fn show(&mut self, out: &mut dyn Write, topic: &str, line: &[u8]) -> io::Result<()> {
        if self.rows.is_empty() {
            out.write_all(CLEAR)?;
        }
        let row = match self.rows.get(topic) {
            Some(row) => *row,
            None if self.rows.len() < ROWS_MAX => {
                let row = self.rows.len() + 1;
                self.rows.insert(topic.to_owned(), row);
                row
            }
            None => ROWS_MAX,
        };
        // what moves the cursor would be in another's row
        let harmless = |c: char| if c.is_control() && c != '\x1b' { ' ' } else { c };
        let line: String = String::from_utf8_lossy(line).trim_end().chars().map(harmless).collect();
        write!(out, "\x1b[{row};1H{line}\x1b[K")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_keeps_its_row() {
        let mut screen = Screen::default();
        let mut out = Vec::new();
        for (topic, line) in [("a", "1"), ("b", "2\nlines\n"), ("a", "3")] {
            screen.show(&mut out, topic, line.as_bytes()).unwrap();
        }
        let expected = "\x1b[2J\x1b[1;1H1\x1b[K\x1b[2;1H2 lines\x1b[K\x1b[1;1H3\x1b[K";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_last_row_is_for_all_the_rest() {
        let mut screen = Screen::default();
        let mut out = Vec::new();
        for n in 0..ROWS_MAX + 5 {
            screen.show(&mut out, &n.to_string(), b"x").unwrap();
        }
        assert_eq!(screen.rows.len(), ROWS_MAX);
        assert!(out.ends_with(b"\x1b[1000;1Hx\x1b[K"));
    }
}
