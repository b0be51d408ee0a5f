//! "Did you mean …?"

use crate::parse::Line;
use crate::table;

/// What the user may have meant by a line whose name is no directive.
pub(crate) fn for_unknown(line: &Line) -> Option<String> {
    let name = line.name.as_str();
    if name.starts_with('#') {
        return Some("A comment must begin in the first column.".to_owned());
    }
    if name.contains('\t') {
        return Some("A tab does not separate name and value: use a space.".to_owned());
    }
    if let Some((name, value)) = name.split_once(['=', ':']) {
        let option = table::find(name)?;
        return Some(match value {
            "" => format!("Write '{} value', without '=' or ':'.", option.name),
            value => format!("Write '{} {}'.", option.name, crate::diagnostic::shown(value)),
        });
    }
    let folded = name.to_ascii_lowercase().replace('-', "_");
    if folded != name
        && let Some(option) = table::find(&folded)
    {
        return Some(format!("Did you mean '{}'? Names are case-sensitive.", option.name));
    }
    let names = table::OPTIONS.iter().flat_map(table::Opt::names);
    closest(&folded, names).map(|name| format!("Did you mean '{name}'?"))
}

/// The candidate a slip of the fingers away from `word`, if there is one.
pub(crate) fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const WORD_BYTES_MAX: usize = 64;
    let distance_max = (word.len() / 3).min(3);
    if word.len() > WORD_BYTES_MAX || distance_max == 0 {
        return None;
    }
    candidates
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= distance_max)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn hint(text: &str) -> Option<String> {
        let (lines, _) = crate::parse(text, Path::new("t"));
        for_unknown(&lines[0])
    }

    #[test]
    fn common_slips() {
        for (text, expected) in [
            ("alow_anonymous true", "Did you mean 'allow_anonymous'?"),
            ("Allow_Anonymous true", "Did you mean 'allow_anonymous'? Names are case-sensitive."),
            ("allow-anonymous true", "Did you mean 'allow_anonymous'? Names are case-sensitive."),
            ("passwordfile /x", "Did you mean 'password_file'?"),
            ("listner 1883", "Did you mean 'listener'?"),
            ("prot 1883", "Did you mean 'port'?"),
            ("allow_anonymous=true", "Write 'allow_anonymous true'."),
            ("allow_anonymous: true", "Write 'allow_anonymous value', without '=' or ':'."),
            ("port\t1883", "A tab does not separate name and value: use a space."),
            (" # comment", "A comment must begin in the first column."),
            ("completely_different 1", ""),
            ("x", ""),
        ] {
            assert_eq!(hint(text).unwrap_or_default(), expected, "{text}");
        }
        assert_eq!(hint(&"ü".repeat(5000)), None);
    }
}
