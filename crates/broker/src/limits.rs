//! Bounds of the driver; those of the protocol are in `grovemq_core::Limits`.

use std::time::Duration;

/// One read takes at most so many bytes, and so does one connection in one turn.
pub(crate) const READ_BYTES: usize = 256 << 10;
/// An unfinished packet above this is gathered where it stands instead of being copied before each read.
pub(crate) const GATHER_BYTES: usize = 64 << 10;
/// Readiness events taken from the kernel at a time.
pub(crate) const EVENTS: usize = 1024;
/// Messages waiting for a shard above which other shards stop reading from their clients.
pub(crate) const INBOX_MESSAGES_MAX: usize = 100_000;
/// How long a loop waits before it looks again whether the other shard has caught up.
pub(crate) const CROWDED_PAUSE: Duration = Duration::from_millis(1);
/// Logins waiting to be checked; above, clients are told that the server is unavailable.
pub(crate) const LOGINS_MAX: usize = 1024;
/// Threads that check logins.
pub(crate) const LOGIN_THREADS: usize = 2;
/// Log lines waiting to be written; above, lines are dropped and counted.
pub(crate) const LOG_LINES_MAX: usize = 65_536;
/// Connections accepted from one listener before the others have their turn.
pub(crate) const ACCEPTS_PER_TURN: usize = 256;
/// Pause after the system had no descriptor for a new connection.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// More shards than this are never started.
pub(crate) const SHARDS_MAX: usize = 64;
