//! Password files, SCRAM-SHA-256 and access control lists, and the reasons for each decision.
//!
//! * [`password`]: who somebody is. Files in Mosquitto's format, read and written.
//! * [`acl`]: what somebody may do. Files in Mosquitto's grammar; every decision names the rule behind it.
//! * [`scram`]: how client and server prove to each other that they know a password, without sending it.
//! * [`passwd`]: the `mosquitto_passwd` command as a function.
//!
//! Nothing here opens a socket or reads a clock. Checking a password is slow on purpose and belongs on a thread
//! of its own; checking access takes no allocation and belongs on the path of every message.
#![forbid(unsafe_code)]

#[cfg(feature = "files")]
pub mod acl;
#[cfg(feature = "files")]
pub mod passwd;
#[cfg(feature = "files")]
pub mod password;
pub mod scram;
#[cfg(feature = "files")]
mod text_file;
