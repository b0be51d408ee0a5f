//! A connection on which exact bytes are sent and awaited.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::SOON;

/// A TCP connection to a broker on this machine. Bytes are written as [`hex`] reads them.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Read, but not yet awaited.
    pending: Vec<u8>,
    /// The limit of every wait.
    patience: Duration,
    /// The peer has closed.
    ended: bool,
}

/// Bytes from a description: pairs of hexadecimal digits, `'text'` for ASCII, `"text"` for a length-prefixed string;
/// white space means nothing. `20 02 00 00`, `10 0d "MQTT" 04 02 003c "x"`.
///
/// # Panics
/// On anything else: a typing error in a test.
#[track_caller]
pub fn hex(text: &str) -> Vec<u8> {
    pattern(text).into_iter().map(|byte| byte.expect("`..` stands for no byte that could be sent")).collect()
}

impl Wire {
    /// Connects to 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        Wire::connect_to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects to 127.0.0.1, where perhaps nobody listens.
    pub fn try_connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Wire { stream, pending: Vec::new(), patience: SOON, ended: false })
    }

    /// Connects to any address.
    #[track_caller]
    pub fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).unwrap();
        Wire { stream, pending: Vec::new(), patience: SOON, ended: false }
    }

    /// Waits so long at most for what has to come, instead of [`SOON`].
    pub fn with_patience(self, patience: Duration) -> Self {
        Wire { patience, ..self }
    }

    /// Connects and introduces a client: clean session, keep-alive 60 s; `level` 3, 4 or 5. Expects to be accepted.
    #[track_caller]
    pub fn introduce(port: u16, level: u8, id: &str) -> Self {
        let mut wire = Wire::connect(port);
        let name = if level == 3 { "\"MQIsdp\"" } else { "\"MQTT\"" };
        let properties = if level == 5 { "00" } else { "" };
        let body = hex(&format!("{name} {level:02x} 02 003c {properties} \"{id}\""));
        let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
        packet.extend(body);
        wire.send_bytes(&packet);
        let answer = wire.packet();
        assert_eq!((answer[0], answer[3]), (0x20, 0), "CONNECT of {id} is refused: {}", show(&answer));
        wire
    }

    /// Sends bytes, written as [`hex`] reads them.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.send_bytes(&hex(text));
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|e| panic!("sending {}: {e}", show(bytes)));
    }

    /// Ends with a reset instead of an orderly close.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }

    /// Sends bytes to a peer that may close before it has taken them all; false if it did.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next bytes are these; `..` stands for any one byte.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let expected = pattern(text);
        self.read_at_least(expected.len());
        let got = &self.pending[..expected.len().min(self.pending.len())];
        let same = got.len() == expected.len()
            && got.iter().zip(&expected).all(|(byte, wanted)| wanted.is_none_or(|w| w == *byte));
        assert!(same, "expected {text}\n     got {}", show(&self.pending));
        self.pending.drain(..expected.len());
    }

    /// The next whole packet, fixed header included.
    #[track_caller]
    pub fn packet(&mut self) -> Vec<u8> {
        self.try_packet().unwrap_or_else(|| panic!("no whole packet, only {:?}", show(&self.pending)))
    }

    /// The next whole packet; `None` if the peer closes or says no more within the time allowed.
    pub fn try_packet(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(len) = whole_packet_len(&self.pending) {
                return Some(self.pending.drain(..len).collect());
            }
            if !self.read_more(deadline) {
                return None;
            }
        }
    }

    /// The peer closes the connection without another byte.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let deadline = Instant::now() + self.patience;
        while self.read_more(deadline) {}
        assert!(self.pending.is_empty(), "before the end came {}", show(&self.pending));
        assert!(Instant::now() < deadline, "the connection is still open after {:?}", self.patience);
    }

    /// Nothing comes within this time, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&mut self, during: Duration) {
        let deadline = Instant::now() + during;
        let more = self.read_more(deadline);
        assert!(!more && self.pending.is_empty(), "expected silence, got {}", show(&self.pending));
        assert!(Instant::now() >= deadline, "expected silence, got the end of the connection");
    }

    /// Has the peer closed, as far as was read?
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// No more bytes will be sent; reading goes on.
    pub fn end_of_sending(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    fn read_at_least(&mut self, len: usize) {
        let deadline = Instant::now() + self.patience;
        while self.pending.len() < len && self.read_more(deadline) {}
    }

    /// Reads once; false at the end of the connection or of the time.
    fn read_more(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.ended = true;
                false
            }
            Ok(n) => {
                self.pending.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => true,
            // a reset is the other way to close
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                self.ended = true;
                false
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
                false
            }
            Err(e) => panic!("reading: {e}"),
        }
    }
}

/// The length of the first packet if all of it is there.
pub(crate) fn whole_packet_len(bytes: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for (i, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let total = 2 + i + remaining;
            return (bytes.len() >= total).then_some(total);
        }
    }
    None
}

/// The bytes of a description; `None` stands for any one byte.
#[track_caller]
fn pattern(text: &str) -> Vec<Option<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => {}
            '\'' => bytes.extend(rest.by_ref().take_while(|&c| c != '\'').map(|c| Some(ascii(c)))),
            '"' => {
                let string: Vec<u8> = rest.by_ref().take_while(|&c| c != '"').map(ascii).collect();
                let len = u16::try_from(string.len()).unwrap().to_be_bytes();
                bytes.extend(len.into_iter().chain(string).map(Some));
            }
            '.' => {
                assert_eq!(rest.next(), Some('.'), "any byte is written `..`, in {text:?}");
                bytes.push(None);
            }
            high => {
                let digit = |c: Option<char>| {
                    c.and_then(|c| c.to_digit(16)).unwrap_or_else(|| panic!("not hexadecimal: {text:?}"))
                };
                let value = digit(Some(high)) * 16 + digit(rest.next());
                bytes.push(Some(u8::try_from(value).unwrap()));
            }
        }
    }
    bytes
}

fn ascii(c: char) -> u8 {
    u8::try_from(c).unwrap_or_else(|_| panic!("{c:?} is not ASCII: write it in hexadecimal"))
}

fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire::connect(listener.local_addr().unwrap().port());
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn descriptions_become_bytes() {
        assert_eq!(hex("10 0d 'MQ' \"ab\" 003C"), b"\x10\x0dMQ\x00\x02ab\x00\x3c");
    }

    #[test]
    fn packets_are_cut_where_they_end() {
        let (mut wire, mut peer) = pair();
        peer.write_all(&hex("20 02 00 00 d0 00 90 03 0001 00")).unwrap();
        assert_eq!(wire.packet(), hex("20 02 00 00"));
        wire.expect("d0 ..");
        assert_eq!(wire.packet(), hex("90 03 0001 00"));
        wire.expect_silence(Duration::from_millis(20));
        drop(peer);
        wire.expect_closed();
    }

    #[test]
    #[should_panic(expected = "got 20 02 00 05")]
    fn another_byte_than_expected_fails() {
        let (mut wire, mut peer) = pair();
        peer.write_all(&hex("20 02 00 05")).unwrap();
        wire.expect("20 02 00 00");
    }

    #[test]
    #[should_panic(expected = "expected silence, got the end")]
    fn an_end_is_not_silence() {
        let (mut wire, peer) = pair();
        drop(peer);
        wire.expect_silence(Duration::from_secs(5));
    }
}
