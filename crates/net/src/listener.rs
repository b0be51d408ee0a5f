//! Listening sockets.

use crate::Stream;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Connections the kernel holds for us between two rounds of accepting.
const BACKLOG: i32 = 1024;

#[derive(Debug)]
pub struct Listener(mio::net::TcpListener);

/// Opens a TCP listening socket. An IPv6 address serves IPv6 only, so that IPv4 can be opened beside it.
pub fn listen(address: SocketAddr, interface: Option<&str>) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if let Some(name) = interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listener(mio::net::TcpListener::from_std(socket.into())))
}

impl Listener {
    /// The next waiting connection; `WouldBlock` when there is none.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, address) = self.0.accept()?;
        // output is gathered per turn; the kernel need not wait for more
        stream.set_nodelay(true).ok();
        Ok((Stream::Tcp(stream), address))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)
    }
}
