//! The driver against byte transcripts and against the simulated board.

use embedded_hal::i2c::ErrorKind;
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::pin::WidePin;
use crate::sensors::{DhtModel, Thermistor};
use crate::simulated::{Fault, Firmware, NoDelay, SimulatedBoard};
use crate::units::{Celsius, Centimetres, Color, Degrees, Humidity, Level};

const ATTEMPTS_MAX: u32 = Command::AnalogRead.row().patience.attempts;
const POLLS_MAX: u32 = Command::AnalogRead.row().patience.polls;

const VERSIONS: [Firmware; 3] = [Firmware::V1_2_7, Firmware::V1_3_0, Firmware::V1_4_0];

fn sent(block: [u8; 4]) -> Transaction {
    let [code, port, data1, data2] = block;
    Transaction::write(ADDRESS, vec![REGISTER, code, port, data1, data2])
}

fn answered(reply: &[u8]) -> Transaction {
    Transaction::read(ADDRESS, reply.to_vec())
}

fn not_acknowledged(transaction: Transaction) -> Transaction {
    transaction.with_error(ErrorKind::NoAcknowledge(embedded_hal::i2c::NoAcknowledgeSource::Address))
}

/// Runs `dialogue` against exactly these transfers.
fn transcript<T>(transfers: &[Transaction], dialogue: impl FnOnce(&mut Board<Mock, NoopDelay>) -> T) -> T {
    let mut board = Board::new(Mock::new(transfers), NoopDelay);
    let outcome = dialogue(&mut board);
    board.release().0.done();
    outcome
}

fn simulated(firmware: Firmware) -> (SimulatedBoard, Board<SimulatedBoard, NoDelay>) {
    let hardware = SimulatedBoard::new(firmware);
    (hardware.clone(), Board::new(hardware, NoDelay))
}

#[test]
fn orders_are_one_block_and_wait_for_the_end() {
    transcript(
        &[
            sent([5, 4, 1, 0]),
            answered(&[0]),
            sent([2, 4, 1, 0]),
            answered(&[23]),
            answered(&[23]),
            answered(&[0]),
            sent([4, 5, 200, 0]),
            answered(&[0]),
            sent([5, 16, 0, 0]),
            answered(&[0]),
        ],
        |board| {
            board.pin_mode(Pin::D4, PinMode::Output).unwrap();
            board.digital_write(Pin::D4, true).unwrap();
            board.pwm(PwmPin::D5, 200).unwrap();
            board.pin_mode(Pin::A2, PinMode::Input).unwrap();
        },
    );
}

#[test]
fn the_version_decides_how_replies_are_read() {
    let old = transcript(
        &[
            sent([8, 0, 0, 0]),
            answered(&[0, 1, 2, 7]),
            sent([1, 3, 0, 0]),
            answered(&[1]),
            sent([3, 0, 0, 0]),
            answered(&[0, 2, 5]),
        ],
        |board| (board.digital_read(Pin::D3).unwrap(), board.analog_read(AnalogPin::A0).unwrap()),
    );
    assert_eq!(old, (true, 0x205));
    let new = transcript(
        &[
            sent([8, 0, 0, 0]),
            answered(&[8, 1, 4, 0]),
            sent([1, 3, 0, 0]),
            answered(&[1, 0]),
            sent([3, 2, 0, 0]),
            answered(&[3, 3, 255]),
        ],
        |board| (board.digital_read(Pin::D3).unwrap(), board.analog_read(AnalogPin::A2).unwrap()),
    );
    assert_eq!(new, (false, ANALOG_MAX));
}

#[test]
fn an_unfinished_reply_is_asked_for_again() {
    let value = transcript(
        &[
            sent([8, 0, 0, 0]),
            answered(&[23, 255, 255, 255]),
            answered(&[8, 1, 3, 0]),
            sent([3, 0, 0, 0]),
            answered(&[23, 255, 255]),
            answered(&[23, 255, 255]),
            answered(&[3, 0, 17]),
        ],
        |board| board.analog_read(AnalogPin::A0),
    );
    assert_eq!(value, Ok(17));
}

#[test]
fn a_foreign_or_impossible_reply_makes_the_driver_send_again() {
    let value = transcript(
        &[
            sent([8, 0, 0, 0]),
            answered(&[255, 255, 255, 255]),
            sent([8, 0, 0, 0]),
            answered(&[8, 1, 4, 0]),
            sent([3, 0, 0, 0]),
            answered(&[1, 0, 1]), // belongs to a digital read
            sent([3, 0, 0, 0]),
            answered(&[3, 4, 0]), // 1024
            sent([3, 0, 0, 0]),
            answered(&[3, 1, 0]),
        ],
        |board| board.analog_read(AnalogPin::A0),
    );
    assert_eq!(value, Ok(256));
}

#[test]
fn replies_without_sense_are_reported_and_the_style_is_found_out_anew() {
    let nonsense: Vec<_> = (0..ATTEMPTS_MAX).flat_map(|_| [sent([1, 3, 0, 0]), answered(&[7])]).collect();
    let mut transfers = vec![sent([8, 0, 0, 0]), answered(&[0, 1, 2, 7])];
    transfers.extend(nonsense);
    transfers.extend([sent([8, 0, 0, 0]), answered(&[8, 1, 4, 0]), sent([1, 3, 0, 0]), answered(&[1, 1])]);
    transcript(&transfers, |board| {
        let error = board.digital_read(Pin::D3).unwrap_err();
        assert_eq!(error.to_string(), "digital read: implausible reply [7]");
        assert!(
            matches!(error, Error::Implausible { command: Command::DigitalRead, reply } if reply.bytes() == [7])
        );
        assert_eq!(board.digital_read(Pin::D3), Ok(true));
    });
}

#[test]
fn a_bus_error_is_retried_and_then_reported() {
    let mut transfers = vec![not_acknowledged(sent([2, 4, 1, 0])), sent([2, 4, 1, 0]), answered(&[0])];
    transfers.extend((0..ATTEMPTS_MAX).map(|_| not_acknowledged(sent([2, 4, 0, 0]))));
    transcript(&transfers, |board| {
        assert_eq!(board.digital_write(Pin::D4, true), Ok(()));
        let error = board.digital_write(Pin::D4, false).unwrap_err();
        assert!(matches!(error, Error::Bus { command: Command::DigitalWrite, .. }), "{error:?}");
    });
}

#[test]
fn a_hanging_board_is_a_timeout_and_gets_no_command_until_it_is_done() {
    let (hardware, mut board) = simulated(Firmware::V1_2_7);
    hardware.set_analog(AnalogPin::A0, 700);
    assert_eq!(board.analog_read(AnalogPin::A0), Ok(700));
    hardware.set_busy_reads(u32::MAX);
    assert_eq!(board.digital_read(Pin::D3), Err(Error::Timeout { command: Command::DigitalRead }));
    assert_eq!(board.pwm(PwmPin::D5, 9), Err(Error::Timeout { command: Command::AnalogWrite }));
    assert!(!hardware.is_output(Pin::D5));
    hardware.set_busy_reads(0);
    hardware.set_analog(AnalogPin::A0, 3);
    // Without waiting for the old command's end this reply would be the old command's.
    assert_eq!(board.analog_read(AnalogPin::A0), Ok(3));
    assert_eq!(board.digital_read(Pin::D3), Ok(false));
}

#[test]
fn all_firmwares_give_the_same_values() {
    for firmware in VERSIONS {
        let (hardware, mut board) = simulated(firmware);
        board.pin_mode(Pin::D3, PinMode::Input).unwrap();
        for pressed in [true, false, true] {
            hardware.set_digital(Pin::D3, pressed);
            assert_eq!(board.digital_read(Pin::D3), Ok(pressed), "{firmware:?}");
        }
        for value in [0, 1, 23, 255, 256, 279, 1023] {
            hardware.set_analog(AnalogPin::A1, value);
            assert_eq!(board.analog_read(AnalogPin::A1), Ok(value), "{firmware:?}");
        }
        let version = board.firmware_version().unwrap();
        let expected = match firmware {
            Firmware::V1_2_7 => "1.2.7",
            Firmware::V1_3_0 => "1.3.0",
            Firmware::V1_4_0 => "1.4.0",
        };
        assert_eq!(version.to_string(), expected);
    }
}

#[test]
fn a_lamp_lights_only_on_an_output() {
    let (hardware, mut board) = simulated(Firmware::V1_2_7);
    board.digital_write(Pin::D4, true).unwrap();
    assert_eq!(hardware.brightness(Pin::D4), 0);
    board.pin_mode(Pin::D4, PinMode::Output).unwrap();
    assert_eq!(hardware.brightness(Pin::D4), 255);
    assert_eq!(board.digital_read(Pin::D4), Ok(true));
    board.digital_write(Pin::D4, false).unwrap();
    assert_eq!(hardware.brightness(Pin::D4), 0);
    board.pwm(PwmPin::D5, 77).unwrap();
    assert_eq!(hardware.brightness(Pin::D5), 77);
}

/// The firmware's answer to a question for its version.
fn version(firmware: Firmware) -> [Transaction; 2] {
    let reply = if firmware == Firmware::V1_2_7 { [0, 1, 2, 7] } else { [8, 1, 4, 0] };
    [sent([8, 0, 0, 0]), answered(&reply)]
}

/// A question and its answer, after the version is known.
fn asked(firmware: Firmware, question: [u8; 4], answer: &[u8]) -> Vec<Transaction> {
    let mut transfers = version(firmware).to_vec();
    transfers.extend([sent(question), answered(answer)]);
    transfers
}

fn dht_reply(status: u8, celsius: f32, percent: f32) -> Vec<u8> {
    [&[status][..], &celsius.to_le_bytes(), &percent.to_le_bytes()].concat()
}

#[test]
fn distances_are_big_endian_centimetres() {
    for (firmware, reply, expected) in [
        (Firmware::V1_2_7, [0, 1, 4], Some(Centimetres(260))),
        (Firmware::V1_4_0, [7, 0, 3], Some(Centimetres(3))),
        (Firmware::V1_4_0, [7, 0, 0], None),   // no echo in time
        (Firmware::V1_4_0, [7, 2, 128], None), // 640 cm: further than the sensor hears
    ] {
        let transfers = asked(firmware, [7, 4, 0, 0], &reply);
        assert_eq!(transcript(&transfers, |board| board.distance(Pin::D4)), Ok(expected));
    }
}

#[test]
fn a_climate_is_two_floats_in_nine_bytes() {
    for (firmware, model, number, status) in
        [(Firmware::V1_2_7, DhtModel::Dht11, 0, 0), (Firmware::V1_4_0, DhtModel::Dht22, 1, 40)]
    {
        let transfers = asked(firmware, [40, 7, number, 0], &dht_reply(status, 21.0, 40.0));
        let climate = transcript(&transfers, |board| board.climate(Pin::D7, model)).unwrap();
        assert_eq!((climate.temperature, climate.humidity), (Celsius(21.0), Humidity(40.0)));
    }
}

#[test]
fn what_is_no_weather_is_refused() {
    for (celsius, percent) in [
        (f32::NAN, f32::NAN),
        (0.0, 0.0),
        (150.0, 40.0),
        (21.0, 101.0),
        (21.0, -0.1),
        (21.034, 40.0),
        (f32::INFINITY, 40.0),
    ] {
        let mut transfers = version(Firmware::V1_4_0).to_vec();
        for _ in 0..Command::Dht.row().patience.attempts {
            transfers.extend([sent([40, 2, 1, 0]), answered(&dht_reply(40, celsius, percent))]);
        }
        let outcome = transcript(&transfers, |board| board.climate(Pin::D2, DhtModel::Dht22));
        let refused = matches!(outcome, Err(Error::Implausible { command: Command::Dht, .. }));
        assert!(refused, "{celsius} {percent}: {outcome:?}");
    }
}

#[test]
fn analog_sensors_have_their_units() {
    let value = |reading: u16| {
        let [high, low] = reading.to_be_bytes();
        asked(Firmware::V1_4_0, [3, 1, 0, 0], &[3, high, low])
    };
    let temperature = |board: &mut Board<_, _>| board.temperature(AnalogPin::A1, Thermistor::V1_2);
    let Celsius(celsius) = transcript(&value(700), temperature).unwrap();
    assert!((celsius - 42.1).abs() < 0.1, "{celsius}");
    let angle = transcript(&value(ANALOG_MAX), |board| board.angle(AnalogPin::A1));
    assert_eq!(angle, Ok(Degrees(300.0)));
    let level = transcript(&value(512), |board| board.level(AnalogPin::A1));
    assert_eq!(level, Ok(Level::new(512).unwrap()));
    let mut unplugged = version(Firmware::V1_4_0).to_vec();
    unplugged.extend((0..ATTEMPTS_MAX).flat_map(|_| [sent([3, 1, 0, 0]), answered(&[3, 0, 0])]));
    assert!(matches!(transcript(&unplugged, temperature), Err(Error::Implausible { .. })));
}

#[test]
fn displays_get_the_bytes_the_firmware_documents() {
    use crate::displays::{Orientation, Pattern, segments};
    let done = || answered(&[0]);
    let orders: &[[u8; 4]] = &[
        [50, 5, 1, 0],
        [51, 5, 0, 0],
        [52, 5, 10, 0],
        [53, 5, 1, 1],
        [53, 5, 10, 0],
        [54, 5, 3, 0],
        [55, 5, 0x55, 0x01],
        [70, 2, 0, 0],
        [71, 2, 7, 0],
        [72, 2, 0xd2, 0x04],
        [73, 2, 0x0f, 0x27],
        [74, 2, 3, 15],
        [75, 2, 0, 0x40],
        [76, 2, 12, 34],
        [78, 2, 0, 0],
        [79, 2, 0, 0],
        [91, 7, 3, 0],
        [92, 7, 3, 5],
        [90, 1, 2, 3],
        [93, 7, 3, 1],
        [90, 4, 5, 6],
        [94, 7, 1, 2],
        [90, 7, 8, 9],
        [95, 7, 2, 0],
    ];
    let transfers: Vec<_> = orders.iter().flat_map(|&order| [sent(order), done()]).collect();
    transcript(&transfers, |board| {
        let (bar, digits, chain) = (WidePin::D5, WidePin::D2, WidePin::D7);
        board.led_bar_init(bar, Orientation::GreenToRed)?;
        board.led_bar_orientation(bar, Orientation::RedToGreen)?;
        board.led_bar_level(bar, 200)?;
        board.led_bar_led(bar, 0, true)?;
        board.led_bar_led(bar, 9, false)?;
        board.led_bar_toggle(bar, 2)?;
        board.led_bar_bits(bar, 0x155)?;
        board.four_digit_init(digits)?;
        board.four_digit_brightness(digits, 200)?;
        board.four_digit_number(digits, 1234, false)?;
        board.four_digit_number(digits, 20_000, true)?;
        board.four_digit_digit(digits, 3, 15)?;
        board.four_digit_segments(digits, 0, segments::MINUS)?;
        board.four_digit_score(digits, 12, 34)?;
        board.four_digit_on(digits)?;
        board.four_digit_off(digits)?;
        board.chain_init(chain, 3)?;
        board.chain_test(chain, 3, [true, false, true])?;
        board.chain_color(chain, Pattern::Outwards(1), Color::new(1, 2, 3))?;
        board.chain_modulo(chain, 1, 2, Color::new(4, 5, 6))?;
        board.chain_level(chain, 2, Color::new(7, 8, 9))
    })
    .unwrap();
    let state = asked(Firmware::V1_4_0, [56, 5, 0, 0], &[56, 0x55, 0x01]);
    assert_eq!(transcript(&state, |board| board.led_bar_state(WidePin::D5)), Ok(0x155));
}

#[test]
fn a_toggle_is_not_repeated() {
    let transfers = [sent([54, 5, 1, 0]), answered(&[255])];
    transcript(&transfers, |board| assert!(board.led_bar_toggle(WidePin::D5, 0).is_err()));
}

#[test]
fn the_simulated_sensors_are_measured_by_all_firmwares() {
    for firmware in VERSIONS {
        let (hardware, mut board) = simulated(firmware);
        assert_eq!(board.distance(Pin::D4), Ok(None));
        hardware.set_distance(Pin::D4, Some(Centimetres(279)));
        assert_eq!(board.distance(Pin::D4), Ok(Some(Centimetres(279))), "{firmware:?}");
        assert!(board.climate(Pin::D7, DhtModel::Dht11).is_err());
        hardware.set_climate(Pin::D7, Some((Celsius(21.46), Humidity(40.04))));
        let climate = |board: &mut Board<_, _>, model| {
            let climate = board.climate(Pin::D7, model).unwrap();
            (climate.temperature, climate.humidity)
        };
        assert_eq!(climate(&mut board, DhtModel::Dht11), (Celsius(21.0), Humidity(40.0)));
        assert_eq!(climate(&mut board, DhtModel::Dht22), (Celsius(21.5), Humidity(40.0)));
    }
}

#[test]
fn the_simulated_displays_show_what_they_are_told_and_forget_it_without_power() {
    use crate::displays::{Orientation, Pattern};
    use crate::lcd::Lcd;
    for firmware in VERSIONS {
        let (hardware, mut board) = simulated(firmware);
        let (bar, digits, chain) = (WidePin::D5, WidePin::D2, WidePin::D7);
        board.led_bar_level(bar, 4).unwrap();
        assert_eq!(hardware.led_bar(bar), None, "not set up yet");
        board.led_bar_init(bar, Orientation::GreenToRed).unwrap();
        board.led_bar_level(bar, 4).unwrap();
        board.led_bar_toggle(bar, 9).unwrap();
        assert_eq!(board.led_bar_state(bar), Ok(0x20f));
        assert!(hardware.led_bar(bar).unwrap().turned);

        board.four_digit_init(digits).unwrap();
        let text = |hardware: &SimulatedBoard| hardware.four_digit(digits).unwrap().text();
        for (number, padded, shown) in
            [(42, false, "  42"), (42, true, "0042"), (0, false, "   0"), (1000, false, "1000")]
        {
            board.four_digit_number(digits, number, padded).unwrap();
            assert_eq!(text(&hardware).replace(':', ""), shown);
        }
        board.four_digit_score(digits, 9, 30).unwrap();
        assert_eq!(text(&hardware), "09:30");
        board.four_digit_show(digits, crate::displays::segments::integer(-12)).unwrap();
        assert_eq!(text(&hardware), " -12");

        let (red, blue) = (Color::new(255, 0, 0), Color::new(0, 0, 255));
        board.chain_init(chain, 3).unwrap();
        board.chain_color(chain, Pattern::AllBut(1), red).unwrap();
        assert_eq!(hardware.chain(chain), [red, Color::BLACK, red]);
        board.chain_level(chain, 2, blue).unwrap();
        assert_eq!(hardware.chain(chain), [blue, blue, Color::BLACK]);
        board.chain_modulo(chain, 0, 2, red).unwrap();
        assert_eq!(hardware.chain(chain), [red, blue, red]);

        let (bus, delay) = board.bus();
        let mut lcd = Lcd::new(bus, delay);
        lcd.init().unwrap();
        lcd.text("Grüße\n21 °C").unwrap();
        lcd.light(Color::new(1, 2, 3)).unwrap();
        let view = hardware.lcd();
        assert_eq!(view.lines, ["Grüße           ", "21 °C           "]);
        assert_eq!((view.light, view.on), (Color::new(1, 2, 3), true));

        hardware.set_present(false);
        assert!(matches!(board.digital_read(Pin::D3), Err(Error::Bus { .. })));
        hardware.set_present(true);
        assert_eq!(board.digital_read(Pin::D3), Ok(false));
        assert_eq!((hardware.led_bar(bar), hardware.chain(chain).len(), hardware.lcd().on), (None, 0, false));
    }
}

proptest! {
    /// Whatever goes wrong on the way: a value is the true one, or there is none.
    #[test]
    fn no_fault_yields_a_wrong_value(
        firmware in prop::sample::select(&VERSIONS[..]),
        steps in prop::collection::vec((0u16..=ANALOG_MAX, any::<bool>(), 0u32..30, any::<bool>(), 0usize..6), 1..20),
    ) {
        let (hardware, mut board) = simulated(firmware);
        for (value, pressed, busy_reads, nack, faults) in steps {
            hardware.set_analog(AnalogPin::A0, value);
            hardware.set_digital(Pin::D3, pressed);
            hardware.set_busy_reads(busy_reads);
            hardware.inject(if nack { Fault::Nack } else { Fault::Blank }, faults);
            if let Ok(read) = board.analog_read(AnalogPin::A0) {
                prop_assert_eq!(read, value);
            }
            if let Ok(read) = board.digital_read(Pin::D3) {
                prop_assert_eq!(read, pressed);
            }
        }
        hardware.clear_faults();
        hardware.set_busy_reads(0);
        prop_assert!(board.analog_read(AnalogPin::A0).is_ok());
    }

    /// Any reply at all: no panic, and what is taken for a value is in range.
    #[test]
    fn any_reply_is_survived(reply in any::<[u8; 3]>(), echo in any::<bool>()) {
        let version = if echo { [8, 1, 4, 0] } else { [0, 1, 2, 7] };
        let mut transfers = vec![sent([8, 0, 0, 0]), answered(&version)];
        let value = u16::from_be_bytes([reply[1], reply[2]]);
        let status_fits = if echo { reply[0] == 3 } else { reply[0] != 255 };
        let expected = if reply[0] == 23 {
            transfers.push(sent([3, 0, 0, 0]));
            transfers.extend((0..POLLS_MAX).map(|_| answered(&reply)));
            None
        } else if status_fits && value <= ANALOG_MAX {
            transfers.extend([sent([3, 0, 0, 0]), answered(&reply)]);
            Some(value)
        } else {
            transfers.extend((0..ATTEMPTS_MAX).flat_map(|_| [sent([3, 0, 0, 0]), answered(&reply)]));
            None
        };
        let read = transcript(&transfers, |board| board.analog_read(AnalogPin::A0)).ok();
        prop_assert_eq!(read, expected);
    }
}
