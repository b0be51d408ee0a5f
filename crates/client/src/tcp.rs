//! TCP: a name's addresses, tried in turns.

use crate::Error;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};

/// A name may have this many addresses; the rest is not tried.
const ADDRESSES_MAX: usize = 16;

/// How long one address is tried alone before the next joins in.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first address of `host` that answers.
pub(crate) async fn open(
    host: &str,
    port: u16,
    bind: Option<IpAddr>,
    nodelay: bool,
) -> Result<TcpStream, Error> {
    let unresolved = |text: &str| Error::Resolve { host: host.to_owned(), text: text.to_owned() };
    let found = if host.eq_ignore_ascii_case("localhost") {
        // RFC 6761, 6.3: always the loopback, and no reason to start a resolver's thread
        vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()]
    } else {
        lookup_host((host, port)).await.map_err(|error| unresolved(&error.to_string()))?.collect()
    };
    let addresses = in_turns(found, bind);
    if addresses.is_empty() {
        return Err(unresolved("no address of the wanted family"));
    }
    Ok(race(addresses, bind, nodelay).await?)
}

/// The resolver's order, but the families by turns, so that a broken one costs one wait only.
fn in_turns(found: Vec<SocketAddr>, bind: Option<IpAddr>) -> Vec<SocketAddr> {
    let wanted = found.into_iter().filter(|a| bind.is_none_or(|bind| bind.is_ipv4() == a.is_ipv4()));
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = wanted.partition(SocketAddr::is_ipv6);
    v6.dedup();
    v4.dedup();
    let longest = v6.len().max(v4.len());
    (0..longest).flat_map(|i| [v6.get(i), v4.get(i)]).flatten().copied().take(ADDRESSES_MAX).collect()
}

/// Tries one address after the other, the next as soon as one fails or dawdles; the first to answer wins.
async fn race(addresses: Vec<SocketAddr>, bind: Option<IpAddr>, nodelay: bool) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match waiting.next() {
            Some(address) => drop(attempts.spawn(connect(address, bind, nodelay))),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let outcome = if waiting.len() > 0 {
            match timeout(STAGGER, attempts.join_next()).await {
                Ok(outcome) => outcome,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match outcome {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(join)) => failure = io::Error::other(join),
            None => {}
        }
    }
}

async fn connect(address: SocketAddr, bind: Option<IpAddr>, nodelay: bool) -> io::Result<TcpStream> {
    let attempt = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(ip) = bind {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(nodelay)?;
        Ok(stream)
    };
    attempt.await.map_err(|error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_a_bind_address_chooses_one() {
        let found: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1"].iter().map(|a| a.parse().unwrap()).collect();
        let order = |bind: Option<&str>| -> Vec<String> {
            let bind = bind.map(|ip| ip.parse().unwrap());
            in_turns(found.clone(), bind).iter().map(ToString::to_string).collect()
        };
        assert_eq!(order(None), ["[::1]:1", "1.0.0.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(order(Some("0.0.0.0")), ["1.0.0.1:1"]);
        assert_eq!(order(Some("::")), ["[::1]:1", "[::2]:1", "[::3]:1"]);
    }
}
