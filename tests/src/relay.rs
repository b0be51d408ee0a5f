//! A relay between a client and a broker that passes bytes on and keeps what it saw.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::wire::whole_packet_len;

/// Accepts on a port of its own as long as the process lives, and connects each client to the broker.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    packets: Mutex<Packets>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct Packets {
    from_client: Vec<Vec<u8>>,
    from_broker: Vec<Vec<u8>>,
    /// Connections whose client has not closed yet.
    open: usize,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Client,
    Broker,
}

impl Relay {
    /// A relay to the broker on this port of 127.0.0.1.
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let theirs = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // a broker that is away is what the client should see
                let Ok(upstream) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { continue };
                theirs.packets.lock().unwrap().open += 1;
                let ways = [(&client, &upstream, Side::Client), (&upstream, &client, Side::Broker)];
                for (from, to, side) in ways {
                    let (from, to, seen) =
                        (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&theirs));
                    std::thread::spawn(move || pass_on(from, to, side, &seen));
                }
            }
        });
        Relay { port, seen }
    }

    /// The port to which clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the broker has sent a packet of this type (9 is SUBACK). False if it does not within this time.
    pub fn wait_for_answer(&self, packet_type: u8, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut packets = self.seen.packets.lock().unwrap();
        loop {
            if packets.from_broker.iter().any(|packet| packet.first().is_some_and(|b| b >> 4 == packet_type))
            {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            packets = self.seen.grew.wait_timeout(packets, left).unwrap().0;
        }
    }

    /// Waits until every client that has come so far has closed its connection and all it sent is here.
    #[track_caller]
    pub fn settle(&self, within: Duration) {
        let deadline = Instant::now() + within;
        // connections are taken in turn: when this one has been served, the earlier ones are known
        let mut last = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        last.set_read_timeout(Some(within)).unwrap();
        last.read_to_end(&mut Vec::new()).ok();
        let mut packets = self.seen.packets.lock().unwrap();
        while packets.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} client(s) still connected after {within:?}", packets.open);
            packets = self.seen.grew.wait_timeout(packets, left).unwrap().0;
        }
    }

    /// The whole packets that clients have sent so far.
    pub fn from_client(&self) -> Vec<Vec<u8>> {
        self.seen.packets.lock().unwrap().from_client.clone()
    }

    /// The whole packets that the broker has sent so far.
    pub fn from_broker(&self) -> Vec<Vec<u8>> {
        self.seen.packets.lock().unwrap().from_broker.clone()
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, side: Side, seen: &Seen) {
    let mut unfinished = Vec::new();
    let mut buffer = [0; 8192];
    // any error is the end of this way; the other way ends by itself
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        unfinished.extend_from_slice(&buffer[..n]);
        while let Some(len) = whole_packet_len(&unfinished) {
            let packet: Vec<u8> = unfinished.drain(..len).collect();
            let mut packets = seen.packets.lock().unwrap();
            match side {
                Side::Client => packets.from_client.push(packet),
                Side::Broker => packets.from_broker.push(packet),
            }
            seen.grew.notify_all();
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    if matches!(side, Side::Client) {
        seen.packets.lock().unwrap().open -= 1;
        seen.grew.notify_all();
    }
    to.shutdown(Shutdown::Write).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SOON, Wire};

    #[test]
    fn packets_pass_and_are_kept_whole() {
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::to(broker.local_addr().unwrap().port());
        let mut client = Wire::connect(relay.port());
        let (mut upstream, _) = broker.accept().unwrap();
        client.send("c0 00 82 05");
        client.send("0001 0000 00");
        let mut got = [0; 9];
        upstream.read_exact(&mut got).unwrap();
        assert_eq!(relay.from_client(), [vec![0xc0, 0], vec![0x82, 5, 0, 1, 0, 0, 0]]);
        assert!(!relay.wait_for_answer(9, Duration::from_millis(10)));
        upstream.write_all(&[0x90, 3, 0, 1, 0]).unwrap();
        assert!(relay.wait_for_answer(9, SOON));
        drop(upstream);
        client.expect("90 03 00 01 00");
        client.expect_closed();
        drop((client, broker));
        relay.settle(SOON);
    }
}
