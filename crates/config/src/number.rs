//! Whole numbers as the original reads them.

/// Why a word is not a number of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotInt {
    NotANumber,
    OutOfRange,
}

/// A decimal, `0x` hexadecimal or `0` octal number that fits into 32 bits with sign.
pub(crate) fn int(word: &str) -> Result<i32, NotInt> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => (16, hexadecimal),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NotInt::NotANumber);
    }
    // Only too many digits can be wrong now.
    let magnitude = i64::from_str_radix(digits, radix).map_err(|_| NotInt::OutOfRange)?;
    i32::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| NotInt::OutOfRange)
}

/// `value`, or nothing for zero and below: the original's "no limit".
pub(crate) fn positive(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|&value| value > 0)
}

/// `value`, or nothing for zero and below, for values a range check has held below 65536.
pub(crate) fn positive_u16(value: i32) -> Option<u16> {
    u16::try_from(value).ok().filter(|&value| value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_signs_and_bounds() {
        for (word, expected) in [
            ("0", Ok(0)),
            ("1883", Ok(1883)),
            ("+7", Ok(7)),
            ("-1", Ok(-1)),
            ("0x75b", Ok(1883)),
            ("0X75B", Ok(1883)),
            ("010", Ok(8)),
            ("2147483647", Ok(i32::MAX)),
            ("-2147483648", Ok(i32::MIN)),
            ("2147483648", Err(NotInt::OutOfRange)),
            ("99999999999999999999999", Err(NotInt::OutOfRange)),
            ("", Err(NotInt::NotANumber)),
            ("-", Err(NotInt::NotANumber)),
            ("0x", Err(NotInt::NotANumber)),
            ("01883", Err(NotInt::NotANumber)),
            ("--1", Err(NotInt::NotANumber)),
            ("12a", Err(NotInt::NotANumber)),
            ("1_000", Err(NotInt::NotANumber)),
            ("١", Err(NotInt::NotANumber)),
        ] {
            assert_eq!(int(word), expected, "{word}");
        }
    }
}
