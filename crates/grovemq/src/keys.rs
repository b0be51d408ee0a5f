//! Keys of a terminal, or words of a standard input that is none.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Press(bool),
    Toggle,
    /// A bit up, or a bit down.
    Turn(bool),
    Knob(u16),
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
    let mut bytes = io::stdin().lock().bytes();
    while let Some(Ok(byte)) = bytes.next() {
        let control = match byte {
            b'b' | b' ' => Control::Toggle,
            b'+' | b'=' => Control::Turn(true),
            b'-' | b'_' => Control::Turn(false),
            b'q' | 4 => Control::Quit,
            // an arrow key is ESC [ A to D
            0x1b => match (bytes.next(), bytes.next()) {
                (Some(Ok(b'[')), Some(Ok(b'A' | b'C'))) => Control::Turn(true),
                (Some(Ok(b'[')), Some(Ok(b'B' | b'D'))) => Control::Turn(false),
                _ => continue,
            },
            _ => continue,
        };
        if controls.send(control).is_err() {
            return;
        }
    }
}

fn read_words(controls: &UnboundedSender<Control>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let control = word(&line);
        if control.is_some_and(|control| controls.send(control).is_err()) {
            return;
        }
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
            value.parse().map_or_else(|_| Control::Unknown(line.trim().to_owned()), Control::Knob)
        }
        _ => Control::Unknown(line.trim().to_owned()),
    };
    Some(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_a_meaning() {
        assert_eq!(word("press"), Some(Control::Press(true)));
        assert_eq!(word(" release "), Some(Control::Press(false)));
        assert_eq!(word("knob 512"), Some(Control::Knob(512)));
        assert_eq!(word("knob far"), Some(Control::Unknown("knob far".into())));
        assert_eq!(word(""), None);
        assert_eq!(word("quit"), Some(Control::Quit));
    }
}
