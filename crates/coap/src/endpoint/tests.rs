//! What an endpoint does with each kind of message.

use super::*;
use crate::Format;
use crate::transmissions::{REPETITIONS, TIMEOUT};
use coap_lite::{ObserveOption, RequestType};
use std::time::Duration;

struct Peer {
    endpoint: Endpoint,
    now: Instant,
}

fn address() -> SocketAddr {
    "127.0.0.2:40000".parse().unwrap()
}

fn packet(kind: MessageType, method: Method, message_id: u16, path: &str) -> Packet {
    let mut packet = Packet::new();
    packet.header.set_type(kind);
    packet.header.code = MessageClass::Request(method);
    packet.header.message_id = message_id;
    packet.set_token(vec![7]);
    for segment in path.split('/') {
        packet.add_option(CoapOption::UriPath, segment.into());
    }
    packet
}

fn get(message_id: u16) -> Packet {
    packet(MessageType::Confirmable, RequestType::Get, message_id, "sensors/button0")
}

fn observe(message_id: u16) -> Packet {
    let mut packet = get(message_id);
    packet.set_observe_value(ObserveOption::Register as u32);
    packet
}

fn text(payload: &str) -> Response {
    Response::content(Format::TEXT, payload)
}

impl Peer {
    fn new(limits: Limits) -> Self {
        Self { endpoint: Endpoint::new(limits, 1), now: Instant::now() }
    }

    fn sends(&mut self, packet: &Packet) -> Option<Request> {
        self.endpoint.receive(self.now, address(), &packet.to_bytes().unwrap())
    }

    fn asks(&mut self, packet: &Packet, answer: &Response) -> Packet {
        let request = self.sends(packet).expect("a request");
        self.endpoint.respond(self.now, request.id, answer);
        self.gets().expect("an answer")
    }

    fn gets(&mut self) -> Option<Packet> {
        let (to, bytes) = self.endpoint.datagram()?;
        assert_eq!(to, address());
        Some(Packet::from_bytes(&bytes).unwrap())
    }

    fn answers(&mut self, kind: MessageType, message_id: u16) {
        let bytes = empty(message_id, kind);
        assert_eq!(self.endpoint.receive(self.now, address(), &bytes), None);
    }

    fn waits(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.endpoint.next_tick().filter(|due| *due <= until) {
            self.now = due;
            self.endpoint.tick(due);
        }
        self.now = until;
    }
}

#[test]
fn a_request_is_answered_in_its_acknowledgement() {
    let mut peer = Peer::new(Limits::default());
    let request = peer.sends(&get(5)).unwrap();
    assert_eq!((request.method, request.path.join("/")), (RequestType::Get, "sensors/button0".to_owned()));
    peer.endpoint.respond(peer.now, request.id, &text("True"));
    let answer = peer.gets().unwrap();
    assert_eq!(answer.header.get_type(), MessageType::Acknowledgement);
    assert_eq!((answer.header.message_id, answer.get_token()), (5, &[7][..]));
    assert_eq!((&*answer.header.get_code(), &*answer.payload), ("2.05", &b"True"[..]));
    assert_eq!(peer.endpoint.next_tick(), None);
}

#[test]
fn what_need_not_be_confirmed_is_not() {
    let mut peer = Peer::new(Limits::default());
    let ask = packet(MessageType::NonConfirmable, RequestType::Get, 5, "x");
    let answer = peer.asks(&ask, &text("1"));
    assert_eq!(answer.header.get_type(), MessageType::NonConfirmable);
    assert_ne!(answer.header.message_id, 5);
    assert_eq!(peer.endpoint.next_tick(), None, "not repeated");
}

#[test]
fn a_copy_is_answered_and_not_done_again() {
    let mut peer = Peer::new(Limits::default());
    let put = packet(MessageType::Confirmable, RequestType::Put, 5, "actuators/led0");
    let request = peer.sends(&put).unwrap();
    assert_eq!(peer.sends(&put), None);
    assert_eq!(peer.gets(), None, "there is no answer yet");
    peer.endpoint.respond(peer.now, request.id, &Response::new(Code::Changed));
    let answer = peer.gets().unwrap();
    assert_eq!(peer.sends(&put), None);
    assert_eq!(peer.gets(), Some(answer));
}

#[test]
fn a_slow_answer_comes_by_itself() {
    let mut peer = Peer::new(Limits::default());
    let request = peer.sends(&get(5)).unwrap();
    peer.waits(Duration::from_secs(1));
    let acknowledgement = peer.gets().unwrap();
    assert_eq!(acknowledgement.header.code, MessageClass::Empty);
    assert_eq!(acknowledgement.header.message_id, 5);
    peer.endpoint.respond(peer.now, request.id, &text("1"));
    let answer = peer.gets().unwrap();
    assert_eq!((answer.header.get_type(), answer.get_token()), (MessageType::Confirmable, &[7][..]));
    peer.waits(TIMEOUT * 2);
    assert_eq!(peer.gets().unwrap(), answer, "again");
    peer.answers(MessageType::Acknowledgement, answer.header.message_id);
    assert_eq!(peer.endpoint.next_tick(), None);
}

#[test]
fn pings_and_answers_nobody_asked_for_are_reset() {
    let mut peer = Peer::new(Limits::default());
    peer.answers(MessageType::Confirmable, 9);
    let reset = peer.gets().unwrap();
    assert_eq!((reset.header.get_type(), reset.header.message_id), (MessageType::Reset, 9));
    for bytes in [&b""[..], &[0x40], &[0x49, 1, 0, 1], &[0x80, 1, 0, 1], &[0x40, 1, 0, 1, 0xf0]] {
        assert_eq!(peer.endpoint.receive(peer.now, address(), bytes), None);
        assert_eq!(peer.gets(), None, "{bytes:?}");
    }
}

#[test]
fn observers_are_told_until_they_say_otherwise() {
    let mut peer = Peer::new(Limits::default());
    let first = peer.asks(&observe(1), &text("False"));
    let mut latest = first.get_observe_value().unwrap().unwrap();
    for state in ["True", "False"] {
        peer.endpoint.notify(peer.now, "sensors/button0", None, &text(state));
        let news = peer.gets().unwrap();
        let sequence = news.get_observe_value().unwrap().unwrap();
        assert!(sequence > latest);
        latest = sequence;
        assert_eq!((news.get_token(), &*news.payload), (&[7][..], state.as_bytes()));
        peer.answers(MessageType::Acknowledgement, news.header.message_id);
    }
    peer.endpoint.notify(peer.now, "sensors/button1", None, &text("True"));
    assert_eq!(peer.gets(), None, "another resource");
    let mut end = get(2);
    end.set_observe_value(ObserveOption::Deregister as u32);
    let answer = peer.asks(&end, &text("False"));
    assert_eq!(answer.get_observe_value(), None);
    assert_eq!(peer.endpoint.lost().map(|lost| lost.resource).as_deref(), Some("sensors/button0"));
    peer.endpoint.notify(peer.now, "sensors/button0", None, &text("True"));
    assert_eq!((peer.gets(), peer.endpoint.observers()), (None, 0));
}

#[test]
fn of_many_changes_the_last_is_told() {
    let mut peer = Peer::new(Limits::default());
    peer.asks(&observe(1), &text("0"));
    for state in 1..10 {
        peer.endpoint.notify(peer.now, "sensors/button0", None, &text(&state.to_string()));
    }
    let news = peer.gets().unwrap();
    assert_eq!((&*news.payload, peer.gets()), (&b"1"[..], None));
    peer.answers(MessageType::Acknowledgement, news.header.message_id);
    assert_eq!(&*peer.gets().unwrap().payload, b"9");
}

#[test]
fn an_observer_that_does_not_answer_is_given_up() {
    let mut peer = Peer::new(Limits::default());
    peer.asks(&observe(1), &text("0"));
    peer.endpoint.notify(peer.now, "sensors/button0", None, &text("1"));
    peer.waits(Duration::from_secs(100));
    let copies = std::iter::from_fn(|| peer.gets()).count();
    assert_eq!(copies, 1 + REPETITIONS as usize);
    assert_eq!(peer.endpoint.lost(), Some(Lost { peer: address(), resource: "sensors/button0".into() }));
    assert_eq!(peer.endpoint.observers(), 0);
}

#[test]
fn an_observer_is_asked_whether_it_is_there() {
    let mut peer = Peer::new(Limits::default());
    peer.asks(&observe(1), &text("0"));
    peer.endpoint.probe(peer.now);
    let ping = peer.gets().unwrap();
    assert_eq!((ping.header.get_type(), ping.header.code), (MessageType::Confirmable, MessageClass::Empty));
    assert_eq!(ping.to_bytes().unwrap().len(), 4);
    // as pings are answered
    peer.answers(MessageType::Reset, ping.header.message_id);
    peer.waits(Duration::from_secs(100));
    assert!(peer.gets().is_none());
    assert!(peer.endpoint.is_observed("sensors/button0", address()));
    peer.endpoint.probe(peer.now);
    peer.waits(Duration::from_secs(100));
    assert_eq!(peer.endpoint.lost(), Some(Lost { peer: address(), resource: "sensors/button0".into() }));
    assert!(!peer.endpoint.is_observed("sensors/button0", address()));
}

#[test]
fn a_reset_ends_an_observation() {
    let mut peer = Peer::new(Limits::default());
    peer.asks(&observe(1), &text("0"));
    peer.endpoint.notify(peer.now, "sensors/button0", None, &text("1"));
    let news = peer.gets().unwrap();
    peer.answers(MessageType::Reset, news.header.message_id);
    assert_eq!((peer.endpoint.observers(), peer.endpoint.next_tick()), (0, None));
    assert!(peer.endpoint.lost().is_some());
}

#[test]
fn a_failure_ends_an_observation() {
    let mut peer = Peer::new(Limits::default());
    peer.asks(&observe(1), &text("0"));
    peer.endpoint.notify(peer.now, "sensors/button0", None, &Response::new(Code::NotFound));
    let news = peer.gets().unwrap();
    assert_eq!((&*news.header.get_code(), news.get_observe_value()), ("4.04", None));
    assert_eq!(peer.endpoint.observers(), 0);
    let refused = peer.asks(&observe(2), &Response::new(Code::Forbidden));
    assert_eq!((refused.get_observe_value(), peer.endpoint.observers()), (None, 0));
}

#[test]
fn options_it_does_not_know_are_refused_or_passed_over() {
    let mut peer = Peer::new(Limits::default());
    let mut odd = get(1);
    odd.add_option(CoapOption::IfMatch, vec![1]);
    assert_eq!(peer.sends(&odd), None);
    assert_eq!(peer.gets().unwrap().header.get_code(), "4.02");
    odd.header.set_type(MessageType::NonConfirmable);
    odd.header.message_id = 2;
    assert_eq!((peer.sends(&odd), peer.gets()), (None, None));
}

#[test]
fn a_body_in_blocks_becomes_one_request() {
    let mut peer = Peer::new(Limits::default());
    let mut block = |number: u8, more: u8, payload: &[u8]| {
        let mut put = packet(MessageType::Confirmable, RequestType::Put, number.into(), "x");
        put.add_option(CoapOption::Block1, vec![number << 4 | more << 3]);
        put.payload = payload.to_vec();
        let request = peer.sends(&put);
        if let Some(request) = &request {
            peer.endpoint.respond(peer.now, request.id, &Response::new(Code::Changed));
        }
        let answer = peer.gets().unwrap();
        assert_eq!(answer.get_option(CoapOption::Block1), put.get_option(CoapOption::Block1));
        (answer.header.get_code(), request.map(|request| request.payload.len()))
    };
    assert_eq!(block(0, 1, &[1; 16]), ("2.31".into(), None));
    assert_eq!(block(1, 1, &[1; 16]), ("2.31".into(), None));
    assert_eq!(block(2, 0, &[1; 5]), ("2.04".into(), Some(37)));
}

#[test]
fn everything_is_bounded() {
    let limits = Limits {
        requests_max: 2,
        seen_max: 8,
        observers_max: 3,
        observers_per_peer_max: 2,
        transmissions_max: 1,
        datagrams_max: 4,
        ..Limits::default()
    };
    let mut peer = Peer::new(limits);
    let open: Vec<_> = (0..3).filter_map(|id| peer.sends(&get(id))).collect();
    assert_eq!(open.len(), 2);
    assert_eq!(peer.gets().unwrap().header.get_code(), "5.03");
    peer.waits(Duration::from_secs(2));
    assert_eq!(std::iter::from_fn(|| peer.gets()).count(), 2, "acknowledgements");
    for request in open {
        peer.endpoint.respond(peer.now, request.id, &text("1"));
    }
    let kinds: Vec<_> = std::iter::from_fn(|| peer.gets()).map(|p| p.header.get_type()).collect();
    assert_eq!(kinds, [MessageType::Confirmable, MessageType::NonConfirmable]);
    let observed: Vec<_> = (10..14_u8)
        .map(|id| {
            let mut ask = observe(id.into());
            ask.set_token(vec![id]);
            peer.asks(&ask, &text("1")).get_observe_value().is_some()
        })
        .collect();
    assert_eq!(observed, [true, true, false, false]);
    for _ in 0..9 {
        peer.answers(MessageType::Confirmable, 99);
    }
    assert_eq!(std::iter::from_fn(|| peer.gets()).count(), 4);
}
