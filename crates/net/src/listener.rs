//! Listening sockets.

use crate::Stream;
use listenfd::ListenFd;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections the kernel holds for us between two rounds of accepting.
const BACKLOG: i32 = 1024;

/// After a silence of so long the kernel asks whether the other side is still there, so often and with such pauses.
const SILENCE_MAX: Duration = Duration::from_secs(300);
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBES: u32 = 4;

/// A listening socket. One of the file system goes away with its file.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    /// The file to remove.
    file: Option<PathBuf>,
}

#[derive(Debug)]
enum Bound {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

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
    prepare(&socket);
    socket.listen(BACKLOG)?;
    Ok(Listener { socket: Bound::Tcp(mio::net::TcpListener::from_std(socket.into())), file: None })
}

/// What all connections of a listening socket begin with. It serves without, too, only less well.
fn prepare(socket: &Socket) {
    // output is gathered per turn; the kernel need not wait for more
    socket.set_tcp_nodelay(true).ok();
    // a client without keep-alive that is gone without a word would otherwise stay for ever
    let probes =
        TcpKeepalive::new().with_time(SILENCE_MAX).with_interval(PROBE_INTERVAL).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes).ok();
    #[cfg(target_os = "linux")]
    deferred::set(socket).ok();
}

/// In every protocol we serve the client speaks first. A connection is accepted with its first bytes, and a loop wakes up
/// once for it instead of twice; one that is silent appears after this time all the same.
#[cfg(target_os = "linux")]
mod deferred {
    use nix::libc;
    use nix::sys::socket::{SetSockOpt, sockopt::SetUsize};
    use std::os::fd::AsFd;

    const SECONDS: usize = 1;

    #[derive(Clone, Copy)]
    struct DeferAccept;

    nix::setsockopt_impl!(DeferAccept, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, usize, SetUsize);

    pub(super) fn set(socket: &impl AsFd) -> nix::Result<()> {
        DeferAccept.set(socket, &SECONDS)
    }
}

/// Opens a socket of the file system. A file left over by a process that is gone is replaced; one that somebody serves,
/// or that is no socket, is not.
pub fn listen_unix(path: &Path) -> io::Result<Listener> {
    if path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            _ => return Err(ErrorKind::AddrInUse.into()),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    let socket = Bound::Unix(mio::net::UnixListener::from_std(socket.into()));
    Ok(Listener { socket, file: Some(path.to_owned()) })
}

/// Listening sockets that the service manager opened for us (`LISTEN_FDS`).
#[derive(Debug, Default)]
pub struct Inherited(Vec<Listener>);

impl Inherited {
    /// Takes them over; the process's children do not see them any more. Gives none the second time.
    pub fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::new();
        for i in 0..given.len() {
            if let Ok(Some(tcp)) = given.take_tcp_listener(i) {
                prepare(&SockRef::from(&tcp));
                if tcp.set_nonblocking(true).is_ok() {
                    sockets.push(Bound::Tcp(mio::net::TcpListener::from_std(tcp)));
                }
            } else if let Ok(Some(unix)) = given.take_unix_listener(i)
                && unix.set_nonblocking(true).is_ok()
            {
                sockets.push(Bound::Unix(mio::net::UnixListener::from_std(unix)));
            }
        }
        Self(sockets.into_iter().map(|socket| Listener { socket, file: None }).collect())
    }

    /// Those that listen where `wanted` says.
    pub fn claim(&mut self, wanted: impl Fn(&Address) -> bool) -> Vec<Listener> {
        self.0.extract_if(.., |l| l.address().is_ok_and(|a| wanted(&a))).collect()
    }

    /// Where the unclaimed ones listen.
    pub fn addresses(&self) -> Vec<Address> {
        self.0.iter().filter_map(|l| l.address().ok()).collect()
    }
}

impl Listener {
    /// The next waiting connection; `WouldBlock` when there is none. Connections of the file system have no address.
    pub fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.socket {
            Bound::Tcp(socket) => {
                let (stream, address) = socket.accept()?;
                if !cfg!(target_os = "linux") {
                    // there it comes with the listening socket
                    stream.set_nodelay(true).ok();
                }
                Ok((Stream::Tcp(stream), Some(address)))
            }
            Bound::Unix(socket) => Ok((Stream::Unix(socket.accept()?.0), None)),
        }
    }

    pub fn address(&self) -> io::Result<Address> {
        Ok(match &self.socket {
            Bound::Tcp(socket) => Address::Tcp(socket.local_addr()?),
            Bound::Unix(socket) => {
                Address::Unix(socket.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned())
            }
        })
    }

    /// `None` for a socket of the file system.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(_) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // nobody can connect to it any more
            std::fs::remove_file(file).ok();
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(a) => a.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(s) => s.register(registry, token, interests),
            Bound::Unix(s) => s.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(s) => s.reregister(registry, token, interests),
            Bound::Unix(s) => s.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(s) => s.deregister(registry),
            Bound::Unix(s) => s.deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Instant;

    fn accept(listener: &Listener) -> (Stream, Option<SocketAddr>) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match listener.accept() {
                Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                result => return result.unwrap(),
            }
        }
    }

    #[test]
    fn accepted_connections_do_not_wait_for_more_output() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let (stream, address) = accept(&listener);
        assert_eq!(address, client.local_addr().ok());
        let Stream::Tcp(stream) = stream else { panic!("{stream:?}") };
        assert!(stream.nodelay().unwrap());
    }

    /// Fault C08, for clients without a keep-alive of MQTT.
    #[test]
    fn c08_the_kernel_asks_whether_a_silent_client_is_there() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let (Stream::Tcp(stream), _) = accept(&listener) else { panic!("not TCP") };
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE_MAX);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
    }

    #[test]
    fn a_silent_connection_is_accepted_all_the_same() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(accept(&listener).1, client.local_addr().ok());
    }
}
