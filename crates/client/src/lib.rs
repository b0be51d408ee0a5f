//! MQTT client: async, reconnecting, MQTT 3.1, 3.1.1 and 5.
#![forbid(unsafe_code)]
