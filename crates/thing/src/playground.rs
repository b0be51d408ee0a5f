//! A simulated board in the hands of a person or a test: words that play on it, and what there is to see.

use std::fmt::Write as _;
use std::str::FromStr;

use grovemq_grovepi::simulated::{Fault, SimulatedBoard};
use grovemq_grovepi::{AnalogPin, Celsius, Centimetres, Humidity, LED_BAR_LEDS, Pin, WidePin};
use serde_json::{Value as Json, json};

/// What there is to say, for people.
pub const WORDS: &str = "\
press D3, release D3        a button, a touch, something that moves
analog A0 512               a voltage: knob, light, sound, moisture; 0 to 1023
distance D4 30              centimetres before the ultrasonic ranger; none: nothing in reach
climate D7 21.5 40          °C and percent for a DHT sensor; none: no sensor
nack 10, blank 10           the next 10 transfers fail, or find nobody on the bus
slow 5                      each command takes 5 looks from now on
hang                        the board is never done
well                        no faults any more
unplug, plug                no board on the bus; then one that has forgotten everything
show                        all there is to see, as JSON";

/// Plays one line of words. What there is to say about it comes back; an error names what is wrong with the line.
pub fn play(board: &SimulatedBoard, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["press", pin] => board.set_digital(parse(pin)?, true),
        ["release", pin] => board.set_digital(parse(pin)?, false),
        ["analog", pin, value] => {
            let value = parse::<u16>(value)?;
            if value > grovemq_grovepi::ANALOG_MAX {
                return Err(format!("{value} is above {}", grovemq_grovepi::ANALOG_MAX));
            }
            board.set_analog(analog_pin(pin)?, value);
        }
        ["distance", pin, "none"] => board.set_distance(parse(pin)?, None),
        ["distance", pin, value] => board.set_distance(parse(pin)?, Some(Centimetres(parse(value)?))),
        ["climate", pin, "none"] => board.set_climate(parse(pin)?, None),
        ["climate", pin, celsius, percent] => {
            let weather = (Celsius(parse(celsius)?), Humidity(parse(percent)?));
            board.set_climate(parse(pin)?, Some(weather));
        }
        ["nack", count] => board.inject(Fault::Nack, parse(count)?),
        ["blank", count] => board.inject(Fault::Blank, parse(count)?),
        ["slow", looks] => board.set_busy_reads(parse(looks)?),
        ["hang"] => board.set_busy_reads(u32::MAX),
        ["well"] => {
            board.clear_faults();
            board.set_busy_reads(0);
        }
        ["unplug"] => board.set_present(false),
        ["plug"] => board.set_present(true),
        ["show"] => return Ok(state(board).to_string()),
        _ => return Err(format!("unknown words `{}`", line.trim().chars().take(60).collect::<String>())),
    }
    Ok("done".to_owned())
}

/// All there is to see, for programs.
pub fn state(board: &SimulatedBoard) -> Json {
    let mut ports = serde_json::Map::new();
    for pin in Pin::ALL {
        let mut port = serde_json::Map::new();
        let mut set = |key: &str, value: Json| drop(port.insert(key.to_owned(), value));
        set("pressed", json!(board.digital(pin)));
        set("output", json!(board.is_output(pin)));
        set("brightness", json!(board.brightness(pin)));
        if let Ok(analog) = AnalogPin::try_from(pin) {
            set("analog", json!(board.analog(analog)));
        }
        if let Some(Centimetres(distance)) = board.distance(pin) {
            set("distance", json!(distance));
        }
        if let Some((Celsius(celsius), Humidity(percent))) = board.climate(pin) {
            set("climate", json!([celsius, percent]));
        }
        if let Ok(wide) = WidePin::try_from(pin) {
            if let Some(bar) = board.led_bar(wide) {
                set("led_bar", json!(bar.bits));
            }
            if let Some(display) = board.four_digit(wide) {
                set("four_digit", json!(display.text()));
            }
            let chain = board.chain(wide);
            if !chain.is_empty() {
                set("rgb_led", json!(chain.iter().map(ToString::to_string).collect::<Vec<_>>()));
            }
        }
        ports.insert(pin.name().to_owned(), Json::Object(port));
    }
    let lcd = board.lcd();
    json!({
        "present": board.is_present(),
        "ports": ports,
        "lcd": { "on": lcd.on, "lines": lcd.lines, "light": lcd.light.to_string() },
    })
}

/// What is worth seeing, for people: a line for each port with something on it, and the LCD.
pub fn view(board: &SimulatedBoard) -> String {
    let mut text = String::new();
    if !board.is_present() {
        text.push_str("no board on the bus\n");
    }
    for pin in Pin::ALL {
        let mut line = String::new();
        if board.digital(pin) {
            line.push_str("  pressed");
        }
        if let Ok(analog) = AnalogPin::try_from(pin)
            && board.analog(analog) > 0
        {
            let _infallible = write!(line, "  {:4} of 1023", board.analog(analog));
        }
        if let Some(distance) = board.distance(pin) {
            let _infallible = write!(line, "  {distance}");
        }
        if let Some((celsius, percent)) = board.climate(pin) {
            let _infallible = write!(line, "  {celsius} {percent}");
        }
        match board.brightness(pin) {
            0 if board.is_output(pin) => line.push_str("  off"),
            0 => {}
            255 => line.push_str("  on"),
            level => {
                let _infallible = write!(line, "  {} %", u32::from(level) * 100 / 255);
            }
        }
        displays(board, pin, &mut line);
        if !line.is_empty() {
            let _infallible = writeln!(text, "{pin}{line}");
        }
    }
    let lcd = board.lcd();
    if lcd.on {
        for line in &lcd.lines {
            let _infallible = writeln!(text, "LCD |{line}| {}", lcd.light);
        }
    }
    text
}

fn displays(board: &SimulatedBoard, pin: Pin, line: &mut String) {
    let Ok(wide) = WidePin::try_from(pin) else { return };
    if let Some(bar) = board.led_bar(wide) {
        let lit = |led: u8| bar.bits >> led & 1 == 1;
        let leds: String = (0..LED_BAR_LEDS).map(|led| if lit(led) { '■' } else { '□' }).collect();
        let _infallible = write!(line, "  {leds}");
    }
    if let Some(display) = board.four_digit(wide) {
        let _infallible = write!(line, "  [{}]", display.text());
    }
    for color in board.chain(wide) {
        let _infallible = write!(line, "  {color}");
    }
}

fn parse<T: FromStr<Err: ToString>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: T::Err| format!("`{word}`: {}", error.to_string()))
}

fn analog_pin(word: &str) -> Result<AnalogPin, String> {
    AnalogPin::try_from(parse::<Pin>(word)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::I2c;
    use grovemq_grovepi::simulated::NoDelay;
    use grovemq_grovepi::{Board, DhtModel, Lcd, PinMode};
    use proptest::prelude::*;

    #[test]
    fn words_play_on_the_board() {
        let hardware = SimulatedBoard::default();
        let mut board = Board::new(hardware.clone(), NoDelay);
        let say = |line: &str| assert_eq!(play(&hardware, line), Ok("done".to_owned()), "{line}");
        say("press d3");
        say(" analog A0  512 ");
        say("distance D8 33");
        say("climate D7 21.5 40");
        assert_eq!(board.digital_read(Pin::D3), Ok(true));
        assert_eq!(board.analog_read(AnalogPin::A0), Ok(512));
        assert_eq!(board.distance(Pin::D8), Ok(Some(Centimetres(33))));
        assert_eq!(board.climate(Pin::D7, DhtModel::Dht22).unwrap().humidity, Humidity(40.0));
        for (fault, cure) in
            [("nack 1000", "well"), ("blank 1000", "well"), ("hang", "well"), ("unplug", "plug")]
        {
            say(fault);
            assert!(board.digital_read(Pin::D3).is_err(), "{fault}");
            say(cure);
            assert!(board.digital_read(Pin::D3).is_ok(), "{cure}");
        }
        say("slow 3");
        assert_eq!(board.digital_read(Pin::D3), Ok(true));
        say("release D3");
        assert_eq!(board.digital_read(Pin::D3), Ok(false));
        for wrong in ["", "press", "press D9", "analog D3 1", "analog A0 1024", "nack x", "jump", "slow -1"] {
            assert!(play(&hardware, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_seen() {
        let hardware = SimulatedBoard::default();
        let mut board = Board::new(hardware.clone(), NoDelay);
        assert_eq!(view(&hardware), "D4  off\n");
        board.pin_mode(Pin::D8, PinMode::Output).unwrap();
        board.digital_write(Pin::D8, true).unwrap();
        board.led_bar_init(WidePin::D5, grovemq_grovepi::Orientation::RedToGreen).unwrap();
        board.led_bar_level(WidePin::D5, 3).unwrap();
        board.four_digit_init(WidePin::D2).unwrap();
        board.four_digit_score(WidePin::D2, 9, 30).unwrap();
        play(&hardware, "analog A1 7").unwrap();
        let (bus, delay) = board.bus();
        let mut lcd = Lcd::new(bus, delay);
        lcd.init().unwrap();
        lcd.text("21.5 °C").unwrap();
        let seen = view(&hardware);
        for line in [
            "D2  [09:30]\n",
            "D5  ■■■□□□□□□□\n",
            "D8  on\n",
            "A1     7 of 1023\n",
            "LCD |21.5 °C         | #000000\n",
        ] {
            assert!(seen.contains(line), "{line} in {seen}");
        }
        let state: Json = serde_json::from_str(&play(&hardware, "show").unwrap()).unwrap();
        assert_eq!(state["ports"]["D2"]["four_digit"], "09:30");
        assert_eq!(state["ports"]["D5"]["led_bar"], 7);
        assert_eq!(state["ports"]["D8"]["brightness"], 255);
        assert_eq!(state["lcd"]["lines"][0], "21.5 °C         ");
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "[a-zA-Z0-9 .-]{0,40}", bytes in any::<Vec<u8>>()) {
            let mut board = SimulatedBoard::default();
            drop(play(&board, &line));
            for address in [4, 0x3e, 0x62] {
                board.write(address, &bytes).unwrap();
            }
            drop(view(&board));
            drop(state(&board));
        }
    }
}
