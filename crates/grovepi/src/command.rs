//! The commands of the firmware that this driver uses, as one table.

use core::fmt;

/// A command of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    DigitalRead,
    DigitalWrite,
    AnalogRead,
    AnalogWrite,
    PinMode,
    Ultrasonic,
    FirmwareVersion,
    Dht,
    LedBarInit,
    LedBarOrientation,
    LedBarLevel,
    LedBarLed,
    LedBarToggle,
    LedBarBits,
    LedBarRead,
    FourDigitInit,
    FourDigitBrightness,
    FourDigitNumber,
    FourDigitPadded,
    FourDigitDigit,
    FourDigitSegments,
    FourDigitScore,
    FourDigitOn,
    FourDigitOff,
    ChainColor,
    ChainInit,
    ChainTest,
    ChainPattern,
    ChainModulo,
    ChainLevel,
}

/// One row of the protocol's table.
pub(crate) struct Row {
    pub(crate) code: u8,
    name: &'static str,
    pub(crate) reply_bytes: ReplyBytes,
    pub(crate) patience: Patience,
}

/// How long a reply is in each of the two styles.
pub(crate) struct ReplyBytes {
    pub(crate) plain: u8,
    pub(crate) echo: u8,
}

/// How much time a command is given.
pub(crate) struct Patience {
    /// Before the first look at the answer.
    pub(crate) settle_us: u32,
    /// Looks at the answer of one sending.
    pub(crate) polls: u32,
    /// Sendings before an error is reported.
    pub(crate) attempts: u32,
}

/// The firmware's main loop needs about as long for what is not slow by nature.
const QUICK: Patience = Patience { settle_us: 2_000, polls: 20, attempts: 4 };
/// The firmware waits up to 75 ms for an echo.
const ECHO: Patience = Patience { settle_us: 2_000, polls: 40, attempts: 3 };
/// The firmware rests 250 ms before it asks the sensor, and 20 ms more are the sensor's own; meanwhile it does nothing
/// else. The sensor cannot be asked again soon.
const CLIMATE: Patience = Patience { settle_us: 260_000, polls: 40, attempts: 2 };
/// Each LED of a chain that is set makes the firmware send the whole chain anew.
const CHAIN: Patience = Patience { settle_us: 2_000, polls: 100, attempts: 4 };

impl Command {
    /// All commands.
    pub const ALL: [Self; 30] = [
        Self::DigitalRead,
        Self::DigitalWrite,
        Self::AnalogRead,
        Self::AnalogWrite,
        Self::PinMode,
        Self::Ultrasonic,
        Self::FirmwareVersion,
        Self::Dht,
        Self::LedBarInit,
        Self::LedBarOrientation,
        Self::LedBarLevel,
        Self::LedBarLed,
        Self::LedBarToggle,
        Self::LedBarBits,
        Self::LedBarRead,
        Self::FourDigitInit,
        Self::FourDigitBrightness,
        Self::FourDigitNumber,
        Self::FourDigitPadded,
        Self::FourDigitDigit,
        Self::FourDigitSegments,
        Self::FourDigitScore,
        Self::FourDigitOn,
        Self::FourDigitOff,
        Self::ChainColor,
        Self::ChainInit,
        Self::ChainTest,
        Self::ChainPattern,
        Self::ChainModulo,
        Self::ChainLevel,
    ];

    #[rustfmt::skip]
    pub(crate) const fn row(self) -> Row {
        const fn asks(code: u8, name: &'static str, plain: u8, echo: u8, patience: Patience) -> Row {
            Row { code, name, reply_bytes: ReplyBytes { plain, echo }, patience }
        }
        // A command without a reply is answered with one byte that tells no more than "done".
        const fn tells(code: u8, name: &'static str, patience: Patience) -> Row {
            asks(code, name, 1, 1, patience)
        }
        match self {
            Self::DigitalRead         => asks(1, "digital read", 1, 2, QUICK),
            Self::DigitalWrite        => tells(2, "digital write", QUICK),
            Self::AnalogRead          => asks(3, "analog read", 3, 3, QUICK),
            Self::AnalogWrite         => tells(4, "analog write", QUICK),
            Self::PinMode             => tells(5, "pin mode", QUICK),
            Self::Ultrasonic          => asks(7, "ultrasonic read", 3, 3, ECHO),
            Self::FirmwareVersion     => asks(8, "firmware version", 4, 4, QUICK),
            Self::Dht                 => asks(40, "temperature and humidity", 9, 9, CLIMATE),
            Self::LedBarInit          => tells(50, "LED bar set-up", QUICK),
            Self::LedBarOrientation   => tells(51, "LED bar orientation", QUICK),
            Self::LedBarLevel         => tells(52, "LED bar level", QUICK),
            Self::LedBarLed           => tells(53, "LED bar LED", QUICK),
            Self::LedBarToggle        => tells(54, "LED bar toggle", QUICK),
            Self::LedBarBits          => tells(55, "LED bar pattern", QUICK),
            Self::LedBarRead          => asks(56, "LED bar state", 3, 3, QUICK),
            Self::FourDigitInit       => tells(70, "display set-up", QUICK),
            Self::FourDigitBrightness => tells(71, "display brightness", QUICK),
            Self::FourDigitNumber     => tells(72, "display number", QUICK),
            Self::FourDigitPadded     => tells(73, "display padded number", QUICK),
            Self::FourDigitDigit      => tells(74, "display digit", QUICK),
            Self::FourDigitSegments   => tells(75, "display segments", QUICK),
            Self::FourDigitScore      => tells(76, "display score", QUICK),
            Self::FourDigitOn         => tells(78, "display on", QUICK),
            Self::FourDigitOff        => tells(79, "display off", QUICK),
            Self::ChainColor          => tells(90, "RGB LED colour", QUICK),
            Self::ChainInit           => tells(91, "RGB LED set-up", CHAIN),
            Self::ChainTest           => tells(92, "RGB LED test", CHAIN),
            Self::ChainPattern        => tells(93, "RGB LED pattern", CHAIN),
            Self::ChainModulo         => tells(94, "RGB LED modulo", CHAIN),
            Self::ChainLevel          => tells(95, "RGB LED level", CHAIN),
        }
    }

    /// The byte that stands for the command on the bus.
    pub const fn code(self) -> u8 {
        self.row().code
    }

    /// The command that this byte stands for.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.code() == code)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_one_command() {
        for (index, command) in Command::ALL.into_iter().enumerate() {
            assert_eq!(command as usize, index);
            assert_eq!(Command::of_code(command.code()), Some(command));
        }
        assert_eq!(Command::of_code(0), None);
    }
}
