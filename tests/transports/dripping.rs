//! Bytes that come one at a time, which no layer may take for the end of anything, nor spin upon.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use grovemq_tests::{Broker, Kind};

use crate::certificates::Authority;
use crate::frames::{BINARY, REPLY, REQUEST, frame};
use crate::peers::{CONNECT, tls_broker};

/// A port from which every byte to and from the broker goes alone.
fn dripping(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect(("127.0.0.1", to)).unwrap();
            for (from, to) in [(&client, &broker), (&broker, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || drip(from, to));
            }
        }
    });
    port
}

fn drip(mut from: TcpStream, mut to: TcpStream) {
    to.set_nodelay(true).unwrap();
    let mut byte = [0];
    while from.read_exact(&mut byte).is_ok() && to.write_all(&byte).is_ok() {}
    to.shutdown(std::net::Shutdown::Both).ok();
}

#[test]
fn d02_debian_a_handshake_byte_by_byte() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    let port = dripping(broker.port()).to_string();
    let mut tool = grovemq_tests::peers::debian("mosquitto_pub");
    tool.args(["-h", "localhost", "-p", &port, "-i", "slow", "-t", "a", "-m", "b", "-q", "2", "--cafile"]);
    grovemq_tests::Program::run(tool.arg(broker.dir().join("ca.crt")), b"", grovemq_tests::SOON).success();
    broker.wait_for_log("Received PUBREL from slow");
}

#[test]
fn proxy_header_request_frames_and_packets_byte_by_byte() {
    let broker =
        Broker::start(Kind::Ours, "protocol websockets\nenable_proxy_protocol 1\nallow_anonymous true\n");
    let mut client = TcpStream::connect(("127.0.0.1", dripping(broker.port()))).unwrap();
    client.set_read_timeout(Some(grovemq_tests::SOON)).unwrap();
    client.write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 1883\r\n").unwrap();
    client.write_all(REQUEST.as_bytes()).unwrap();
    client.write_all(&frame(BINARY, CONNECT)).unwrap();
    let mut reply = vec![0; REPLY.len() + 6];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(reply, [REPLY.as_bytes(), b"\x82\x04\x20\x02\0\0"].concat());
    broker.wait_for_log("New client connected from 192.0.2.7:4711 as raw");
}
