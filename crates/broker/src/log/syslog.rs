//! Lines to the system's log, as RFC 3164 has them, over the datagram socket `/dev/log`.

use grovemq_config::LogType;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

const SOCKET: &str = "/dev/log";
/// Facility `daemon`, and the first of `local0` to `local7`.
const DAEMON: u8 = 3;
const LOCAL0: u8 = 16;

/// The connection to the system's log. It is made anew when the system's log was restarted.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    facility: u8,
    program: String,
    /// Lines that could not be sent are reported once per run.
    complained: bool,
}

impl Syslog {
    pub(super) fn new(local: Option<u8>) -> Self {
        Self::at(SOCKET.into(), local)
    }

    fn at(path: PathBuf, local: Option<u8>) -> Self {
        let called = std::env::args_os().next().map(PathBuf::from);
        let program = called.as_deref().and_then(|p| p.file_name()?.to_str()).unwrap_or("grovemq");
        let facility = local.map_or(DAEMON, |n| LOCAL0 + n.min(7));
        Self { path, socket: None, facility, program: program.into(), complained: false }
    }

    /// Sends one line, without waiting. The error is given once for a run of lines that cannot be sent.
    pub(super) fn send(&mut self, kind: LogType, at: Timestamp, text: &str) -> Result<(), String> {
        let priority = self.facility * 8 + severity(kind);
        let local = at.to_zoned(TimeZone::system()).strftime("%b %e %H:%M:%S").to_string();
        let line = format!("<{priority}>{local} {}[{}]: {text}", self.program, std::process::id());
        match self.try_send(line.as_bytes()) {
            Ok(()) => {
                self.complained = false;
                Ok(())
            }
            Err(_) if self.complained => Ok(()),
            Err(e) => {
                self.complained = true;
                Err(format!("Warning: Unable to write to syslog at {}: {e}.", self.path.display()))
            }
        }
    }

    fn try_send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(line) {
                Ok(_) => return Ok(()),
                // full: the line is lost, the connection is not
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        let sent = socket.send(line).map(drop);
        self.socket = Some(socket);
        sent
    }
}

/// The system's word for how much a line weighs.
fn severity(kind: LogType) -> u8 {
    match kind {
        LogType::Error => 3,
        LogType::Warning => 4,
        LogType::Notice | LogType::Subscribe | LogType::Unsubscribe => 5,
        LogType::Information => 6,
        LogType::Debug | LogType::Websockets | LogType::Internal => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2000];
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn lines_have_priority_time_program_and_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::at(path, Some(2));
        syslog.send(LogType::Notice, Timestamp::now(), "New client").unwrap();
        let line = read(&server);
        let (head, text) = line.split_once(": ").unwrap();
        assert_eq!(text, "New client");
        // local2 is 18, notice is 5
        assert!(head.starts_with("<149>"), "{line}");
        assert!(head.ends_with(&format!("[{}]", std::process::id())), "{line}");
        assert_eq!(head.as_bytes()["<149>".len() + 15], b' ', "{line}");
        syslog.facility = DAEMON;
        syslog.send(LogType::Error, Timestamp::now(), "x").unwrap();
        assert!(read(&server).starts_with("<27>"));
    }

    #[test]
    fn an_absent_log_is_told_once_and_a_restarted_one_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut syslog = Syslog::at(path.clone(), None);
        let send = |syslog: &mut Syslog| syslog.send(LogType::Error, Timestamp::now(), "x");
        assert!(send(&mut syslog).unwrap_err().contains("syslog"));
        assert_eq!(send(&mut syslog), Ok(()));
        let server = UnixDatagram::bind(&path).unwrap();
        send(&mut syslog).unwrap();
        read(&server);
        drop(server);
        std::fs::remove_file(&path).unwrap();
        assert!(send(&mut syslog).is_err());
        let server = UnixDatagram::bind(&path).unwrap();
        send(&mut syslog).unwrap();
        read(&server);
    }
}
