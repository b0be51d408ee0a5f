//! `@X`: what C's strftime makes of `%X` in the C locale.

use jiff::Zoned;

/// The text for one letter. An unknown one stands for itself, behind a percent sign.
pub(super) fn expand(letter: char, now: &Zoned) -> String {
    let pattern = match letter {
        '%' => "%%",
        'a' => "%a",
        'A' => "%A",
        'b' | 'h' => "%b",
        'B' => "%B",
        'c' => "%a %b %e %H:%M:%S %Y",
        'C' => "%C",
        'd' => "%d",
        'D' | 'x' => "%m/%d/%y",
        'e' => "%e",
        'F' => "%Y-%m-%d",
        'g' => "%g",
        'G' => "%G",
        'H' => "%H",
        'I' => "%I",
        'j' => "%j",
        'k' => "%k",
        'l' => "%l",
        'm' => "%m",
        'M' => "%M",
        'n' => "\n",
        'p' => "%p",
        'P' => "%P",
        'r' => "%I:%M:%S %p",
        'R' => "%H:%M",
        's' => "%s",
        'S' => "%S",
        't' => "\t",
        'T' | 'X' => "%H:%M:%S",
        'u' => "%u",
        'U' => "%U",
        'V' => "%V",
        'w' => "%w",
        'W' => "%W",
        'y' => "%y",
        'Y' => "%Y",
        'z' => "%z",
        'Z' => "%Z",
        other => return format!("%{other}"),
    };
    now.strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Debian's `mosquitto_sub` printed for each letter at this time, in UTC.
    #[test]
    fn letters() {
        let now: Zoned = "2026-11-22T16:21:27[UTC]".parse().unwrap();
        let expected = [
            ('c', "Sun Nov 22 16:21:27 2026"),
            ('x', "11/22/26"),
            ('X', "16:21:27"),
            ('p', "PM"),
            ('Z', "UTC"),
            ('z', "+0000"),
            ('j', "326"),
            ('U', "47"),
            ('V', "47"),
            ('G', "2026"),
            ('g', "26"),
            ('e', "22"),
            ('k', "16"),
            ('l', " 4"),
            ('P', "pm"),
            ('D', "11/22/26"),
            ('F', "2026-11-22"),
            ('T', "16:21:27"),
            ('R', "16:21"),
            ('r', "04:21:27 PM"),
            ('h', "Nov"),
            ('C', "20"),
            ('u', "7"),
            ('w', "0"),
            ('W', "46"),
            ('y', "26"),
            ('n', "\n"),
            ('t', "\t"),
            ('%', "%"),
            ('q', "%q"),
            ('f', "%f"),
            ('é', "%é"),
        ];
        for (letter, text) in expected {
            assert_eq!(expand(letter, &now), text, "@{letter}");
        }
    }
}
