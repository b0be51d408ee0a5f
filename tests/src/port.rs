//! Ports that no other test has, in this process or another.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Below the range from which the kernel serves outgoing connections, so that no client of a parallel test sits on it.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// The leases of this process: each is a UDP socket of the same number on an address of its own. It ends with the
/// process, needs no file, and leaves the TCP port free.
static LEASES: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
const LEASE_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 83, 0, 1);

/// A TCP port on which nobody listens, on neither family, and which no other test is given while this process lives.
pub fn free_port() -> u16 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = now.subsec_micros() ^ std::process::id().wrapping_mul(7919);
    for step in 0..u32::from(COUNT) {
        let offset = start.wrapping_add(step.wrapping_mul(31)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap();
        let Ok(lease) = UdpSocket::bind((LEASE_ADDRESS, port)) else { continue };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && is_free_on_v6(port) {
            LEASES.lock().unwrap().push(lease);
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}

/// Waits until somebody accepts connections on this port of 127.0.0.1.
pub fn wait_until_listening(port: u16, within: Duration) {
    assert!(listens_within(port, within), "nobody listens on port {port} after {within:?}");
}

pub(crate) fn listens_within(port: u16, within: Duration) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + within;
    loop {
        if TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_free_on_v6(port: u16) -> bool {
    match TcpListener::bind(("::1", port)) {
        Ok(_) => true,
        // a machine without IPv6 has nobody on it
        Err(e) => e.kind() != std::io::ErrorKind::AddrInUse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_each_can_be_listened_on() {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), ports.len());
        let taken = ports.iter().filter(|port| TcpListener::bind(("0.0.0.0", **port)).is_err());
        // a program outside may take one at any time, but not many
        assert!(taken.count() < 3);
    }
}
