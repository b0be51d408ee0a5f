//! MQTT 3.1, 3.1.1 and 5 on the wire: packets, properties, topics, framing.
#![forbid(unsafe_code)]
