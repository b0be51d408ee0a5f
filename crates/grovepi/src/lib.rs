//! The GrovePi board over embedded-hal: sensors, actuators, and a simulated board.
#![forbid(unsafe_code)]
