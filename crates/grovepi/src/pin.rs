//! The ports of the board, and what each is able to do.

use core::fmt;
use core::str::FromStr;

/// A Grove port. Every port can be read and driven digitally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pin {
    D2,
    D3,
    D4,
    D5,
    D6,
    D7,
    D8,
    A0,
    A1,
    A2,
}

/// A port with an analog-to-digital converter: A0, A1 or A2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnalogPin(Pin);

/// A port that can be driven with a duty cycle: D3, D5 or D6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PwmPin(Pin);

/// A port of which the next line is used as well, by a display: D2 to D7. Nothing else can be on the port after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WidePin(Pin);

/// What a port was asked to do beyond digital input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    AnalogInput,
    Pwm,
    Display,
}

/// The port exists but is unable to do what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongPort {
    pub pin: Pin,
    pub wanted: Capability,
}

/// The text names no port of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePinError;

impl Pin {
    /// All ports, in the order printed on the board.
    pub const ALL: [Self; 10] =
        [Self::D2, Self::D3, Self::D4, Self::D5, Self::D6, Self::D7, Self::D8, Self::A0, Self::A1, Self::A2];

    /// The port's number in the digital commands of the firmware; analog ports follow the digital ones from 14 on.
    pub const fn number(self) -> u8 {
        match self {
            Self::D2 => 2,
            Self::D3 => 3,
            Self::D4 => 4,
            Self::D5 => 5,
            Self::D6 => 6,
            Self::D7 => 7,
            Self::D8 => 8,
            Self::A0 => 14,
            Self::A1 => 15,
            Self::A2 => 16,
        }
    }

    /// The port's name as printed on the board.
    pub const fn name(self) -> &'static str {
        match self {
            Self::D2 => "D2",
            Self::D3 => "D3",
            Self::D4 => "D4",
            Self::D5 => "D5",
            Self::D6 => "D6",
            Self::D7 => "D7",
            Self::D8 => "D8",
            Self::A0 => "A0",
            Self::A1 => "A1",
            Self::A2 => "A2",
        }
    }
}

impl AnalogPin {
    pub const A0: Self = Self(Pin::A0);
    pub const A1: Self = Self(Pin::A1);
    pub const A2: Self = Self(Pin::A2);

    pub const fn pin(self) -> Pin {
        self.0
    }

    /// The converter's channel, which is the port's number in the analog command.
    pub const fn channel(self) -> u8 {
        match self.0 {
            Pin::A1 => 1,
            Pin::A2 => 2,
            _ => 0,
        }
    }
}

impl PwmPin {
    pub const D3: Self = Self(Pin::D3);
    pub const D5: Self = Self(Pin::D5);
    pub const D6: Self = Self(Pin::D6);

    pub const fn pin(self) -> Pin {
        self.0
    }
}

impl WidePin {
    pub const D2: Self = Self(Pin::D2);
    pub const D3: Self = Self(Pin::D3);
    pub const D4: Self = Self(Pin::D4);
    pub const D5: Self = Self(Pin::D5);
    pub const D6: Self = Self(Pin::D6);
    pub const D7: Self = Self(Pin::D7);

    pub const fn pin(self) -> Pin {
        self.0
    }

    /// The port whose line is used as well.
    pub const fn next(self) -> Pin {
        match self.0 {
            Pin::D2 => Pin::D3,
            Pin::D3 => Pin::D4,
            Pin::D4 => Pin::D5,
            Pin::D5 => Pin::D6,
            Pin::D6 => Pin::D7,
            _ => Pin::D8,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        self.0.number()
    }
}

impl TryFrom<Pin> for AnalogPin {
    type Error = WrongPort;

    fn try_from(pin: Pin) -> Result<Self, WrongPort> {
        match pin {
            Pin::A0 | Pin::A1 | Pin::A2 => Ok(Self(pin)),
            _ => Err(WrongPort { pin, wanted: Capability::AnalogInput }),
        }
    }
}

impl TryFrom<Pin> for PwmPin {
    type Error = WrongPort;

    fn try_from(pin: Pin) -> Result<Self, WrongPort> {
        match pin {
            Pin::D3 | Pin::D5 | Pin::D6 => Ok(Self(pin)),
            _ => Err(WrongPort { pin, wanted: Capability::Pwm }),
        }
    }
}

impl TryFrom<Pin> for WidePin {
    type Error = WrongPort;

    fn try_from(pin: Pin) -> Result<Self, WrongPort> {
        match pin {
            Pin::D2 | Pin::D3 | Pin::D4 | Pin::D5 | Pin::D6 | Pin::D7 => Ok(Self(pin)),
            // the firmware has no place for a display there
            Pin::D8 | Pin::A0 | Pin::A1 | Pin::A2 => Err(WrongPort { pin, wanted: Capability::Display }),
        }
    }
}

impl FromStr for Pin {
    type Err = ParsePinError;

    fn from_str(text: &str) -> Result<Self, ParsePinError> {
        Self::ALL.into_iter().find(|pin| pin.name().eq_ignore_ascii_case(text)).ok_or(ParsePinError)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for WrongPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Capability::AnalogInput => write!(f, "{} has no analog input; A0, A1 and A2 have", self.pin),
            Capability::Pwm => write!(f, "{} cannot be dimmed; D3, D5 and D6 can", self.pin),
            Capability::Display => write!(f, "{} takes no display; D2 to D7 do", self.pin),
        }
    }
}

impl fmt::Display for ParsePinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a port of the board; the ports are D2 to D8 and A0 to A2")
    }
}

impl core::error::Error for WrongPort {}
impl core::error::Error for ParsePinError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn every_name_parses_back_in_either_case() {
        for pin in Pin::ALL {
            assert_eq!(pin.to_string().parse(), Ok(pin));
            assert_eq!(pin.to_string().to_lowercase().parse(), Ok(pin));
        }
        for text in ["", "D1", "D9", "A3", "3", "D33", "Ä0"] {
            assert_eq!(text.parse::<Pin>(), Err(ParsePinError), "{text}");
        }
    }

    #[test]
    fn capabilities_are_those_of_the_hardware() {
        let analog: Vec<_> = Pin::ALL.into_iter().filter_map(|p| AnalogPin::try_from(p).ok()).collect();
        assert_eq!(analog, [AnalogPin::A0, AnalogPin::A1, AnalogPin::A2]);
        assert_eq!(analog.iter().map(|p| p.channel()).collect::<Vec<_>>(), [0, 1, 2]);
        let pwm: Vec<_> = Pin::ALL.into_iter().filter_map(|p| PwmPin::try_from(p).ok()).collect();
        assert_eq!(pwm, [PwmPin::D3, PwmPin::D5, PwmPin::D6]);
        let wide: Vec<_> = Pin::ALL.into_iter().filter_map(|p| WidePin::try_from(p).ok()).collect();
        assert_eq!(wide.len(), 6);
        assert!(wide.iter().all(|p| p.next().number() == p.number() + 1));
        assert_eq!(
            PwmPin::try_from(Pin::D4).unwrap_err().to_string(),
            "D4 cannot be dimmed; D3, D5 and D6 can"
        );
    }
}
