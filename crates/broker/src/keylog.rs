//! The secrets of TLS connections in a file, for programs that look into captured packets.

use grovemq_net::rustls::KeyLog;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Lines of the form `LABEL CLIENT_RANDOM SECRET`, in hexadecimal.
#[derive(Debug)]
pub(crate) struct KeyFile(Mutex<File>);

impl KeyFile {
    /// Opens the file for more lines; a new one is its owner's only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // a secret that cannot be written is one packet that cannot be looked into
        file.write_all(line.as_bytes()).ok();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
