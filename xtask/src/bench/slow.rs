//! A client that asks for what is measured and then never reads: what waits for it must not delay the others.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// MQTT 3.1.1, a clean session, no keep-alive: silence is no fault.
const CONNECT: &[u8] = b"\x10\x10\0\x04MQTT\x04\x02\0\0\0\x04slow";
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// All that mqload sends; the `QoS` follows.
const SUBSCRIBE: &[u8] = b"\x82\x0b\0\x01\0\x06load/#";
/// The `QoS` follows.
const SUBACK: [u8; 4] = [0x90, 3, 0, 1];
const PATIENCE: Duration = Duration::from_secs(10);

/// Subscribed once this returns, and gone when the stream is dropped.
pub(super) fn subscribe(address: SocketAddr, qos: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; CONNACK.len()];
    stream.write_all(CONNECT)?;
    stream.read_exact(&mut answer).context("no CONNACK for the slow client")?;
    if answer != CONNACK {
        bail!("the slow client is answered {answer:02x?}");
    }
    stream.write_all(&[SUBSCRIBE, &[qos]].concat())?;
    let mut answer = [0; SUBACK.len() + 1];
    stream.read_exact(&mut answer).context("no SUBACK for the slow client")?;
    if !answer.starts_with(&SUBACK) || !answer.ends_with(&[qos]) {
        bail!("the slow client's subscription is answered {answer:02x?}");
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What becomes of the client if this is its SUBACK.
    fn answered(suback: &'static [u8]) -> Result<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut packet = [0; CONNECT.len()];
            stream.read_exact(&mut packet).unwrap();
            assert_eq!(packet, CONNECT);
            stream.write_all(&CONNACK).unwrap();
            let mut packet = [0; SUBSCRIBE.len() + 1];
            stream.read_exact(&mut packet).unwrap();
            stream.write_all(suback).unwrap();
        });
        let result = subscribe(address, 1);
        server.join().unwrap();
        result
    }

    #[test]
    fn the_packets_are_as_long_as_they_say() {
        assert_eq!(usize::from(CONNECT[1]), CONNECT.len() - 2);
        assert_eq!(usize::from(SUBSCRIBE[1]), SUBSCRIBE.len() + 1 - 2);
    }

    #[test]
    fn a_subscription_that_is_refused_is_none() {
        assert!(answered(&[0x90, 3, 0, 1, 1]).is_ok());
        assert!(answered(&[0x90, 3, 0, 1, 0x80]).is_err());
        assert!(answered(&[0x90, 3]).is_err());
    }
}
