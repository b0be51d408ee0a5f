//! mosquitto.conf: text to lines to effective configuration.
#![forbid(unsafe_code)]
