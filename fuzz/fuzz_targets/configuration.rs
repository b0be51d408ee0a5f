//! `mosquitto.conf`: no panic, the same answer twice, and every complaint about a line that is there.
#![no_main]

use grovemq_config::{Config, Overlay, parse_bytes};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let name = Path::new("conf");
    let last = u32::try_from(data.split(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX);
    let is_there = |line: Option<u32>| line.is_none_or(|line| (1..=last).contains(&line));
    let (lines, errors) = parse_bytes(data, name);
    assert!(lines.iter().all(|line| is_there(Some(line.place.line)) && !line.name.is_empty()));
    assert!(errors.iter().all(|error| is_there(error.line())));

    let Ok(text) = str::from_utf8(data) else { return };
    let result = Config::from_text(text, name);
    assert_eq!(result, Config::from_text(text, name));
    match result {
        Ok((mut config, warnings)) => {
            assert!(warnings.iter().all(|warning| is_there(warning.line())));
            assert!(!config.listeners.is_empty());
            assert!(
                config.listeners.iter().all(|listener| (listener.port == 0) == listener.unix_path.is_some())
            );
            assert!(config.overlay(&Overlay { ports: vec![1], ..Overlay::default() }).is_ok());
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| is_there(error.line()) && !error.to_string().contains('\0')));
        }
    }
});
