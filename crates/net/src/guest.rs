//! A connection before its bytes are MQTT's: PROXY header, TLS handshake, WebSocket upgrade.

use crate::Stream;
use crate::proxy::{self, Progress};
use crate::tls::{Failure, Handshake, TlsStream};
use crate::websocket::{self, REQUEST_BYTES_MAX, Rejected, WebSocket};
use rustls::pki_types::CertificateDer;
use rustls::{InvalidMessage, ServerConfig};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// First byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a listener asks of a connection.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// A proxy's header comes first.
    pub proxy: Option<proxy::Version>,
    pub tls: Option<Arc<ServerConfig>>,
    /// WebSocket, for pages of these origins; none given is all.
    pub websocket: Option<Arc<[String]>>,
}

/// A connection that has passed.
#[derive(Debug)]
pub struct Admitted {
    pub stream: Stream,
    /// The proxy's header.
    pub proxy: Option<proxy::Header>,
    /// Version and cipher suite of TLS, as the original's log says them.
    pub secured: Option<&'static str>,
    /// The client's certificate.
    pub certificate: Option<CertificateDer<'static>>,
    /// There may be something to read now; else an event says when.
    pub readable: bool,
}

/// Why a connection has not passed.
#[derive(Debug)]
pub enum Refusal {
    /// The client closed it.
    Ended,
    Io(io::Error),
    /// No PROXY header, or a bad one.
    Proxy,
    /// TLS was expected, and something else came.
    NotTls,
    /// TLS came where it is not spoken.
    IsTls,
    Tls(rustls::Error),
    Http(Rejected),
}

/// See the module. Call [`Guest::advance`] whenever the socket is readable or writable.
#[derive(Debug)]
pub struct Guest {
    stream: Option<Stream>,
    entry: Entry,
    step: Step,
    header: Option<proxy::Header>,
    secured: Option<&'static str>,
    certificate: Option<CertificateDer<'static>>,
    readable: bool,
}

#[derive(Debug)]
enum Step {
    Proxy(Vec<u8>),
    Tls,
    /// As much of the request as has come.
    Request(Vec<u8>),
    /// The answer to the request, and frames that came with it.
    Reply {
        reply: Vec<u8>,
        ahead: Vec<u8>,
    },
    Passed,
}

impl Guest {
    pub fn new(stream: Stream, entry: Entry) -> Self {
        let step = if entry.proxy.is_some() { Step::Proxy(Vec::new()) } else { Step::Passed };
        let mut guest = Self {
            stream: Some(stream),
            entry,
            step,
            header: None,
            secured: None,
            certificate: None,
            readable: true,
        };
        if guest.entry.proxy.is_none() {
            guest.step = guest.after_proxy();
        }
        guest
    }

    /// Goes on as far as the socket lets it. `None`: not there yet.
    ///
    /// # Errors
    /// The connection is to be dropped; the client has been told why, where its protocol has words for that.
    pub fn advance(&mut self) -> Result<Option<Admitted>, Refusal> {
        loop {
            let going = match &mut self.step {
                Step::Proxy(_) => self.proxy()?,
                Step::Tls => self.tls()?,
                Step::Request(_) => self.request()?,
                Step::Reply { .. } => self.reply()?,
                Step::Passed => {
                    let Some(stream) = self.stream.take() else { return Ok(None) };
                    return Ok(Some(Admitted {
                        stream,
                        proxy: self.header.take(),
                        secured: self.secured,
                        certificate: self.certificate.take(),
                        readable: self.readable,
                    }));
                }
            };
            if !going {
                return Ok(None);
            }
        }
    }

    /// The socket, to be registered.
    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    fn after_proxy(&mut self) -> Step {
        if self.entry.tls.is_some() { Step::Tls } else { self.after_tls() }
    }

    fn after_tls(&mut self) -> Step {
        if self.entry.websocket.is_some() { Step::Request(Vec::new()) } else { Step::Passed }
    }

    fn proxy(&mut self) -> Result<bool, Refusal> {
        let (Step::Proxy(bytes), Some(stream), Some(version)) =
            (&mut self.step, &mut self.stream, self.entry.proxy)
        else {
            return Ok(false);
        };
        match proxy::parse(version, bytes).map_err(|_| Refusal::Proxy)? {
            Progress::Need(n) => {
                let have = bytes.len();
                bytes.resize(have + n, 0);
                let result = read(stream, bytes.get_mut(have..).unwrap_or_default());
                bytes.truncate(have + result.as_ref().map_or(0, |n| n.unwrap_or(0)));
                Ok(result?.is_some())
            }
            Progress::Done(header) => {
                self.header = Some(header);
                self.step = self.after_proxy();
                Ok(true)
            }
        }
    }

    fn tls(&mut self) -> Result<bool, Refusal> {
        if let Some(config) = self.entry.tls.take() {
            let Some(stream) = self.stream.take() else { return Ok(false) };
            let tls = TlsStream::new(stream, config).map_err(Refusal::Tls)?;
            self.stream = Some(Stream::Tls(Box::new(tls)));
        }
        let Some(Stream::Tls(tls)) = &mut self.stream else { return Ok(false) };
        match tls.handshake() {
            Ok(Handshake::Pending) => return Ok(false),
            Ok(Handshake::Done) => {}
            Err(Failure::Ended) => return Err(Refusal::Ended),
            Err(Failure::Io(e)) => return Err(Refusal::Io(e)),
            Err(Failure::Tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))) => {
                return Err(Refusal::NotTls);
            }
            Err(Failure::Tls(e)) => return Err(Refusal::Tls(e)),
        }
        self.secured = Some(tls.agreement());
        self.certificate = tls.certificate();
        self.step = self.after_tls();
        Ok(true)
    }

    fn request(&mut self) -> Result<bool, Refusal> {
        let (Step::Request(bytes), Some(stream)) = (&mut self.step, &mut self.stream) else {
            return Ok(false);
        };
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let (head, space) = buffer.split_at_mut_checked(bytes.len()).unwrap_or_default();
        let room = space.len();
        let Some(n) = read(stream, space)? else { return Ok(false) };
        head.copy_from_slice(bytes);
        let is_first = head.is_empty();
        let request = buffer.get(..bytes.len() + n).unwrap_or_default();
        if request.first() == Some(&TLS_HANDSHAKE) {
            return Err(Refusal::IsTls);
        }
        // parsed anew with each line, not with each piece
        let new = request.get(bytes.len()..).unwrap_or_default();
        if !is_first && n < room && !new.contains(&b'\n') {
            bytes.extend_from_slice(new);
            return Ok(true);
        }
        let origins = self.entry.websocket.as_deref().unwrap_or_default();
        match websocket::parse(request, origins) {
            Ok(None) => {
                bytes.extend_from_slice(new);
                Ok(true)
            }
            Ok(Some(accepted)) => {
                let ahead = request.get(accepted.len..).unwrap_or_default().to_vec();
                self.readable = n == room || stream.has_more() || !ahead.is_empty();
                self.step = Step::Reply { reply: accepted.reply.into_bytes(), ahead };
                Ok(true)
            }
            Err(rejected) => {
                // it is short, and the first thing we write
                stream.write_all(rejected.reply().as_bytes()).ok();
                stream.flush().ok();
                stream.shutdown_write().ok();
                drain(stream);
                Err(Refusal::Http(rejected))
            }
        }
    }

    fn reply(&mut self) -> Result<bool, Refusal> {
        let (Step::Reply { reply, ahead }, Some(stream)) = (&mut self.step, &mut self.stream) else {
            return Ok(false);
        };
        while !reply.is_empty() {
            match stream.write(reply) {
                Ok(0) => return Err(Refusal::Io(ErrorKind::WriteZero.into())),
                Ok(n) => drop(reply.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(Refusal::Io(e)),
            }
        }
        let ahead = core::mem::take(ahead);
        if let Some(stream) = self.stream.take() {
            self.stream = Some(Stream::WebSocket(Box::new(WebSocket::new(stream, ahead))));
        }
        self.step = Step::Passed;
        Ok(true)
    }
}

/// One read; `None` when nothing is there.
fn read(stream: &mut Stream, space: &mut [u8]) -> Result<Option<usize>, Refusal> {
    loop {
        match stream.read(space) {
            Ok(0) => return Err(Refusal::Ended),
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(Refusal::Io(e)),
        }
    }
}

/// Closing with unread input would reset the connection and could take our last words with it.
fn drain(stream: &mut Stream) {
    let mut bytes = [0; 4096];
    for _ in 0..16 {
        if !matches!(stream.read(&mut bytes), Ok(n) if n > 0) {
            break;
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("connection closed by client"),
            Self::Io(e) => write!(f, "bad socket read/write: {e}"),
            Self::Proxy => f.write_str("corrupt PROXY header"),
            Self::NotTls => f.write_str("no TLS on a TLS listener"),
            Self::IsTls => f.write_str("TLS on a listener without TLS"),
            Self::Tls(e) => write!(f, "TLS handshake failed: {e}"),
            Self::Http(e) => e.fmt(f),
        }
    }
}
