//! A `mosquitto.db` of any bytes: no panic, what is counted is there, and it goes through a store and its JSON lines unchanged.
#![no_main]

use grovemq_core::journal::Saved;
use grovemq_fuzz::exported;
use grovemq_store::{Memory, import, parse_mosquitto_db, take_over};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::time::UNIX_EPOCH;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("mosquitto.db");
    let (mut sessions, mut retained) = (0, 0);
    let mut store = Memory::default();
    let found = take_over(&mut store, |visit| {
        parse_mosquitto_db(data, path, UNIX_EPOCH, 1, &mut |saved| {
            match &saved {
                Saved::Session(_) => sessions += 1,
                Saved::Retained(_) => retained += 1,
            }
            visit(saved);
        })
    });
    let Ok(found) = found else { return };
    assert_eq!((found.sessions, found.retained), (sessions, retained));
    assert!(found.lost.len() as u64 <= found.lost_count);

    let lines = exported(&mut store);
    let mut again = Memory::default();
    import(&mut &lines[..], path, UNIX_EPOCH, 1, &mut again).expect("what is exported can be imported");
    assert_eq!(exported(&mut again), lines);
});
