//! The MQTT broker: shards, listeners, signals, logs.
#![forbid(unsafe_code)]
