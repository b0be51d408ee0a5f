//! PROXY headers: no panic, no byte taken that is not the header's, and an end in bounded time.
#![no_main]

use grovemq_net::proxy::{Progress, Version, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for version in [Version::V1, Version::V2] {
        let mut have = 0;
        while let Some(bytes) = data.get(..have) {
            match parse(version, bytes) {
                Ok(Progress::Need(n)) => {
                    assert!(n > 0 && have + n <= 16 + 4096);
                    have += n;
                }
                Ok(Progress::Done(_)) | Err(_) => break,
            }
        }
    }
});
