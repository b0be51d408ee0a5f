//! The PROXY protocol.

use grovemq_tests::{Broker, Kind, Wire, free_port};

use crate::certificates::Authority;
use crate::peers::{CONNECT, tls_broker};
use crate::tls::stall;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const ACCEPTED: &str = "20020000";

fn broker(lines: &str) -> Broker {
    Broker::start(Kind::Ours, &format!("{lines}\nallow_anonymous true\n"))
}

/// Version 2, from 192.0.2.1:8080, with these further values.
fn v2(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x1f, 0x90, 7, 0x5b];
    let len = u16::try_from(addresses.len() + tlvs.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x21, 0x11], &len, &addresses, tlvs].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

/// What a proxy says of its client's TLS; bits as the protocol has them.
fn ssl(bits: u8, name: &str) -> Vec<u8> {
    let inner =
        [tlv(0x21, b"TLSv1.3"), tlv(0x22, name.as_bytes()), tlv(0x23, b"TLS_AES_256_GCM_SHA384")].concat();
    tlv(0x20, &[&[bits, 0, 0, 0, 0], &*inner].concat())
}

#[track_caller]
fn connect(broker: &Broker, header: &[u8]) -> Wire {
    let mut wire = Wire::connect(broker.port());
    wire.send_bytes(&[header, CONNECT].concat());
    wire
}

#[test]
fn the_client_behind_the_proxy_is_named() {
    let broker1 = broker("enable_proxy_protocol 1");
    connect(&broker1, b"PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n").expect(ACCEPTED);
    broker1.wait_for_log("New connection from 2001:db8::7:4711 on port");
    broker1.wait_for_log("New client connected from 2001:db8::7:4711 as raw");
    connect(&broker1, b"PROXY UNKNOWN\r\n").expect(ACCEPTED);

    let broker2 = broker("enable_proxy_protocol 2");
    connect(&broker2, &v2(&[])).expect(ACCEPTED);
    broker2.wait_for_log("New client connected from 192.0.2.1:8080 as raw");
    // a proxy's own connection
    connect(&broker2, &[SIGNATURE, &[0x20, 0, 0, 0]].concat()).expect(ACCEPTED);
    broker2.wait_for_log("New client connected from 127.0.0.1:");
}

#[test]
fn d11_without_a_good_header_the_connection_ends() {
    for (version, headers) in [
        (1, [&b""[..], b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 1\r\n", &v2(&[])]),
        (2, [b"", b"PROXY UNKNOWN\r\n", &v2(&[0x20, 0xff, 0xff, 1])]),
    ] {
        let broker = broker(&format!("enable_proxy_protocol {version}"));
        for header in headers {
            connect(&broker, header).expect_closed();
        }
        broker.wait_for_log("Connection rejected, corrupt PROXY header.");
    }
    let broker = broker("enable_proxy_protocol 2");
    let mut wire = Wire::connect(broker.port());
    wire.send_bytes(&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat());
    wire.expect_closed();
}

#[test]
fn a_header_where_none_is_expected_is_no_mqtt() {
    let broker = broker("");
    connect(&broker, b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n").expect_closed();
    broker.wait_for_log("disconnected: protocol error.");
}

#[test]
fn the_proxy_can_vouch_for_tls_and_certificates() {
    let broker = broker(
        "enable_proxy_protocol 2\nproxy_protocol_v2_require_tls true\nrequire_certificate true\n\
         use_identity_as_username true",
    );
    connect(&broker, &v2(&[])).expect_closed();
    broker.wait_for_log("Connection from 192.0.2.1:8080 rejected, client did not connect using TLS.");
    connect(&broker, &v2(&ssl(1, "ann"))).expect_closed();
    broker.wait_for_log("Connection from 192.0.2.1:8080 rejected, client did not provide a certificate.");
    connect(&broker, &v2(&ssl(3, "ann"))).expect(ACCEPTED);
    broker.wait_for_log("Connection from 192.0.2.1:8080 negotiated TLSv1.3 cipher TLS_AES_256_GCM_SHA384");
    broker.wait_for_log("New client connected from 192.0.2.1:8080 as raw (p4, c1, k60, u'ann').");
}

#[test]
fn a_header_comes_before_tls() {
    let broker = tls_broker(&Authority::new("authority"), "enable_proxy_protocol 1", &[]);
    // no TLS after the header
    connect(&broker, b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n");
    broker.wait_for_log("appears to connect without TLS to a TLS listener.");
}

#[test]
fn stalled_headers_cost_nothing_and_end_at_their_deadline() {
    let plain = free_port();
    let broker = broker(&format!("enable_proxy_protocol 2\nlistener {plain} 127.0.0.1"));
    stall(&broker, plain, &v2(&[]));
}
