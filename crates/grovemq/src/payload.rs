//! Where payloads come from.

use crate::flags::Source;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Read};
use tokio::sync::mpsc;

/// The one payload of a source that is not line by line. The error is the lines to show.
pub(crate) fn of_source(source: &Source) -> Result<Vec<u8>, Vec<String>> {
    match source {
        Source::Message(payload) => Ok(payload.clone()),
        Source::File(path) => of_file(path),
        Source::Stdin => of_stdin(),
        Source::Null | Source::Lines => Ok(Vec::new()),
    }
}

/// The largest payload MQTT can carry, in bytes.
pub(crate) const BYTES_MAX: usize = 268_435_455;

/// Lines that may wait between standard input and the connection.
const LINES_MAX: usize = 64;

/// The complaint about a payload that MQTT cannot carry; `what` is to become shorter.
pub(crate) fn too_long(what: &str) -> String {
    format!("{what} must be less than {BYTES_MAX} bytes.")
}

/// What a file holds. The error is the lines to show.
fn of_file(path: &OsStr) -> Result<Vec<u8>, Vec<String>> {
    let shown = path.display();
    let lines = |first| vec![first, format!("Error loading input file \"{shown}\".")];
    let file = File::open(path).map_err(|_| lines(format!("Error: Unable to open file \"{shown}\".")))?;
    match read(file) {
        Ok(Some(payload)) => Ok(payload),
        Ok(None) => Err(lines(format!("Error: {}", too_long("File")))),
        Err(error) => Err(lines(format!("Error: Unable to read file \"{shown}\": {error}."))),
    }
}

/// All of standard input, which must not be empty. The error is the lines to show.
fn of_stdin() -> Result<Vec<u8>, Vec<String>> {
    let lines = |first| vec![first, "Error loading input from stdin.".to_owned()];
    match read(io::stdin().lock()) {
        Ok(Some(payload)) if payload.is_empty() => Err(lines("Error: Zero length input.".to_owned())),
        Ok(Some(payload)) => Ok(payload),
        Ok(None) => Err(lines(format!("Error: {}", too_long("Message length")))),
        Err(error) => Err(lines(format!("Error: {error}"))),
    }
}

/// The lines of standard input as they come, without their ends, read by a thread of their own. An error is a line
/// to show, and the end.
pub(crate) fn lines_of_stdin() -> mpsc::Receiver<Result<Vec<u8>, String>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    // The thread is not waited for: it may sit in a read that never ends.
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let line = match next_line(&mut stdin) {
                Ok(Some(line)) => Ok(line),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

fn next_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, String> {
    let mut line = Vec::new();
    let limit = BYTES_MAX as u64 + 2;
    let read = input.take(limit).read_until(b'\n', &mut line).map_err(|error| format!("Error: {error}"))?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.len() > BYTES_MAX {
        return Err(format!("Error: {}", too_long("Message length")));
    }
    Ok(Some(line))
}

/// Everything; `None` if that is too much.
fn read(input: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut payload = Vec::new();
    input.take(BYTES_MAX as u64 + 1).read_to_end(&mut payload)?;
    Ok((payload.len() <= BYTES_MAX).then_some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_only() {
        let mut input = &b"one\n\ntwo\r\nthree"[..];
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"", b"two\r", b"three"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let complaint = of_file("no/such/file".as_ref()).unwrap_err();
        assert_eq!(
            complaint,
            ["Error: Unable to open file \"no/such/file\".", "Error loading input file \"no/such/file\"."]
        );
    }
}
