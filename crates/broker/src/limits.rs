//! Bounds of the driver; those of the protocol are in `grovemq_core::Limits`.

use std::time::Duration;

/// One read takes at most so many bytes, and so does one connection in one turn. What it brings stays in the processor's
/// cache until it is on its way, and buffers stay below the size from which the allocator gives each a mapping of its own.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// The same where packets are large: each read then leaves less unfinished, which has to be copied.
pub(crate) const READ_MANY_BYTES: usize = 256 << 10;
/// Once so many bytes were read in a turn, the other connections wait for the next.
pub(crate) const TURN_BYTES: usize = 64 << 10;
/// Subscriptions changed in a turn before what others have sent is on its way; most clients need no more.
pub(crate) const FILTERS_AT_ONCE: u32 = 16;
/// Further ones in that turn, about a tenth of a millisecond's work. Fewer than the core takes away from ended sessions.
pub(crate) const FILTERS_PER_TURN: u32 = 128;
/// An unfinished packet above this is gathered where it stands instead of being copied before each read.
pub(crate) const GATHER_BYTES: usize = 64 << 10;
/// One read of such a packet.
pub(crate) const GATHERED_BYTES: usize = 256 << 10;
/// Readiness events taken from the kernel at a time.
pub(crate) const EVENTS: usize = 1024;
/// Messages waiting for a shard above which other shards stop reading from their clients.
pub(crate) const INBOX_MESSAGES_MAX: usize = 4000;
/// Deliveries of other shards' messages in one turn; then what they brought is sent, and others have their turn.
pub(crate) const MAIL_DELIVERIES: u32 = 1000;
/// Messages for a shard that sleeps which another one takes care of itself, and what they and their deliveries may be together:
/// about what it takes to wake a thread.
pub(crate) const LENT_MESSAGES: usize = 8;
pub(crate) const LENT_DELIVERIES: u32 = 24;
/// Records of a group whose acknowledgements the store's thread sends itself.
pub(crate) const LENT_RECORDS: usize = 16;
/// Emptied batches kept for the next ones, and the memory each may keep.
pub(crate) const SPARE_BATCHES_MAX: usize = 8;
pub(crate) const SPARE_BATCH_BYTES_MAX: usize = 512 << 10;
/// How long memory that is only kept for the next turn may be kept after a turn that needed it.
pub(crate) const TRIM_PERIOD: Duration = Duration::from_secs(1);
/// How long a loop waits before it looks again whether the other shard has caught up.
pub(crate) const CROWDED_PAUSE: Duration = Duration::from_millis(1);
/// How long a publisher rests whose receivers do not keep up.
pub(crate) const PRESSURE_PAUSE: Duration = Duration::from_millis(1);
/// Requests on `$CONTROL/` topics waiting for an answer; above, they are dropped.
pub(crate) const CONTROL_REQUESTS_MAX: usize = 64;
/// Commands of one request; further ones get an error.
pub(crate) const CONTROL_COMMANDS_MAX: usize = 100;
/// How long all shards have to report their counters; else that update of `$SYS` is left out.
pub(crate) const REPORT_TIME_MAX: Duration = Duration::from_secs(1);
/// Slots of sessions and connections a shard looks at for one report.
pub(crate) const REPORT_SLOTS_MAX: u32 = 100_000;
/// Sessions or subscriptions listed at a time, so that nobody waits long behind a list.
pub(crate) const LISTING_MAX: u32 = 2000;
/// Subscriptions one list has room for.
pub(crate) const LISTED_MAX: usize = 1_000_000;
/// Logins waiting to be checked; above, clients are told that the server is unavailable.
pub(crate) const LOGINS_MAX: usize = 1024;
/// Logins that wait longer because others from the same address have failed; above, as before.
pub(crate) const LOGINS_WAITING_MAX: usize = 1024;
/// The same from one address.
pub(crate) const LOGINS_WAITING_PER_ADDRESS: u16 = 32;
/// Addresses whose failed logins are remembered.
pub(crate) const LOGIN_ADDRESSES_MAX: usize = 4096;
/// After this time one failed login of an address is forgotten.
pub(crate) const LOGIN_FAILURE_TIME: Duration = Duration::from_secs(12);
/// With so many of them remembered the address is delayed.
pub(crate) const LOGIN_FAILURES_FREE: u32 = 5;
/// The first delay; each further failure doubles it, this many times at most.
pub(crate) const LOGIN_DELAY_MIN: Duration = Duration::from_millis(250);
pub(crate) const LOGIN_DOUBLINGS_MAX: u32 = 5;
/// Threads that check logins.
pub(crate) const LOGIN_THREADS: usize = 2;
/// Log lines waiting to be written; above, lines are dropped and counted.
pub(crate) const LOG_LINES_MAX: usize = 65_536;
/// Connections accepted from one listener before the others have their turn.
pub(crate) const ACCEPTS_PER_TURN: usize = 256;
/// Pause after the system had no descriptor for a new connection.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Sessions of CoAP peers, all gateways together.
pub(crate) const COAP_PEERS_MAX: usize = 1024;
/// After so long without a request or an observation a CoAP peer's session ends.
pub(crate) const COAP_IDLE_MAX: Duration = Duration::from_secs(60);
/// Where there is no room for another peer, one that has been idle so long has to go.
pub(crate) const COAP_EVICT_AFTER: Duration = Duration::from_secs(1);
/// Between two looks for idle ones.
pub(crate) const COAP_SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// Between two questions to all CoAP observers whether they are still there.
pub(crate) const COAP_PROBE_PERIOD: Duration = Duration::from_secs(600);
/// Requests that wait for one CoAP peer's session; above, 5.03.
pub(crate) const COAP_ASKS_MAX: usize = 64;
/// How long a CoAP peer's login may take, which is delayed after many that failed.
pub(crate) const COAP_LOGIN_TIME_MAX: Duration = Duration::from_secs(30);
/// From accept to the end of PROXY header, TLS handshake and WebSocket upgrade.
pub(crate) const LOBBY_TIME_MAX: Duration = Duration::from_secs(10);
/// Threads for handshakes; never more than shards.
pub(crate) const LOBBIES_MAX: usize = 4;
/// Between two looks at the files of certificates.
pub(crate) const WATCH_PERIOD: Duration = Duration::from_secs(3);
/// Addresses and terms of listeners there may have been since the start.
pub(crate) const LISTENER_NUMBERS_MAX: usize = 4096;
/// How long the event loops have to take a reload over before the broker goes on without their answer.
pub(crate) const RELOAD_TIME_MAX: Duration = Duration::from_secs(5);
/// More shards than this are never started.
pub(crate) const SHARDS_MAX: usize = 64;

/// Between two looks at the memory the process has.
pub(crate) const MEMORY_PERIOD: Duration = Duration::from_millis(100);

/// What may wait for the store, in bytes near enough, before publishers rest.
pub(crate) const STORE_BACKLOG_BYTES: usize = 32 << 20;
/// A group the store could not take is tried again after this time.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(200);
/// How long what is only written may be unsafe from a power cut (`persistence_mode written`).
pub(crate) const STORE_SYNC: Duration = Duration::from_millis(100);
