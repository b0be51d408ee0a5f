//! JSON lines for a store: no panic, and what is taken comes out in a form that is taken again and does not change any more.
#![no_main]

use grovemq_fuzz::exported;
use grovemq_store::{Memory, import};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::time::UNIX_EPOCH;

fuzz_target!(|data: &[u8]| {
    let mut store = Memory::default();
    // what came before a bad line is in the store
    import(&mut &data[..], Path::new("lines"), UNIX_EPOCH, 1, &mut store).ok();
    let lines = exported(&mut store);
    let mut again = Memory::default();
    import(&mut &lines[..], Path::new("lines"), UNIX_EPOCH, 1, &mut again)
        .expect("what is exported can be imported");
    assert_eq!(exported(&mut again), lines);
});
