//! What a configuration may cost at most.

/// Bytes of all files of one configuration together.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one line without its end. The original's longest value has 65535 bytes.
pub const LINE_BYTES_MAX: usize = 66_000;
/// Bytes of one value that is taken as text.
pub const VALUE_BYTES_MAX: usize = 65_535;
/// Lines with a directive, all files together.
pub const DIRECTIVES_MAX: usize = 50_000;
/// Files read because of `include_dir` lines.
pub const INCLUDED_FILES_MAX: usize = 1_000;
/// Listeners of one broker.
pub const LISTENERS_MAX: usize = 256;
/// Bridges of one broker.
pub const BRIDGES_MAX: usize = 256;
/// Addresses of one bridge.
pub const BRIDGE_ADDRESSES_MAX: usize = 64;
/// Topics of one bridge.
pub const BRIDGE_TOPICS_MAX: usize = 1_000;
/// Errors reported; reading stops after them.
pub const ERRORS_MAX: usize = 100;
/// Warnings and notes reported; further ones are left out.
pub const WARNINGS_MAX: usize = 200;
/// Ports given on the command line, as in the original.
pub const COMMAND_LINE_PORTS_MAX: usize = 10;
/// Bytes of a generated client id's prefix, as in the original.
pub const AUTO_ID_PREFIX_BYTES_MAX: usize = 50;
/// Event loops a user may ask for.
pub const SHARDS_MAX: i32 = 1_024;
/// Microseconds of [`Config::busy_poll`](crate::Config::busy_poll).
pub const BUSY_POLL_MAX: i32 = 1_000;
