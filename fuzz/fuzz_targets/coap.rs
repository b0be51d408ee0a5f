//! Datagrams for a CoAP endpoint: no panic, bounds kept, and silence in bounded time once nobody answers.
#![no_main]

use grovemq_coap::{Endpoint, Format, Limits, Method, Response};
use libfuzzer_sys::{arbitrary, fuzz_target};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step<'a> {
    Datagram(bool, &'a [u8]),
    News(u16),
    Time(u8),
    Probe,
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let limits = Limits { observers_max: 3, seen_max: 4, assemblies_max: 2, body_bytes_max: 64, ..Limits::default() };
    let mut endpoint = Endpoint::new(limits, 7);
    let mut now = Instant::now();
    let peers: [SocketAddr; 2] = ["127.0.0.1:1", "[::1]:2"].map(|peer| peer.parse().unwrap());
    for step in steps {
        match step {
            Step::Datagram(second, bytes) => {
                if let Some(request) = endpoint.receive(now, peers[usize::from(second)], bytes) {
                    if request.payload.first() != Some(&0) {
                        let body = vec![b'x'; if request.method == Method::Get { 3000 } else { 0 }];
                        endpoint.respond(now, request.id, &Response::content(Format::TEXT, body));
                    }
                }
            }
            Step::News(length) => {
                endpoint.notify(now, "", None, &Response::content(Format::TEXT, vec![b'y'; length.into()]));
            }
            Step::Probe => endpoint.probe(now),
            Step::Time(seconds) => {
                now += Duration::from_secs(seconds.into());
                endpoint.tick(now);
            }
        }
        assert!(endpoint.observers() <= 3);
        while let Some((_, datagram)) = endpoint.datagram() {
            assert!(datagram.len() < 1024 + 64);
        }
        while endpoint.lost().is_some() {}
    }
    for _ in 0..10_000 {
        let Some(due) = endpoint.next_tick() else { return };
        endpoint.tick(due);
        while endpoint.datagram().is_some() {}
    }
    panic!("it repeats for ever");
});
