//! `mosquitto.conf`: text → literal lines with file and line → effective configuration.
//!
//! ```text
//! text ──parse──► [Line] ──Config::from_lines──► Config + warnings, or every error
//!                    ▲                 ▲
//!             include_dir        table::OPTIONS: one entry per directive
//! ```
//!
//! [`Config::load`] does the whole way for a file, [`parse()`] and [`Config::from_lines`] are its two halves for text in
//! memory. Nothing stops at the first error: all of them are collected and given together.
//!
//! Never panics, whatever the text; sizes and counts are bounded by [`limits`].
//!
//! Invariant: opens the configuration files themselves and nothing else; resolves no name, binds no port, looks at no
//! password file.
#![forbid(unsafe_code)]

mod bridge;
mod build;
mod config;
mod diagnostic;
pub mod limits;
mod listener;
mod load;
mod number;
mod overlay;
mod parse;
mod reload;
mod suggest;
pub mod table;
mod words;

pub use bridge::{
    Bridge, BridgeAddress, BridgeDirection, BridgeReload, BridgeRestart, BridgeStart, BridgeTls, BridgeTopic,
    TcpKeepalive,
};
pub use build::{Owner, Setting};
pub use config::{
    Config, Delivery, Limits, Log, LogDest, LogFormat, LogType, LogTypes, Persistence, PersistenceMode,
    Process, QueuePolicy,
};
pub use diagnostic::{Diagnostic, Place, Severity, Span};
pub use listener::{Listener, Protocol, ProxyProtocol, Security, SocketDomain, Tls, Versions};
pub use load::Inspection;
pub use overlay::{Overlay, port_argument};
pub use parse::{Line, parse, parse_bytes};
pub use reload::needs_restart;

/// Exit code of the process for a configuration that cannot be used (the original's "invalid").
pub const EXIT_INVALID: u8 = 3;
