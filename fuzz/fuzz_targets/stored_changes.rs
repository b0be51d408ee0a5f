//! What the store's log holds: no panic, no more memory than it is given, one reading.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| grovemq_store::fuzz_change(data));
