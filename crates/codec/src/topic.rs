//! Topic names and filters.
//!
//! Both are compared byte by byte, without any normalisation. // [MQTT-4.7.3-4]

use crate::Error;

/// Levels that a topic name or filter may have; `a/b` has two. For a shared subscription the filter alone counts.
pub const LEVELS_MAX: usize = 200;

/// The longest topic name or filter, in bytes. // [MQTT-4.7.3-3]
pub const BYTES_MAX: usize = 65_535;

const SHARE: &str = "$share";

/// Whether messages may be published to this topic: not empty, no wildcard, no NUL, not too long, not too deep.
#[inline]
pub fn validate_name(name: &str) -> Result<(), Error> {
    // [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
    if name.is_empty() || has_any(name.as_bytes(), [0, b'+', b'#']) || is_too_big(name) {
        return Err(Error::TopicNameInvalid);
    }
    Ok(())
}

/// Whether this can be subscribed to: a filter, or `$share/<group>/<filter>`.
pub fn validate_filter(filter: &str) -> Result<(), Error> {
    let filter = parse_shared(filter)?.map_or(filter, |(_, filter)| filter);
    // [MQTT-4.7.3-1] [MQTT-4.7.3-2]
    if filter.is_empty() || has_any(filter.as_bytes(), [0, 0, 0]) || is_too_big(filter) {
        return Err(Error::TopicFilterInvalid);
    }
    let mut after_multi = false;
    for level in levels(filter) {
        // [MQTT-4.7.1-1] `#` is the last level; [MQTT-4.7.1-2] a wildcard fills its level.
        if after_multi || (level.len() > 1 && is_wildcard(level)) {
            return Err(Error::TopicFilterInvalid);
        }
        after_multi = level == "#";
    }
    Ok(())
}

/// Whether a valid filter selects a valid name. The filter of a shared subscription is to be taken out with
/// [`parse_shared`] first.
pub fn matches(filter: &str, name: &str) -> bool {
    // [MQTT-4.7.2-1]
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut given) = (levels(filter), levels(name));
    loop {
        match (wanted.next(), given.next()) {
            // Also where the name has ended: `a/#` selects `a`.
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

/// Whether the text holds `+` or `#` anywhere.
#[inline]
pub fn is_wildcard(filter: &str) -> bool {
    has_any(filter.as_bytes(), [b'+', b'#', b'#'])
}

/// Group and filter of `$share/<group>/<filter>`; `None` for any other filter. The filter inside is not looked at
/// beyond that there is one.
pub fn parse_shared(filter: &str) -> Result<Option<(&str, &str)>, Error> {
    let Some(rest) = filter.strip_prefix(SHARE) else { return Ok(None) };
    if rest.is_empty() {
        return Err(Error::TopicFilterInvalid);
    }
    let Some(rest) = rest.strip_prefix('/') else { return Ok(None) };
    match rest.split_once('/') {
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        Some((group, filter)) if !group.is_empty() && !is_wildcard(group) && !filter.is_empty() => {
            Ok(Some((group, filter)))
        }
        _ => Err(Error::TopicFilterInvalid),
    }
}

/// The levels of a name or filter, in their order; an empty one is a level too.
#[inline]
pub fn levels(topic: &str) -> Levels<'_> {
    Levels(Some(topic))
}

/// See [`levels`].
#[derive(Clone, Debug)]
pub struct Levels<'a>(Option<&'a str>);

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        // Levels are short: a plain loop finds their end sooner than a search set up for long texts.
        let Some(end) = rest.bytes().position(|b| b == b'/') else { return self.0.take() };
        let (level, rest) = rest.split_at_checked(end)?;
        self.0 = rest.get(1..);
        Some(level)
    }
}

/// Whether one of `wanted` is among the bytes. Looked at in whole words, the last of which may overlap the one before:
/// topics are short, and byte by byte the remainder would cost more than all else.
#[inline]
pub(crate) fn has_any(bytes: &[u8], wanted: [u8; 3]) -> bool {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (words, _) = bytes.as_chunks::<8>();
        let inner = words.get(1..).unwrap_or_default();
        return word_has(*first, wanted) | word_has(*last, wanted)
            || inner.iter().any(|w| word_has(*w, wanted));
    }
    bytes.iter().any(|byte| wanted.contains(byte))
}

#[inline]
fn word_has(word: [u8; 8], wanted: [u8; 3]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_ne_bytes(word);
    // a byte that is zero borrows, and so does none other unless a lower one has
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let found = wanted.map(|byte| zeros(word ^ (ONES * u64::from(byte))));
    found.into_iter().fold(0, |all, one| all | one) & (ONES << 7) != 0
}

#[inline]
fn is_too_big(topic: &str) -> bool {
    // As many bytes as levels are needed at least, less one: short topics need no counting.
    topic.len() >= LEVELS_MAX
        && (topic.len() > BYTES_MAX || topic.bytes().filter(|&b| b == b'/').count() >= LEVELS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};
    use proptest::prelude::*;

    #[test]
    fn names() {
        for good in
            ["a", "/", "a/b", "$SYS/x", " ", "a//b", "\u{1}", "\u{FEFF}a", "Ω/\u{10FFFF}", "$share/g/a"]
        {
            assert_eq!(validate_name(good), Ok(()), "{good:?}");
        }
        // Faults B01, B04.
        for bad in ["", "+", "#", "a/+", "a/#/b", "a+", "a\0b", "0123456789abcdef+", "0123456789abcde#"] {
            assert_eq!(validate_name(bad), Err(Error::TopicNameInvalid), "{bad:?}");
        }
    }

    #[test]
    fn filters() {
        for good in
            ["#", "+", "a/#", "+/+", "/", "a/+/b", "//#", "$SYS/#", "$share/g/#", "$share/g//", "$shared/#"]
        {
            assert_eq!(validate_filter(good), Ok(()), "{good:?}");
        }
        // Fault B07.
        for bad in [
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+",
            "+a",
            "++",
            "##",
            "a/b+/c",
            "a\0",
            "$share",
            "$share/",
            "$share/g",
            "$share//t",
            "$share/g+/t",
            "$share/g#/t",
            "$share/g/",
            "$share/g/a#",
        ] {
            assert_eq!(validate_filter(bad), Err(Error::TopicFilterInvalid), "{bad:?}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        // Fault B05.
        let deep = |levels: usize| "/".repeat(levels - 1);
        assert_eq!(validate_name(&deep(LEVELS_MAX)), Ok(()));
        assert_eq!(validate_filter(&deep(LEVELS_MAX)), Ok(()));
        assert_eq!(validate_filter(&(String::from("$share/g/") + &deep(LEVELS_MAX))), Ok(()));
        assert_eq!(validate_name(&deep(LEVELS_MAX + 1)), Err(Error::TopicNameInvalid));
        assert_eq!(validate_filter(&deep(LEVELS_MAX + 1)), Err(Error::TopicFilterInvalid));
        assert_eq!(validate_name(&"/".repeat(BYTES_MAX)), Err(Error::TopicNameInvalid));
        assert_eq!(validate_name(&"a/".repeat(BYTES_MAX / 2)), Err(Error::TopicNameInvalid));
        assert_eq!(validate_name(&"a".repeat(BYTES_MAX)), Ok(()));
        assert_eq!(validate_name(&"a".repeat(BYTES_MAX + 1)), Err(Error::TopicNameInvalid));
    }

    #[test]
    fn shared_filters() {
        assert_eq!(parse_shared("a/b"), Ok(None));
        assert_eq!(parse_shared("$Share/g/a"), Ok(None));
        assert_eq!(parse_shared("$shared"), Ok(None));
        assert_eq!(parse_shared("$share/g/a/b"), Ok(Some(("g", "a/b"))));
        assert_eq!(parse_shared("$share/g//"), Ok(Some(("g", "/"))));
        assert_eq!(parse_shared("$share/g"), Err(Error::TopicFilterInvalid));
    }

    #[test]
    fn matching() {
        // The specification's examples first. // [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1]
        let yes = [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/"),
            ("$SYS/#", "$SYS"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("#", "a/b"),
            ("+/+/+", "//"),
            ("a/$b", "a/$b"),
            ("a/+", "a/$b"),
            ("Ω/+", "Ω/ж"),
        ];
        for (filter, name) in yes {
            assert!(matches(filter, name), "{filter} should match {name}");
        }
        let no = [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/a"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("a", "A"),
            ("a/b", "a"),
            ("a", "a/b"),
            ("a", "a/"),
            ("a/b/#", "a"),
        ];
        for (filter, name) in no {
            assert!(!matches(filter, name), "{filter} should not match {name}");
        }
    }

    /// The rules spelt out once more, by recursion over lists of levels.
    fn matches_naive(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            ([f, filter @ ..], [n, name @ ..]) => (*f == "+" || f == n) && matches_naive(filter, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_naive_rule(filter in "([ab+]?/){0,3}[ab+#]?", name in "([ab$]?/){0,3}[ab]?") {
            prop_assume!(validate_filter(&filter).is_ok() && validate_name(&name).is_ok());
            let hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
            let (f, n) = (levels(&filter).collect::<Vec<_>>(), levels(&name).collect::<Vec<_>>());
            prop_assert_eq!(matches(&filter, &name), !hidden && matches_naive(&f, &n));
        }

        #[test]
        fn every_valid_name_is_a_filter_that_matches_itself(name in "[a-c/$Ω]{1,20}") {
            prop_assume!(!name.starts_with("$share"));
            prop_assert_eq!(validate_filter(&name), Ok(()));
            prop_assert!(matches(&name, &name));
        }

        #[test]
        fn bytes_are_found_wherever_they_are(at in 0_usize..64, len in 1_usize..64) {
            let mut bytes = alloc::vec![b'x'; len];
            prop_assert!(!has_any(&bytes, [0, b'+', b'#']));
            bytes[at % len] = b'#';
            prop_assert!(has_any(&bytes, [0, b'+', b'#']));
        }
    }
}
