//! The driver against byte transcripts and against the simulated board.

use embedded_hal::i2c::ErrorKind;
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::simulated::{Fault, Firmware, NoDelay, SimulatedBoard};

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
        assert_eq!(error, Error::Implausible { command: Command::DigitalRead, reply: [7, 255, 255, 255] });
        assert_eq!(error.to_string(), "digital read: implausible reply [7, 255, 255, 255]");
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
