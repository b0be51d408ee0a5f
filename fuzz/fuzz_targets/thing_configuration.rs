//! `thing.toml`: no panic, the same answer twice, and every complaint about a place in the file.
#![no_main]

use grovemq_thing::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.split('\n').count();
    match (Config::parse(text, "thing.toml"), Config::parse(text, "thing.toml")) {
        (Ok(config), Ok(again)) => assert_eq!(format!("{config:?}"), format!("{again:?}")),
        (Err(error), Err(again)) => {
            assert_eq!(error.to_string(), again.to_string());
            assert!(!error.problems().is_empty());
            let places = error.problems().iter().filter_map(|problem| problem.position);
            assert!(places.into_iter().all(|(line, column)| (1..=lines).contains(&line) && column >= 1));
        }
        _ => panic!("one text, two answers"),
    }
});
