//! Byte streams.

use crate::tls::TlsStream;
use crate::websocket::WebSocket;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

/// A client's byte stream, non-blocking.
///
/// A read that fills less than the space given has emptied the socket, unless [`Stream::has_more`] says otherwise: layers
/// hold back what did not fit, and for that no event comes.
#[derive(Debug)]
pub enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
    Tls(Box<TlsStream>),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// No more will be written; what is under way still arrives. Layers say goodbye in their own way.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.shutdown(Shutdown::Write),
            Self::Unix(s) => s.shutdown(Shutdown::Write),
            Self::Tls(s) => s.shutdown_write(),
            Self::WebSocket(s) => s.shutdown_write(),
        }
    }

    /// There may be something to read although the last read came back short or empty.
    #[inline]
    pub fn has_more(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(s) => s.has_more(),
            Self::WebSocket(s) => s.has_more(),
        }
    }

    /// A layer holds bytes the socket did not take: call [`Write::flush`] when it is writable.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(s) => s.has_unsent(),
            Self::WebSocket(s) => s.has_unsent(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.read(buffer),
            Self::Unix(s) => s.read(buffer),
            Self::Tls(s) => s.read(buffer),
            Self::WebSocket(s) => s.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.write(bytes),
            Self::Unix(s) => s.write(bytes),
            Self::Tls(s) => s.write_vectored(&[IoSlice::new(bytes)]),
            Self::WebSocket(s) => s.write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.write_vectored(slices),
            Self::Unix(s) => s.write_vectored(slices),
            Self::Tls(s) => s.write_vectored(slices),
            Self::WebSocket(s) => s.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(s) => s.flush(),
            Self::WebSocket(s) => s.flush(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.register(registry, token, interests),
            Self::Unix(s) => s.register(registry, token, interests),
            Self::Tls(s) => s.inner_mut().register(registry, token, interests),
            Self::WebSocket(s) => s.inner_mut().register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.reregister(registry, token, interests),
            Self::Unix(s) => s.reregister(registry, token, interests),
            Self::Tls(s) => s.inner_mut().reregister(registry, token, interests),
            Self::WebSocket(s) => s.inner_mut().reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.deregister(registry),
            Self::Unix(s) => s.deregister(registry),
            Self::Tls(s) => s.inner_mut().deregister(registry),
            Self::WebSocket(s) => s.inner_mut().deregister(registry),
        }
    }
}
