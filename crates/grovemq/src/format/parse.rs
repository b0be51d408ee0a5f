//! The format's text, read.

use super::{Field, Format, Layout, Piece};
use std::{fmt, iter::Peekable, str::Chars};

/// What help says about formats.
pub(crate) const HELP: &str = "\
Formats (-F): everything but these stands for itself.
  %t topic      %p payload    %x %X payload in hexadecimal   %d %f payload as an 8- or 4-byte float
  %l length     %q QoS        %r retain flag                 %m packet id
  %j message as JSON, its payload as text     %J the same, its payload being JSON itself
  %A topic alias           %C content type   %D correlation data   %E message expiry
  %F payload format        %P user properties   %R response topic   %S subscription id
  %I date and time         %U Unix time      %% a percent sign
  @Y, @H, ...: as strftime's %Y, %H, ...     @N nanoseconds         @@ an at sign
  \\\\ \\0 \\a \\e \\n \\r \\t \\v: as in C
Before the letter: - (to the left), 0 (fill with zeros), least width, a dot and the greatest width.
With a mark behind it, %x takes the number after the dot as the size of groups of digits: %.2:x
";

/// Field widths above this are taken for this.
const WIDTH_MAX: usize = 65_535;

/// Why a text is no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatError {
    IncompleteField,
    InvalidField(char),
    IncompleteEscape,
    InvalidEscape(char),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncompleteField => f.write_str("Incomplete format specifier."),
            Self::InvalidField(letter) => write!(f, "Invalid format specifier '{letter}'."),
            Self::IncompleteEscape => f.write_str("Incomplete escape specifier."),
            Self::InvalidEscape(letter) => write!(f, "Invalid escape specifier '{letter}'."),
        }
    }
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let piece = match c {
                '%' => {
                    let (field, layout) = field(&mut chars)?;
                    Piece::Field(field, layout)
                }
                '@' => match chars.next().ok_or(FormatError::IncompleteField)? {
                    '@' => {
                        literal.push('@');
                        continue;
                    }
                    'N' => Piece::Nanoseconds,
                    letter => Piece::Time(letter),
                },
                '\\' => {
                    literal.push(escape(&mut chars)?);
                    continue;
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }
}

fn field(chars: &mut Peekable<Chars<'_>>) -> Result<(Field, Layout), FormatError> {
    let mut layout = Layout {
        left: chars.next_if_eq(&'-').is_some(),
        zero: chars.next_if_eq(&'0').is_some(),
        width: number(chars).unwrap_or(0),
        ..Layout::default()
    };
    if chars.next_if_eq(&'.').is_some() {
        layout.precision = Some(number(chars).unwrap_or(0));
    }
    let mut letter = chars.next().ok_or(FormatError::IncompleteField)?;
    if layout.precision.is_some()
        && letter.is_ascii_punctuation()
        && let Some(hex) = chars.next_if(|&next| matches!(next, 'x' | 'X'))
    {
        layout.separator = Some(letter);
        letter = hex;
    }
    let field = match letter {
        '%' => Field::Percent,
        'A' => Field::TopicAlias,
        'C' => Field::ContentType,
        'D' => Field::CorrelationData,
        'd' => Field::Double,
        'E' => Field::MessageExpiry,
        'F' => Field::PayloadFormat,
        'f' => Field::Float,
        'I' => Field::Date,
        'j' => Field::JsonText,
        'J' => Field::JsonValue,
        'l' => Field::PayloadLen,
        'm' => Field::PacketId,
        'P' => Field::UserProperties,
        'p' => Field::Payload,
        'q' => Field::Qos,
        'R' => Field::ResponseTopic,
        'r' => Field::Retain,
        'S' => Field::SubscriptionId,
        't' => Field::Topic,
        'U' => Field::UnixTime,
        'x' => Field::HexLower,
        'X' => Field::HexUpper,
        other => return Err(FormatError::InvalidField(other)),
    };
    Ok((field, layout))
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let so_far: usize = number.unwrap_or(0);
        number = Some(so_far.saturating_mul(10).saturating_add(digit as usize).min(WIDTH_MAX));
    }
    number
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> Result<char, FormatError> {
    Ok(match chars.next().ok_or(FormatError::IncompleteEscape)? {
        '\\' => '\\',
        '0' => '\0',
        'a' => '\u{7}',
        'e' => '\u{1b}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => return Err(FormatError::InvalidEscape(other)),
    })
}
