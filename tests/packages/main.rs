//! The Debian packages, installed in a Debian of their own, and the lab's command lines typed there, on port 1883 as the
//! sheet has it: each machine has a network of its own.
//!
//! They need root, a fresh Debian and the packages: `cargo xtask dist --check` makes both and runs them.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod container;
mod install;
mod machine;
mod sheet;
