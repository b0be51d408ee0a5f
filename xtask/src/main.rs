//! The chores: `cargo xtask test`, `bench`, `nightly`, `soak`, `faults`, `docs`, `dist`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bench;
mod dist;
mod docs;
mod faults;
mod guard;
mod nightly;
mod peers;
mod report;
mod shell;
mod soak;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
Chores of GroveMQ.

cargo xtask test [SECTION…]   every check and test; or only these sections:
                              fmt clippy docs deny tests doctests guard
                              Debian's mosquitto, mosquitto-clients, tshark and valgrind are installed if this runs as root;
                              paho-mqtt and cargo-deny go below target/. What cannot be had is left out, and listed.

cargo xtask nightly [STEP…]   codec, core and store tested as 32-bit programs (32-bit; needs rustup's i686-unknown-linux-musl),
                              and each fuzz target for a minute (needs cargo-fuzz), then `dist --check`; or only these
      --seconds N             for so long instead

cargo xtask bench             the release build and its peers, measured in turns; writes docs/benchmarks.md and .svg
      --mqload PATH           the load generator (or MQLOAD in the environment)
      --binary PATH           another build in place of the release build, which is then not made
      --peers NAME[,NAME…]    of: mosquitto nats rumqttd floor; the first two are installed if this runs as root, the
                              third, which is not measured unless named, is built below target/; the floor passes
                              bytes on and does nothing else: what sockets cost (xtask/examples/floor.rs)
      --rounds N              rounds, of which the median counts (3)
      --quick                 one short round, nothing is written
      --only NAME[,NAME…]     these scenarios, nothing is written; a wrong name shows all
      --write                 writes all the same

cargo xtask bench scaling     pairs of clients with one shard and with two, each held to a fifth of a processor, so that the shards
                              are what limits; a part of the above (root, and control groups, version 1)

cargo xtask bench --durable   what it costs that messages are on disk before they are acknowledged
      --dir PATH              a folder on the disk to be measured (below target/)
      --binary PATH           as above
      --quick                 one second each, 50,000 messages instead of a million

cargo xtask bench client      the client library beside rumqttc, in turns
      --binary PATH           against another build of the broker than the release build
      --rounds N              rounds, of which the median counts (5)
      --write                 writes docs/client-benchmarks.md

cargo xtask bench thing       how soon an LED follows a button across the broker, and what twenty resources cost

cargo xtask bench --guard     instructions per message in the core, against the committed figures (needs valgrind)
      --update                writes them anew

cargo xtask soak              the broker is killed under load, and every message is accounted for
      --cycles N              so many times (1000)
      --broker mosquitto      Debian's broker instead of ours, as safe as it can be made
      --seed N                clients that do what they did under that seed

cargo xtask soak --things     a thing whose broker and whose board come and go; its LED has to be right after each
      --seconds N             for so long (600)

cargo xtask faults [ID…]      what the broker must survive, with the result of each test; or only rows that begin so

cargo xtask docs              the reference of the configuration file, man pages and completions, made anew

cargo xtask dist              static binary, folder for a container and Debian packages, in target/dist
      --target NAME           for x86_64, aarch64 or armv7; may be repeated; another processor than this machine's needs
                              Rust's standard library for it and cargo-zigbuild or a cross compiler
      --check                 installs them in a fresh Debian and runs the lab's commands there (as root)

cargo xtask --help            this
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.split_first() {
        Some((&"test", rest)) => test::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"nightly", rest)) => nightly::run(rest),
        Some((&"faults", rest)) => faults::run(rest),
        Some((&"soak", rest)) => soak::run(rest),
        Some((&"dist", rest)) => dist::run(rest),
        Some((&"docs", rest)) => docs::run(rest),
        Some((&("--help" | "-h" | "help"), _)) => {
            print!("{HELP}");
            Ok(true)
        }
        Some((other, _)) => Err(anyhow::anyhow!("unknown chore `{other}`\n\n{HELP}")),
        None => Err(anyhow::anyhow!("which chore?\n\n{HELP}")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::from(2)
        }
    }
}
