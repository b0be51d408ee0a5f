//! Grove sensors that are more than a level or a voltage. A button, a PIR motion sensor and a touch sensor are a
//! [`Board::digital_read`]; light, sound and moisture are a [`Board::level`].

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::board::{ANALOG_MAX, Board, Error, Reply};
use crate::command::Command;
use crate::pin::{AnalogPin, Pin};
use crate::units::{Celsius, Centimetres, Degrees, Humidity, Level};

/// The ultrasonic ranger hears no echo from further away, in centimetres.
pub const DISTANCE_MAX: u16 = 500;

/// The rotary angle sensor's way from stop to stop.
const ANGLE_MAX: f32 = 300.0;
/// The firmware stops waiting for an echo after 75 ms, which is this many centimetres; no reply says more.
const ECHO_CM_MAX: u16 = 1293;

/// Which of the temperature and humidity sensors is on the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhtModel {
    /// The blue one: whole degrees from 0 °C to 50 °C.
    Dht11,
    /// The white one, the "pro": tenths from −40 °C to 80 °C.
    Dht22,
    /// As the DHT22.
    Dht21,
    /// As the DHT22.
    Am2301,
}

/// What a DHT sensor tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Climate {
    pub temperature: Celsius,
    pub humidity: Humidity,
}

/// The thermistor of an analog temperature sensor, by the version printed on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thermistor {
    V1_0,
    V1_1,
    #[default]
    V1_2,
}

impl DhtModel {
    const fn number(self) -> u8 {
        match self {
            Self::Dht11 => 0,
            Self::Dht22 => 1,
            Self::Dht21 => 2,
            Self::Am2301 => 3,
        }
    }

    /// The temperatures it can measure, °C.
    fn range(self) -> core::ops::RangeInclusive<f32> {
        match self {
            // some a little beyond of what they promise
            Self::Dht11 => -20.0..=60.0,
            Self::Dht22 | Self::Dht21 | Self::Am2301 => -40.0..=80.0,
        }
    }

    /// Two floats after the status byte. Without a sensor the firmware sends what lies in its memory, or "not a number".
    fn parse(self, reply: &Reply) -> Option<Climate> {
        let [_, t0, t1, t2, t3, h0, h1, h2, h3] = *reply.all();
        let (celsius, percent) = (f32::from_le_bytes([t0, t1, t2, t3]), f32::from_le_bytes([h0, h1, h2, h3]));
        // both zero is what the firmware says that does not know the model
        let plausible = self.range().contains(&celsius)
            && (0.0..=100.0).contains(&percent)
            && (celsius != 0.0 || percent != 0.0)
            && is_tenths(celsius)
            && is_tenths(percent);
        plausible.then_some(Climate { temperature: Celsius(celsius), humidity: Humidity(percent) })
    }
}

impl Thermistor {
    /// The material constant in kelvin.
    const fn beta(self) -> f32 {
        match self {
            Self::V1_0 => 3975.0,
            Self::V1_1 | Self::V1_2 => 4250.0,
        }
    }

    /// The temperature for a reading of the converter: the thermistor has its nominal resistance, that of the resistor
    /// beside it, at 25 °C. `None` at the ends, where nothing is connected.
    pub fn temperature(self, reading: u16) -> Option<Celsius> {
        if !(1..ANALOG_MAX).contains(&reading) {
            return None;
        }
        let reading = f32::from(reading);
        let ratio = (f32::from(ANALOG_MAX) - reading) / reading;
        let kelvin = 1.0 / (libm::logf(ratio) / self.beta() + 1.0 / 298.15);
        Some(Celsius(kelvin - 273.15))
    }
}

impl<I2C: I2c, DELAY: DelayNs> Board<I2C, DELAY> {
    /// Measures a distance with the ultrasonic ranger; `None` if nothing within [`DISTANCE_MAX`] reflects.
    pub fn distance(&mut self, pin: Pin) -> Result<Option<Centimetres>, Error<I2C::Error>> {
        self.query(Command::Ultrasonic, [pin.number(), 0, 0], |_, reply| {
            let [_, high, low, ..] = *reply.all();
            let centimetres = u16::from_be_bytes([high, low]);
            let in_reach = (1..=DISTANCE_MAX).contains(&centimetres);
            (centimetres <= ECHO_CM_MAX).then_some(in_reach.then_some(Centimetres(centimetres)))
        })
    }

    /// Asks a DHT sensor. This takes 0.3 s, in which the board does nothing else; the sensor has a new value every 2 s.
    pub fn climate(&mut self, pin: Pin, model: DhtModel) -> Result<Climate, Error<I2C::Error>> {
        self.query(Command::Dht, [pin.number(), model.number(), 0], |_, reply| model.parse(reply))
    }

    /// Reads an analog temperature sensor.
    pub fn temperature(&mut self, pin: AnalogPin, model: Thermistor) -> Result<Celsius, Error<I2C::Error>> {
        self.analog(pin, |reading| model.temperature(reading))
    }

    /// Reads a sensor without a scale: light, sound, moisture.
    pub fn level(&mut self, pin: AnalogPin) -> Result<Level, Error<I2C::Error>> {
        self.analog(pin, Level::new)
    }

    /// Reads the rotary angle sensor, 0° to 300°.
    pub fn angle(&mut self, pin: AnalogPin) -> Result<Degrees, Error<I2C::Error>> {
        self.analog(pin, |reading| Some(Degrees(f32::from(reading) * ANGLE_MAX / f32::from(ANALOG_MAX))))
    }
}

/// The sensors count in tenths at most; bytes that are no value hardly ever do.
fn is_tenths(value: f32) -> bool {
    let tenths = value * 10.0;
    libm::fabsf(tenths - libm::roundf(tenths)) < 0.01
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thermistors_have_25_degrees_in_the_middle() {
        for model in [Thermistor::V1_0, Thermistor::V1_1, Thermistor::V1_2] {
            let Celsius(middle) = model.temperature(512).unwrap();
            assert!((middle - 25.0).abs() < 0.1, "{middle}");
            assert_eq!(model.temperature(0), None);
            assert_eq!(model.temperature(ANALOG_MAX), None);
        }
        let Celsius(warm) = Thermistor::V1_2.temperature(700).unwrap();
        let Celsius(old) = Thermistor::V1_0.temperature(700).unwrap();
        assert!((warm - 42.1).abs() < 0.1 && (old - 43.4).abs() < 0.1, "{warm} {old}");
    }

    proptest! {
        #[test]
        fn warmer_is_more(a in 1..ANALOG_MAX, b in 1..ANALOG_MAX) {
            let temperature = |reading| Thermistor::V1_2.temperature(reading).unwrap();
            prop_assert!(temperature(a.min(b)) <= temperature(a.max(b)));
        }
    }
}
