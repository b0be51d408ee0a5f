//! When a bridge connects, where to, and how.

use crate::ears::{Ears, Mouth};
use crate::{bridge, bridge_lines, wait_until_up};
use grovemq_tests::{Broker, Kind, Wire, free_port};
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn the_next_address_is_tried_and_the_first_taken_again() {
    let there = Broker::ours();
    let first = free_port();
    let lines = format!(
        "allow_anonymous true\nconnection bridge\naddress 127.0.0.1:{first} 127.0.0.1:{}\nremote_clientid bridge\nrestart_timeout 1\ntopic # both 1",
        there.port()
    );
    let here = Broker::start(Kind::Ours, &lines);
    wait_until_up(Kind::Ours, &here, &there);
    here.wait_for_log(&format!("Connecting bridge (step 1) bridge (127.0.0.1:{first})"));
    here.wait_for_log("Error creating bridge: ");
    // somebody listens at the first address: the bridge moves there by itself
    let listener = TcpListener::bind(("127.0.0.1", first)).unwrap();
    there.wait_for_log("Client bridge [127.0.0.1:");
    let found = listener.incoming().map_while(Result::ok).find_map(|mut stream| {
        let mut byte = [0];
        // a look whether somebody answers says nothing
        (stream.read(&mut byte).ok()? == 1).then_some(byte[0])
    });
    assert_eq!(found, Some(0x10));
}

#[test]
fn with_round_robin_it_stays() {
    let brokers = [Broker::ours(), Broker::ours()];
    let lines = format!(
        "allow_anonymous true\nconnection bridge\naddresses 127.0.0.1:{} 127.0.0.1:{}\nround_robin true\nremote_clientid bridge\nrestart_timeout 1\ntopic # both 1",
        brokers[0].port(),
        brokers[1].port()
    );
    let here = Broker::start(Kind::Ours, &lines);
    let [first, second] = brokers;
    wait_until_up(Kind::Ours, &here, &first);
    drop(first);
    wait_until_up(Kind::Ours, &here, &second);
}

#[test]
fn lazy_comes_with_enough_messages_and_goes_when_idle() {
    let there = Broker::ours();
    let lines = "topic # out 1\nstart_type lazy\nthreshold 5\nidle_timeout 1";
    let here = bridge(Kind::Ours, there.port(), lines);
    here.wait_for_log("Sending SUBACK to local.bridge");
    let mut ears = Ears::on(there.port(), &["#"]);
    let mut mouth = Mouth::at(here.port());
    for n in 0..4 {
        mouth.say(n % 2, "t", &n.to_string());
    }
    assert!(!here.program().transcript().contains("Connecting bridge"));
    mouth.say(1, "t", "4");
    assert_eq!(ears.until("4"), (0..4).map(|n| format!("t {n}")).collect::<Vec<_>>());
    here.wait_for_log("Bridge connection bridge has exceeded idle timeout, disconnecting.");
    for n in 0..5 {
        mouth.say(1, "u", &n.to_string());
    }
    assert_eq!(ears.until("4").len(), 4);
}

#[test]
fn once_is_once() {
    let there = Broker::ours();
    let here = bridge(Kind::Ours, there.port(), "topic # both 1\nstart_type once");
    wait_until_up(Kind::Ours, &here, &there);
    let there = there.restart(Kind::Ours);
    here.wait_for_log("Bridge bridge disconnected from 127.0.0.1:");
    // longer than it would wait
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let text = here.program().transcript();
    assert_eq!(text.matches("Connecting bridge (step 1)").count(), 1, "{text}");
    drop(there);
}

#[test]
fn e17_delays_are_told() {
    let here = bridge(Kind::Ours, free_port(), "topic # out");
    // a delay without a cap is always the same
    here.wait_for_log("Error creating bridge: ");
    assert!(!here.program().transcript().contains("next backoff"));
    let lines = format!(
        "allow_anonymous true\nconnection bridge\naddress 127.0.0.1:{}\ntopic # out\nrestart_timeout 1 2",
        free_port()
    );
    let here = Broker::start(Kind::Ours, &lines);
    let line = here.wait_for_log("Bridge bridge next backoff will be ");
    let millis: u32 = line.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!((1000..=2000).contains(&millis), "{line}");
}

/// A broker that answers each CONNECT with the next of these, and what was asked of it.
fn scripted(answers: &'static [&'static [u8]]) -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (mut stream, answer) in listener.incoming().map_while(Result::ok).zip(answers) {
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            let mut body = vec![0; head[1].into()];
            stream.read_exact(&mut body).unwrap();
            tell.send(body).unwrap();
            stream.write_all(answer).unwrap();
            // until the bridge has heard it
            stream.read_to_end(&mut Vec::new()).ok();
        }
    });
    (port, asked)
}

#[test]
fn a_broker_that_knows_no_bridges_is_asked_as_by_a_client() {
    let (port, asked) = scripted(&[&[0x20, 2, 0, 1], &[0x20, 2, 0, 0]]);
    let here = bridge(
        Kind::Ours,
        port,
        "topic # out\nkeepalive_interval 30\nremote_username me\nremote_password secret",
    );
    let levels: Vec<u8> = asked.iter().take(2).map(|body| body[6]).collect();
    assert_eq!(levels, [0x84, 4]);
    here.wait_for_log("Connection Refused: unacceptable protocol version");
    here.wait_for_log("Bridge bridge connected to 127.0.0.1:");
}

#[test]
fn a_broker_without_mqtt_5_is_asked_with_3_1_1() {
    let (port, asked) = scripted(&[&[0x20, 2, 0, 1], &[0x20, 2, 0, 0]]);
    let here = bridge(Kind::Ours, port, "topic # out\nbridge_protocol_version mqttv50\nnotifications false");
    let connects: Vec<Vec<u8>> = asked.iter().take(2).collect();
    // clean start off, keep-alive 60; Receive Maximum 20, Topic Alias Maximum 10, Maximum Packet Size
    assert_eq!(connects[0][..11], [0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0, 60, 11]);
    assert_eq!(connects[1][..10], [0, 4, b'M', b'Q', b'T', b'T', 0x84, 0, 0, 60]);
    here.wait_for_log(
        "Warning: Remote bridge bridge does not support MQTT v5.0, reconnecting using MQTT v3.1.1.",
    );
}

#[test]
fn refusals_in_the_originals_words() {
    let (port, _asked) = scripted(&[&[0x20, 2, 0, 3], &[0x20, 2, 0, 4], &[0x20, 2, 0, 5], &[0x20, 2, 0, 2]]);
    let here = bridge(Kind::Ours, port, "topic # out");
    for text in ["broker unavailable", "bad user name or password", "not authorised", "identifier rejected"] {
        here.wait_for_log(&format!("Connection Refused: {text}"));
    }
}

#[test]
fn a_will_that_is_not_taken_is_left_out_bit_by_bit() {
    let v5 = |reason| [0x20, 3, 0, reason, 0];
    let answers: &'static [[u8; 5]] = Box::leak(Box::new([v5(0x9a), v5(0x9b), v5(0)]));
    let answers: Vec<&'static [u8]> = answers.iter().map(|a| &a[..]).collect();
    let (port, asked) = scripted(answers.leak());
    let here = bridge(Kind::Ours, port, "topic # out\nbridge_protocol_version mqttv50");
    let flags: Vec<u8> = asked.iter().take(3).map(|body| body[7]).collect();
    assert_eq!(flags, [0x2c, 0x0c, 0x04]);
    here.wait_for_log("Connection Refused: retain not available (will retry)");
    here.wait_for_log("Connection Refused: QoS not supported (will retry)");
}

#[test]
fn credentials_and_ids_are_those_configured() {
    let (port, asked) = scripted(&[&[0x20, 2, 0, 0]]);
    let lines = format!(
        "allow_anonymous true\nconnection b\naddress 127.0.0.1:{port}\ntopic # out\ntry_private false\ncleansession true\nnotifications false\nclientid far\nusername me\npassword secret\nlocal_clientid near\nkeepalive_interval 7\nbridge_bind_address 127.0.0.1\nbridge_tcp_keepalive 5 5 5\nbridge_tcp_user_timeout 5000"
    );
    let here = Broker::start(Kind::Ours, &lines);
    let mut expected = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2, 0, 7];
    for text in ["far", "me", "secret"] {
        expected.extend([0, u8::try_from(text.len()).unwrap()]);
        expected.extend(text.as_bytes());
    }
    assert_eq!(asked.recv().unwrap(), expected);
    here.wait_for_log("Received SUBSCRIBE from near");
}

/// The broker goes on if nobody answers, and ends at once.
#[test]
fn a_broker_ends_whatever_its_bridges_do() {
    let (port, _asked) = scripted(&[]);
    let lines = format!(
        "{}{}",
        bridge_lines(port, "topic # both 2"),
        bridge_lines(free_port(), "topic # both")
            .replace("bridge", "other")
            .replace("remote_clientid other", "")
    );
    let here = Broker::start(Kind::Ours, &format!("allow_anonymous true\n{lines}"));
    let mut wire = Wire::introduce(here.port(), 4, "c");
    wire.send("c000");
    wire.expect("d000");
    here.restart(Kind::Ours);
}
