//! Listening sockets, as the configuration says.

use crate::StartError;
use crate::acceptor::Door;
use crate::listeners::Slot;
use crate::log::Log;
use grovemq_config::{Listener, Protocol, SocketDomain};
use grovemq_net::{Address, Inherited, listen, listen_unix};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

/// Opens the sockets of a listener, or takes those that the service manager has opened; none for CoAP, which has no streams.
pub(crate) fn open(
    slot: &Slot,
    number: usize,
    inherited: &mut Inherited,
    is_first: bool,
    log: &Log,
) -> Result<Vec<Door>, StartError> {
    if slot.listener.protocol == Protocol::Coap {
        return Ok(Vec::new());
    }
    let sockets = sockets(&slot.listener, inherited, is_first, log)?;
    Ok(sockets.into_iter().map(|socket| door(slot, number, socket)).collect())
}

pub(crate) fn door(slot: &Slot, number: usize, socket: grovemq_net::Listener) -> Door {
    Door {
        listener: socket,
        index: u16::try_from(number).unwrap_or(u16::MAX),
        count: slot.count.clone(),
        max: slot.max(),
        rate: slot.listener.max_connection_rate,
        rules: slot.rules(),
    }
}

fn sockets(
    listener: &Listener,
    inherited: &mut Inherited,
    is_first: bool,
    log: &Log,
) -> Result<Vec<grovemq_net::Listener>, StartError> {
    if let Some(path) = &listener.unix_path {
        return unix_socket(path, inherited, log).map(|socket| vec![socket]);
    }
    let addresses = addresses(listener).map_err(|e| StartError::Listen(place(listener), e))?;
    let mut sockets = inherited.claim(|a| matches!(a, Address::Tcp(a) if is_meant(listener, &addresses, *a)));
    if !sockets.is_empty() {
        log.info(format!("Using the socket of the service manager for port {}.", listener.port));
        return Ok(sockets);
    }
    let mut failure = None;
    for address in addresses {
        log.info(format!("Opening {} listen socket on port {}.", kind(listener, address), address.port()));
        match listen(address, listener.bind_interface.as_deref()) {
            Ok(socket) => sockets.push(socket),
            // a machine without IPv6 still serves IPv4
            Err(e) if address.is_ipv6() && is_absent(&e) => failure = Some(e),
            Err(e) => return Err(StartError::Listen(format!("port {}", address.port()), e)),
        }
    }
    if sockets.is_empty() && (is_first || !listener.local_only) {
        let error = failure.unwrap_or_else(|| io::Error::other("no address to listen on"));
        return Err(StartError::Listen(place(listener), error));
    }
    Ok(sockets)
}

fn unix_socket(
    path: &Path,
    inherited: &mut Inherited,
    log: &Log,
) -> Result<grovemq_net::Listener, StartError> {
    if let Some(socket) = inherited.claim(|a| matches!(a, Address::Unix(p) if p == path)).pop() {
        log.info(format!("Using the socket of the service manager for {}.", path.display()));
        return Ok(socket);
    }
    log.info(format!("Opening unix listen socket on path {}.", path.display()));
    listen_unix(path).map_err(|e| StartError::Listen(path.display().to_string(), e))
}

/// One socket of the service manager may serve both families, so only a configured host must agree.
fn is_meant(listener: &Listener, wanted: &[SocketAddr], given: SocketAddr) -> bool {
    given.port() == listener.port && (listener.host.is_none() || wanted.contains(&given))
}

/// As the original's log calls it.
fn kind(listener: &Listener, address: SocketAddr) -> &'static str {
    match (listener.protocol, address) {
        (Protocol::Websockets, _) => "websockets",
        (_, SocketAddr::V4(_)) => "ipv4",
        (_, SocketAddr::V6(_)) => "ipv6",
    }
}

/// Where a listener is to listen.
pub(crate) fn addresses(listener: &Listener) -> io::Result<Vec<SocketAddr>> {
    let port = listener.port;
    let wanted = |a: &SocketAddr| match listener.socket_domain {
        SocketDomain::Any => true,
        SocketDomain::Ipv4 => a.is_ipv4(),
        SocketDomain::Ipv6 => a.is_ipv6(),
    };
    let all: Vec<SocketAddr> = match &listener.host {
        Some(host) => (host.as_str(), port).to_socket_addrs()?.collect(),
        None if listener.local_only => {
            vec![SocketAddr::from(([127, 0, 0, 1], port)), (std::net::Ipv6Addr::LOCALHOST, port).into()]
        }
        None => vec![SocketAddr::from(([0, 0, 0, 0], port)), (std::net::Ipv6Addr::UNSPECIFIED, port).into()],
    };
    Ok(all.into_iter().filter(wanted).collect())
}

/// The machine has no such address.
pub(crate) fn is_absent(e: &io::Error) -> bool {
    // address family not supported, or the address is not on this machine
    matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || e.raw_os_error() == Some(97)
}

fn place(listener: &Listener) -> String {
    match &listener.host {
        Some(host) => format!("{host}, port {}", listener.port),
        None => format!("port {}", listener.port),
    }
}
