//! TLS over a stream.

use crate::Stream;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

/// Bytes of the socket taken in one call of [`TlsStream::read`], so that one client cannot hold the loop.
const READ_BYTES_MAX: usize = 256 << 10;
/// Ciphertext held back for a slow reader before no more is taken from the broker.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// The server's end of TLS.
#[derive(Debug)]
pub struct TlsStream {
    inner: Stream,
    connection: ServerConnection,
    /// What was received is not all read.
    more: bool,
}

/// How far a handshake is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    /// It goes on when the socket is readable or writable again.
    Pending,
}

/// Why there was no handshake.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client closed the connection.
    Ended,
    Io(io::Error),
    Tls(rustls::Error),
}

impl TlsStream {
    pub(crate) fn new(inner: Stream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Ok(Self { inner, connection, more: false })
    }

    /// Goes as far with the handshake as the socket lets it.
    pub(crate) fn handshake(&mut self) -> Result<Handshake, Failure> {
        loop {
            match self.send() {
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(Failure::Io(e)),
                _ => {}
            }
            if !self.connection.is_handshaking() {
                return Ok(Handshake::Done);
            }
            match self.connection.read_tls(&mut self.inner) {
                Ok(0) => return Err(Failure::Ended),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Pending),
                Err(e) => return Err(Failure::Io(e)),
            }
            if let Err(e) = self.connection.process_new_packets() {
                // the alert tells the client why
                self.send().ok();
                return Err(Failure::Tls(e));
            }
        }
    }

    /// The certificate the client has proved to be its own.
    pub(crate) fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.connection.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
    }

    /// Version and cipher suite as the original's log says them.
    pub(crate) fn agreement(&self) -> &'static str {
        let suite = self.connection.negotiated_cipher_suite().map(|s| s.suite());
        match (self.connection.protocol_version(), suite) {
            (Some(ProtocolVersion::TLSv1_3), Some(CipherSuite::TLS13_AES_128_GCM_SHA256)) => {
                "TLSv1.3 cipher TLS_AES_128_GCM_SHA256"
            }
            (Some(ProtocolVersion::TLSv1_3), Some(CipherSuite::TLS13_AES_256_GCM_SHA384)) => {
                "TLSv1.3 cipher TLS_AES_256_GCM_SHA384"
            }
            (Some(ProtocolVersion::TLSv1_3), Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)) => {
                "TLSv1.3 cipher TLS_CHACHA20_POLY1305_SHA256"
            }
            (_, Some(suite)) => match suite {
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
                    "TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256"
                }
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
                    "TLSv1.2 cipher ECDHE-ECDSA-AES256-GCM-SHA384"
                }
                CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
                    "TLSv1.2 cipher ECDHE-ECDSA-CHACHA20-POLY1305"
                }
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
                    "TLSv1.2 cipher ECDHE-RSA-AES128-GCM-SHA256"
                }
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
                    "TLSv1.2 cipher ECDHE-RSA-AES256-GCM-SHA384"
                }
                CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
                    "TLSv1.2 cipher ECDHE-RSA-CHACHA20-POLY1305"
                }
                _ => "TLS cipher unknown",
            },
            _ => "TLS cipher unknown",
        }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Stream {
        &mut self.inner
    }

    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.send().ok();
        self.inner.shutdown_write()
    }

    /// Plaintext until the space is full, the socket empty or the client done.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.more = false;
        let (mut filled, mut taken) = (0, 0);
        loop {
            while let Some(space) = buffer.get_mut(filled..).filter(|s| !s.is_empty()) {
                match self.connection.reader().read(space) {
                    Ok(n) if n > 0 => filled += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    // close_notify, or the end of the socket without one
                    Ok(_) | Err(_) => return Ok(self.given(filled)),
                }
            }
            if filled == buffer.len() {
                return Ok(self.given(filled));
            }
            if taken >= READ_BYTES_MAX {
                self.more = true;
                return if filled > 0 { Ok(filled) } else { Err(ErrorKind::WouldBlock.into()) };
            }
            match self.receive() {
                Ok(n) => taken += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                // the error comes again with the next read
                Err(_) if filled > 0 => return Ok(self.given(filled)),
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // what was taken before goes first
        self.send()?;
        let n = self.connection.writer().write_vectored(slices)?;
        match self.send() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(n),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.inner.flush()
    }

    fn given(&mut self, n: usize) -> usize {
        self.more = true;
        n
    }

    /// One read of the socket, decrypted.
    fn receive(&mut self) -> io::Result<usize> {
        let n = self.connection.read_tls(&mut self.inner)?;
        let result = self.connection.process_new_packets();
        if self.connection.wants_write() {
            // answers of TLS itself, or the alert
            self.send().ok();
        }
        result.map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        Ok(n)
    }

    fn send(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.inner) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// OpenSSL's name of a cipher suite, as `ciphers` and `ciphers_tls1.3` take it.
pub fn openssl_name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}
