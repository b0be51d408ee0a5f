//! A WebSocket client's bytes: no panic, and the same payload however the bytes are cut.
#![no_main]

use grovemq_net::websocket::{Decoder, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    parse(data, &[]).ok();
    let Some((cut, frames)) = data.split_first() else { return };
    let whole = decoded(frames, frames.len().max(1));
    assert_eq!(whole, decoded(frames, usize::from(*cut).max(1)));
});

/// Payload and end: a violation's code, or the code the client closed with.
fn decoded(bytes: &[u8], piece: usize) -> (Option<Vec<u8>>, u16) {
    let mut decoder = Decoder::default();
    let mut payload = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut chunk = chunk.to_vec();
        match decoder.decode(&mut chunk) {
            Ok(n) => payload.extend_from_slice(&chunk[..n]),
            // what came before in the same piece is lost with it
            Err(violation) => return (None, violation.code),
        }
    }
    (Some(payload), decoder.closed().unwrap_or(0))
}
