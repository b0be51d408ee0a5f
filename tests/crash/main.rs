//! Brokers that are killed, and stores that fail: what was acknowledged is there, whatever happens to the process.
//!
//! `GROVEMQ_CYCLES=n` kills so often; `GROVEMQ_SEED=s` has the clients do what they did under that seed, as far as the
//! processes let them; `GROVEMQ_CRASH_BROKER=mosquitto` does it to Debian's broker and only reports.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stdout, reason = "the report is the result")]

mod client;
mod damage;
mod failures;
mod load;
mod report;

use grovemq_tests::Kind;
use load::Load;
use report::Report;

/// Nothing is dropped for want of room.
const OURS: &str = "allow_anonymous true\npersistence true\npersistence_location {dir}/\nmax_queued_messages 0\n\
                    user root\n";
/// The same, as safe as it can be made there; as root it must be told to stay root, or it cannot write into our folder.
const DEBIAN: &str = "allow_anonymous true\npersistence true\npersistence_location {dir}/\nmax_queued_messages 0\n\
                      autosave_interval 1\nuser root\n";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seed() -> u64 {
    let seed = number("GROVEMQ_SEED").unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos().try_into().unwrap_or(u64::MAX) & 0xffff_ffff
    });
    println!("GROVEMQ_SEED={seed}");
    seed
}

fn crash(kind: Kind, configuration: &str, cycles: u64) -> Report {
    let load = Load::begin(kind, configuration, seed());
    let report = load.run(cycles);
    println!("{report}");
    report
}

#[test]
fn e01_what_is_acknowledged_survives_kills() {
    let cycles = number("GROVEMQ_CYCLES").unwrap_or(20);
    if std::env::var("GROVEMQ_CRASH_BROKER").is_ok_and(|name| name == "mosquitto") {
        crash(Kind::Debian, DEBIAN, cycles);
        return;
    }
    let report = crash(Kind::Ours, OURS, cycles);
    assert!(report.is_clean(), "{report}");
}

/// The judge is awake: a broker that saves once a second loses messages, and it is found.
#[test]
fn e01_debian_loses_what_it_acknowledged() {
    let report = crash(Kind::Debian, DEBIAN, 5);
    assert!(!report.is_clean(), "{report}");
}
