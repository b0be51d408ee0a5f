//! Non-blocking byte streams and listeners for GroveMQ's event loops.
#![forbid(unsafe_code)]
