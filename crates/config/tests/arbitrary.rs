//! Whatever the text: no panic, places within the file, the same answer twice.
#![expect(clippy::unwrap_used, reason = "a test may panic; the helpers are tests, too")]

use std::path::Path;

use grovemq_config::table::{OPTIONS, Opt};
use grovemq_config::{Config, Overlay, parse_bytes};
use proptest::prelude::*;

fn check(text: &str) -> Result<(), TestCaseError> {
    let result = Config::from_text(text, Path::new("t"));
    prop_assert_eq!(&result, &Config::from_text(text, Path::new("t")));
    let lines = u32::try_from(text.split('\n').count()).unwrap();
    let within = |line: Option<u32>| line.is_none_or(|line| (1..=lines).contains(&line));
    match result {
        Ok((mut config, warnings)) => {
            prop_assert!(warnings.iter().all(|warning| within(warning.line())));
            prop_assert!(!config.listeners.is_empty());
            prop_assert!(config.listeners.iter().all(|listener| listener.local_only == config.local_only));
            prop_assert!(
                config.listeners.iter().all(|listener| (listener.port == 0) == listener.unix_path.is_some())
            );
            let overlay = Overlay { ports: vec![1], ..Overlay::default() };
            prop_assert!(config.overlay(&overlay).is_ok());
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            prop_assert!(
                errors.iter().all(|error| within(error.line()) && !error.to_string().contains('\0'))
            );
        }
    }
    Ok(())
}

/// A line that begins with a name of the table, more often than not with a value of some sense.
fn directive() -> impl Strategy<Value = String> {
    let names: Vec<&str> = OPTIONS.iter().flat_map(Opt::names).collect();
    let value = prop_oneof![
        Just(String::new()),
        any::<i32>().prop_map(|number| number.to_string()),
        (-2_i32..70_000).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "true", "false", "1", "0", "all", "none", "file /x", "mqtt", "7d", "ipv4", "0 /sock", "3,5"
        ])
        .prop_map(ToOwned::to_owned),
        "[ -~]{0,20}",
        "\\PC{0,60}",
    ];
    (prop::sample::select(names), value).prop_map(|(name, value)| format!("{name} {value}"))
}

proptest! {
    #[test]
    fn any_text(text in "(?s).{0,400}") {
        check(&text)?;
    }

    #[test]
    fn any_directives(lines in prop::collection::vec(directive(), 0..30)) {
        check(&lines.join("\n"))?;
    }

    #[test]
    fn any_supported_directives(lines in prop::collection::vec(directive(), 0..60)) {
        // Without the lines that are errors by themselves, so that whole configurations come about.
        let good: Vec<&String> =
            lines.iter().filter(|line| Config::from_text(line, Path::new("t")).is_ok()).collect();
        check(&good.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"))?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (lines, errors) = parse_bytes(&bytes, Path::new("t"));
        let count = u32::try_from(bytes.split(|&byte| byte == b'\n').count()).unwrap();
        prop_assert!(lines.iter().all(|line| (1..=count).contains(&line.place.line) && !line.name.is_empty()));
        prop_assert!(errors.iter().all(|error| error.line().is_some_and(|line| (1..=count).contains(&line))));
        prop_assert!(lines.windows(2).all(|pair| pair[0].place.line < pair[1].place.line));
    }
}
