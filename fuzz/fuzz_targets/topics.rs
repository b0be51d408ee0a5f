//! Filters against names, compared with the rules spelt out naively. A line break parts the filter from the name.
#![no_main]

use grovemq_codec::topic::{
    LEVELS_MAX, is_wildcard, levels, matches, parse_shared, validate_filter, validate_name,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (filter, name) = data.split_once('\n').unwrap_or((data, data));
    assert!(levels(filter).eq(filter.split('/')));
    assert_eq!(is_wildcard(filter), filter.contains(['+', '#']));

    let name_is_good = !name.is_empty() && !name.contains(['+', '#', '\0']) && fits(name);
    assert_eq!(validate_name(name).is_ok(), name_is_good);

    let inner = match parse_shared(filter) {
        Ok(None) => {
            assert!(filter != "$share" && !filter.starts_with("$share/"));
            Some(filter)
        }
        Ok(Some((group, inner))) => {
            assert_eq!(["$share", group, inner].join("/"), filter);
            assert!(!group.is_empty() && !group.contains(['/', '+', '#']) && !inner.is_empty());
            Some(inner)
        }
        Err(_) => None,
    };
    let filter_is_good = inner.is_some_and(filter_is_good);
    assert_eq!(validate_filter(filter).is_ok(), filter_is_good);

    // Also where they are not valid: an answer, no panic.
    let result = matches(inner.unwrap_or(filter), name);
    if let (Some(filter), true, true) = (inner, filter_is_good, name_is_good) {
        assert_eq!(result, matches_naively(filter, name));
    }
});

fn fits(topic: &str) -> bool {
    topic.len() <= 65_535 && topic.split('/').count() <= LEVELS_MAX
}

fn filter_is_good(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let last = levels.len() - 1;
    let is_level = |(i, level): (usize, &&str)| match *level {
        "#" => i == last,
        level => level == "+" || !level.contains(['+', '#']),
    };
    !filter.is_empty() && !filter.contains('\0') && fits(filter) && levels.iter().enumerate().all(is_level)
}

fn matches_naively(filter: &str, name: &str) -> bool {
    let wanted: Vec<_> = filter.split('/').collect();
    let given: Vec<_> = name.split('/').collect();
    if given[0].starts_with('$') && matches!(wanted[0], "+" | "#") {
        return false;
    }
    let (wanted, is_open) = match wanted.split_last() {
        Some((&"#", wanted)) => (wanted, true),
        _ => (&wanted[..], false),
    };
    let is_long_enough = if is_open { given.len() >= wanted.len() } else { given.len() == wanted.len() };
    is_long_enough && wanted.iter().zip(&given).all(|(wanted, given)| *wanted == "+" || wanted == given)
}
