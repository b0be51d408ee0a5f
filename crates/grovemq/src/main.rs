//! `grovemq`: one program, many names.
#![forbid(unsafe_code)]
fn main() {}
