//! Messages and what comes of them.

use grovemq_grovepi::{Orientation, Pin, PwmPin, WidePin};
use proptest::prelude::*;

use super::*;
use crate::config::Config;

const D4: Pin = Pin::D4;
const D5: PwmPin = PwmPin::D5;

/// An actuator of these lines of a file.
fn follower(lines: &str) -> Follower {
    let text = format!("[[actuator]]\nname = 'a'\n{}", lines.replace("; ", "\n"));
    let config = Config::parse(&text, "test").unwrap_or_else(|error| panic!("{error}"));
    Follower::new(&config.actuators[0])
}

fn led() -> Follower {
    follower("kind = 'led'; pin = 'D4'")
}

#[expect(clippy::unnecessary_wraps, reason = "what is compared with is one")]
fn switched(on: bool) -> Result<Act, Ignored> {
    Ok(Act::Board(Drive::Switch(D4, on)))
}

fn obey(follower: &mut Follower, payload: &str) -> Result<Act, Ignored> {
    follower.hear(0, "t", payload.as_bytes())
}

#[test]
fn an_led_takes_the_two_words_only() {
    let mut led = led();
    assert_eq!(obey(&mut led, "True"), switched(true));
    assert_eq!(obey(&mut led, "False"), switched(false));
    for other in [&b"true"[..], b"TRUE", b" True", b"True\n", b"1", b"", b"Hello, World!", b"\xff\xfe"] {
        let ignored = led.hear(0, "t", other).unwrap_err();
        assert_eq!(ignored.to_string(), "not `True` or `False`", "{other:?}");
    }
}

#[test]
fn a_dimmed_led_takes_positions_only() {
    let mut dimmed = follower("kind = 'dimmed_led'; pin = 'D5'");
    for (payload, expected) in [
        ("0", 0),
        ("1", 0),
        ("2", 0),
        ("3", 1),
        ("511", 127),
        ("512", 128),
        ("1022", 255),
        ("1023", 255),
        ("0007", 2),
    ] {
        assert_eq!(obey(&mut dimmed, payload), Ok(Act::Board(Drive::Dim(D5, expected))), "{payload:?}");
    }
    for other in ["1024", "-1", "+1", "", "1.0", "True", "99999999999999999999", "NaN", "inf"] {
        assert!(obey(&mut dimmed, other).is_err(), "{other:?}");
    }
    assert_eq!(dimmed.safe(), Act::Board(Drive::Dim(D5, 0)));
}

#[test]
fn ranges_are_moved_turned_and_clamped() {
    let mut dimmed = follower("kind = 'dimmed_led'; pin = 'D5'; from = [10, 30.0]; to = [255, 0]");
    for (payload, expected) in [("10", 255), ("30", 0), ("20", 128), ("-7.5", 255), ("99", 0)] {
        assert_eq!(obey(&mut dimmed, payload), Ok(Act::Board(Drive::Dim(D5, expected))), "{payload}");
    }
    let mut bar = follower("kind = 'led_bar'; pin = 'D5'; from = [0, 1023]");
    let level = |level| Ok(Act::Board(Drive::Bar(WidePin::D5, Orientation::RedToGreen, level)));
    assert_eq!(obey(&mut bar, "512"), level(5));
    assert_eq!(obey(&mut bar, "x").unwrap_err().to_string(), "not a number");
    let mut plain = follower("kind = 'led_bar'; pin = 'D5'");
    assert_eq!(obey(&mut plain, "10"), level(10));
    assert!(obey(&mut plain, "11").is_err());
}

#[test]
fn several_topics_are_ored_and_anded() {
    let mut any = follower("kind = 'led'; pin = 'D4'; combine = 'any'; subscribe = ['+/b']");
    let mut all = follower("kind = 'led'; pin = 'D4'; combine = 'all'; subscribe = ['+/b']");
    for (topic, payload, or, and) in [
        ("1/b", "False", false, false),
        ("2/b", "True", true, false),
        ("1/b", "True", true, true),
        ("2/b", "False", true, false),
        ("1/b", "False", false, false),
    ] {
        assert_eq!(any.hear(0, topic, payload.as_bytes()), switched(or), "{topic} {payload}");
        assert_eq!(all.hear(0, topic, payload.as_bytes()), switched(and), "{topic} {payload}");
    }
    assert!(any.hear(0, "1/b", b"maybe").is_err());
    any.hear(0, "1/b", b"True").unwrap();
    any.forget();
    assert_eq!(any.hear(0, "2/b", b"False"), switched(false));
}

#[test]
fn the_number_of_topics_is_bounded() {
    let mut any = follower("kind = 'led'; pin = 'D4'; combine = 'any'; subscribe = ['#']");
    for n in 0..TOPICS_MAX {
        assert_eq!(any.hear(0, &format!("t{n}"), b"False"), switched(false));
    }
    assert!(any.hear(0, "one more", b"True").is_err());
    assert_eq!(any.hear(0, "t0", b"True"), switched(true));
}

#[test]
fn numbers_of_several_topics_are_one() {
    for (combine, expected) in [("minimum", 0), ("maximum", 255), ("average", 128)] {
        let mut dimmed = follower(&format!("kind = 'dimmed_led'; pin = 'D5'; combine = '{combine}'"));
        dimmed.hear(0, "a", b"0").unwrap();
        assert_eq!(dimmed.hear(0, "b", b"1023"), Ok(Act::Board(Drive::Dim(D5, expected))), "{combine}");
    }
}

#[test]
fn thresholds_have_two_sides() {
    let mut alarm = follower("kind = 'buzzer'; pin = 'D4'; above = 30; hysteresis = 1");
    for (payload, on) in [("30", false), ("30.1", true), ("29.5", true), ("29", false), ("29.5", false)] {
        assert_eq!(obey(&mut alarm, payload), switched(on), "{payload}");
    }
    assert_eq!(obey(&mut alarm, "warm").unwrap_err().to_string(), "not a number");
    let mut pump = follower("kind = 'relay'; pin = 'D4'; below = 5; hysteresis = 2; invert = true");
    for (payload, below) in [("5", false), ("4.9", true), ("6.9", true), ("7", false)] {
        assert_eq!(obey(&mut pump, payload), switched(!below), "{payload}");
    }
}

#[test]
fn json_is_taken_where_it_is_asked_for() {
    let mut led = follower("kind = 'led'; pin = 'D4'; payload = 'json'");
    assert_eq!(obey(&mut led, r#"{"value":true,"time":"now"}"#), switched(true));
    assert_eq!(obey(&mut led, "True").unwrap_err().to_string(), "not an object such as {\"value\": …}");
    assert_eq!(obey(&mut led, r#"{"value":3}"#).unwrap_err().to_string(), "not `True` or `False`");
}

#[test]
fn displays_show_numbers_times_colours_and_texts() {
    let mut digits = follower("kind = 'four_digit'; pin = 'D2'; brightness = 3");
    let shown = |act| match act {
        Ok(Act::Board(Drive::Digits(WidePin::D2, 3, shown))) => shown,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(obey(&mut digits, "-12.4")), segments::integer(-12));
    assert_eq!(shown(obey(&mut digits, "99999")), segments::integer(9999));
    let [_, second, ..] = shown(obey(&mut digits, "9:30"));
    assert_eq!(second, segments::digit(9) | segments::COLON);
    for other in ["1:100", ":", "12:", "x", ""] {
        assert!(obey(&mut digits, other).is_err(), "{other}");
    }

    let mut chain = follower("kind = 'rgb_led'; pin = 'D7'; leds = 2");
    let (orange, blue) = (Color::new(255, 128, 0), Color::new(0, 0, 255));
    let colors = Drive::Colors(WidePin::D7, 2, vec![orange, blue]);
    assert_eq!(obey(&mut chain, "#ff8000, #0000FF"), Ok(Act::Board(colors)));
    for other in ["", "red", "#fff", "#ff80001", "#ä8000"] {
        assert!(obey(&mut chain, other).is_err(), "{other}");
    }

    let mut lcd = follower(r#"kind = 'lcd'; subscribe = ['t', 'h']; format = "{1} °C\n{2} %""#);
    assert_eq!(lcd.hear(0, "t", b"21.5"), Ok(Act::Board(Drive::Text("21.5 °C\n %".to_owned()))));
    assert_eq!(lcd.hear(1, "h", b"40"), Ok(Act::Board(Drive::Text("21.5 °C\n40 %".to_owned()))));
    assert_eq!(obey(&mut follower("kind = 'lcd'"), "Hi"), Ok(Act::Board(Drive::Text("Hi".to_owned()))));
    assert_eq!(obey(&mut follower("kind = 'lcd_light'"), "#0000ff"), Ok(Act::Board(Drive::Light(blue))));

    let mut say = follower("kind = 'command'; command = ['say', 'it is {value}']");
    assert_eq!(obey(&mut say, "1; rm"), Ok(Act::Run(vec!["say".to_owned(), "it is 1; rm".to_owned()])));
    assert_eq!(say.safe(), Act::Nothing);
}

#[test]
fn the_safe_state_is_dark_or_what_was_asked_for() {
    assert_eq!(led().safe(), Act::Board(Drive::Switch(D4, false)));
    let safe = follower("kind = 'relay'; pin = 'D4'; safe = 'True'; invert = true; above = 3");
    assert_eq!(safe.safe(), Act::Board(Drive::Switch(D4, true)));
    let error = Config::parse("[[actuator]]\nkind='led'\nname='a'\npin='D4'\nsafe='on'", "t").unwrap_err();
    assert_eq!(error.to_string(), "t:5:6: safe is not `True` or `False`");
}

proptest! {
    #[test]
    fn any_payload_is_survived(payload in any::<Vec<u8>>()) {
        prop_assert_eq!(led().hear(0, "t", &payload).is_ok(), payload == b"True" || payload == b"False");
        for lines in [
            "kind = 'four_digit'; pin = 'D2'",
            "kind = 'rgb_led'; pin = 'D2'",
            "kind = 'lcd'; payload = 'json'",
            "kind = 'buzzer'; pin = 'D2'; above = 3; combine = 'any'",
            "kind = 'led_bar'; pin = 'D2'; from = [0, 1]; combine = 'average'",
        ] {
            drop(follower(lines).hear(0, "t", &payload));
        }
    }

    #[test]
    fn brighter_positions_are_never_darker(a in 0..=ANALOG_MAX, b in 0..=ANALOG_MAX) {
        let duty = |position: u16| match obey(&mut follower("kind = 'dimmed_led'; pin = 'D5'"), &position.to_string()) {
            Ok(Act::Board(Drive::Dim(_, duty))) => duty,
            other => panic!("{other:?}"),
        };
        prop_assert!(duty(a.min(b)) <= duty(a.max(b)));
    }
}
