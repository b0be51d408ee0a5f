//! Reading line-based files whole, within a bound, and decoding them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A file's bytes; [`io::ErrorKind::FileTooLarge`] beyond `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The text, where every line that counts is UTF-8; comments (`#` first) may be in any encoding.
/// Otherwise the number of the first line that is not, counted from 1.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, usize> {
    String::from_utf8(bytes).or_else(|error| {
        let bytes = error.into_bytes();
        let undecodable = |line: &[u8]| line.first() != Some(&b'#') && std::str::from_utf8(line).is_err();
        match bytes.split(|b| *b == b'\n').position(undecodable) {
            Some(index) => Err(index + 1),
            None => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        }
    })
}
