//! What every test over real sockets needs: free ports, running programs, brokers, raw MQTT bytes, real peers.
//!
//! A helper that cannot do its work panics with all it knows (the program's output, the bytes read so far): inside a test
//! that is the clearest report.
//!
//! | to get | call |
//! |---|---|
//! | a running broker of ours, or Debian's, on a free port | [`Broker::ours`], [`Broker::debian`], [`Broker::start`] |
//! | our program under one of its names | [`peers::ours`] |
//! | Debian's program | [`peers::debian`] |
//! | a process whose output can be waited for | [`Program`] |
//! | exact bytes on a connection | [`Wire`] |
//! | a client made of bytes, a conversation as data | [`peer`], [`notation`], [`dialogue`] |
//! | a program on a terminal, with a person who types | [`Terminal`] |
//! | certificates | [`certificates::Authority`] |
//! | what a client really sends | [`Relay`] |
//! | a folder that goes away | [`scratch`] |
//! | a port nobody else has | [`free_port`] |
//! | numbers that a seed decides | [`Random`] |
//!
//! A test that needs a peer carries the peer's name (`debian`, `paho`, `tshark`) in its own name or module: this is how
//! `cargo xtask test` leaves it out, loudly, on a machine where that peer cannot be had.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a helper of tests reports by panicking, as a test does"
)]

mod broker;
pub mod certificates;
pub mod dialogue;
pub mod notation;
pub mod peer;
pub mod peers;
mod port;
mod program;
mod random;
mod relay;
mod terminal;
mod wire;

pub use broker::{Broker, Kind};
pub use port::{free_port, wait_until_listening};
pub use program::{Finished, Program};
pub use random::Random;
pub use relay::Relay;
pub use terminal::{Terminal, eventually};
pub use wire::{Wire, hex};

use std::time::Duration;

/// Long enough for a loaded two-core machine, short enough to be waited for: the limit of every wait that should end at once.
pub const SOON: Duration = Duration::from_secs(15);

/// A folder of its own for one test, readable by everybody (a broker that gives up root still reads it), removed at the
/// end.
pub fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let everybody = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("grovemq-").permissions(everybody).tempdir().unwrap()
}
