//! Packets of 3.1 and 3.1.1; the first byte chooses.
#![no_main]

use grovemq_codec::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, stream)) = data.split_first() else { return };
    let version = if choice & 1 == 0 { Version::V31 } else { Version::V311 };
    grovemq_fuzz::round_trip(stream, version);
    grovemq_fuzz::runs(stream, version);
});
