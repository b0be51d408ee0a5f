//! Sensors and actuators that publish and obey over MQTT.
#![forbid(unsafe_code)]
