//! Keys of a terminal, or words of a standard input that is none.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The rightmost position of a knob.
pub(crate) const KNOB_MAX: u16 = 1023;
/// How long a word has at least to have its effect, before the next one of a script: a thing looks at its knob every
/// 0.4 s, and at its button more often.
const WORD: Duration = Duration::from_millis(500);

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Press(bool),
    Toggle,
    /// A bit up, or a bit down.
    Turn(bool),
    Knob(u16),
    /// The digital port of this number.
    Port(u8),
    /// The next knob.
    Next,
    Quit,
    Unknown(String),
}

/// Reads controls in the background. Puts the terminal back as it was when dropped.
pub(crate) struct Keys {
    controls: UnboundedReceiver<Control>,
    /// The terminal's settings before; `None` without a terminal.
    before: Option<Termios>,
    /// No more will come.
    ended: bool,
}

impl Keys {
    pub(crate) fn start() -> Self {
        let (sender, controls) = unbounded_channel();
        let before = if io::stdin().is_terminal() { single_keys() } else { None };
        let terminal = before.is_some();
        let read = move || if terminal { read_keys(&sender) } else { read_words(&sender) };
        // the thread waits for input until the process ends
        let ended = std::thread::Builder::new().name("keys".into()).spawn(read).is_err();
        Self { controls, before, ended }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.before.is_some()
    }

    /// Never resolves once the input has ended: only a signal ends a program without one.
    pub(crate) async fn next(&mut self) -> Control {
        if !self.ended
            && let Some(control) = self.controls.recv().await
        {
            return control;
        }
        self.ended = true;
        std::future::pending().await
    }

    pub(crate) fn restore(&mut self) {
        if let Some(before) = self.before.take() {
            tcsetattr(io::stdin(), SetArg::TCSANOW, &before).ok();
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Each key at once and unseen; Ctrl+C stays a signal and lines still end as usual.
fn single_keys() -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut raw = before.clone();
    raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).ok()?;
    Some(before)
}

fn read_keys(controls: &UnboundedSender<Control>) {
    let mut sequence = Sequence::None;
    for byte in io::stdin().lock().bytes().map_while(Result::ok) {
        if sequence.key(byte).is_some_and(|control| controls.send(control).is_err()) {
            return;
        }
    }
}

/// Where in the bytes of one key reading is: an arrow is ESC [ or ESC O, perhaps arguments, and a letter from A to D.
#[derive(Clone, Copy, Debug)]
enum Sequence {
    None,
    Escape,
    Arguments,
}

impl Sequence {
    /// What the next byte asks for. The Escape key by itself asks for nothing, and swallows nothing.
    fn key(&mut self, byte: u8) -> Option<Control> {
        let before = std::mem::replace(self, Self::None);
        let control = match (before, byte) {
            (_, 0x1b) => {
                *self = Self::Escape;
                return None;
            }
            (Self::Escape, b'[' | b'O') | (Self::Arguments, b'0'..=b'?') => {
                *self = Self::Arguments;
                return None;
            }
            (Self::Arguments, b'A' | b'C') => Control::Turn(true),
            (Self::Arguments, b'B' | b'D') => Control::Turn(false),
            (Self::Arguments, _) => return None,
            (_, b'b' | b' ') => Control::Toggle,
            (_, b'+' | b'=') => Control::Turn(true),
            (_, b'-' | b'_') => Control::Turn(false),
            (_, digit @ b'2'..=b'8') => Control::Port(digit - b'0'),
            (_, b'\t') => Control::Next,
            (_, b'q' | 4) => Control::Quit,
            _ => return None,
        };
        Some(control)
    }
}

fn read_words(controls: &UnboundedSender<Control>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some(control) = word(&line) else { continue };
        if controls.send(control).is_err() {
            return;
        }
        std::thread::sleep(WORD);
    }
}

/// The meaning of a line; `None` for an empty one.
fn word(line: &str) -> Option<Control> {
    let mut words = line.split_whitespace();
    let control = match (words.next()?, words.next(), words.next()) {
        ("press", None, None) => Control::Press(true),
        ("release", None, None) => Control::Press(false),
        ("+", None, None) => Control::Turn(true),
        ("-", None, None) => Control::Turn(false),
        ("quit" | "q", None, None) => Control::Quit,
        ("knob", Some(value), None) => {
            let position = value.parse().ok().filter(|position| *position <= KNOB_MAX);
            position.map_or_else(|| Control::Unknown(line.trim().to_owned()), Control::Knob)
        }
        _ => Control::Unknown(line.trim().to_owned()),
    };
    Some(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Control> {
        let mut sequence = Sequence::None;
        bytes.iter().filter_map(|&byte| sequence.key(byte)).collect()
    }

    #[test]
    fn keys_have_a_meaning() {
        use Control::{Quit, Toggle, Turn};
        assert_eq!(
            keys(b"b +=-_q\x04xB1\t8"),
            [
                Toggle,
                Toggle,
                Turn(true),
                Turn(true),
                Turn(false),
                Turn(false),
                Quit,
                Quit,
                Control::Next,
                Control::Port(8)
            ]
        );
        assert_eq!(keys(b"\x1b[A\x1b[B\x1bOC\x1bOD"), [Turn(true), Turn(false), Turn(true), Turn(false)]);
        assert_eq!(keys(b"\x1b[1;5A\x1b[15~b"), [Turn(true), Toggle]);
        assert_eq!(keys(b"\x1bb\x1b\x1b[Aq"), [Toggle, Turn(true), Quit]);
    }

    #[test]
    fn words_have_a_meaning() {
        assert_eq!(word("press"), Some(Control::Press(true)));
        assert_eq!(word(" release "), Some(Control::Press(false)));
        assert_eq!(word("knob 512"), Some(Control::Knob(512)));
        assert_eq!(word("knob 1024"), Some(Control::Unknown("knob 1024".into())));
        assert_eq!(word("knob far"), Some(Control::Unknown("knob far".into())));
        assert_eq!(word(""), None);
        assert_eq!(word("quit"), Some(Control::Quit));
    }
}
