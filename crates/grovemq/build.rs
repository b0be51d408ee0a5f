//! Puts the functions of a broker at rest side by side in release builds for Linux.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=at_rest.ld");
    println!("cargo::rerun-if-env-changed=GROVEMQ_ANY_ORDER");
    let is = |name: &str, value: &str| var(name).is_ok_and(|set| set == value);
    let ordered = var("GROVEMQ_ANY_ORDER").is_err();
    if ordered && is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        let here = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/at_rest.ld");
    }
}
