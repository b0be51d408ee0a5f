//! Packets of MQTT 5.
#![no_main]

use grovemq_codec::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    grovemq_fuzz::round_trip(data, Version::V5);
    grovemq_fuzz::runs(data, Version::V5);
});
