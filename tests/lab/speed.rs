//! How soon a press is seen on the LED across the broker, and what a thing with twenty resources costs.
//!
//! `cargo xtask bench thing` runs it with the release build; nothing here is a matter of right or wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Program, Random, SOON, peers, scratch};
use grovemq_thing::{Pin, SimulatedBoard};

use crate::soak::serve;

const BUTTON: Pin = Pin::D3;
const LED: Pin = Pin::D4;
const PRESSES: usize = 200;
const WATCHED: Duration = Duration::from_secs(20);

/// The button that the lab's first thing has, looked at every so many milliseconds, and its LED.
fn button(interval_ms: u32) -> String {
    format!(
        "[[sensor]]\nkind = 'button'\nname = 'button0'\npin = 'D3'\ninterval_ms = {interval_ms}\n\
         [[actuator]]\nkind = 'led'\nname = 'led0'\npin = 'D4'\n"
    )
}

/// Every port of the board, its LCD, clocks and the machine itself: fifteen sensors and five actuators, which look as
/// often as they do by default.
fn twenty() -> String {
    let mut text = button(150);
    for (kind, pin) in [
        ("button", "D2"),
        ("button", "D7"),
        ("button", "D8"),
        ("potentiometer", "A0"),
        ("potentiometer", "A1"),
        ("potentiometer", "A2"),
    ] {
        let _infallible = write!(text, "[[sensor]]\nkind = '{kind}'\nname = '{kind}-{pin}'\npin = '{pin}'\n");
    }
    for (number, kind) in
        ["clock", "clock", "clock", "clock", "cpu_load", "memory", "uptime", "disk"].iter().enumerate()
    {
        let _infallible = write!(text, "[[sensor]]\nkind = '{kind}'\nname = '{kind}{number}'\n");
    }
    for pin in ["D5", "D6"] {
        let _infallible =
            write!(text, "[[actuator]]\nkind = 'dimmed_led'\nname = 'led-{pin}'\npin = '{pin}'\n");
    }
    text.push_str("[[actuator]]\nkind = 'lcd'\nname = 'lcd0'\nsubscribe = ['{ip}/stuff/#']\n");
    text.push_str("[[actuator]]\nkind = 'lcd_light'\nname = 'lcd_light0'\nsubscribe = ['{ip}/light']\n");
    text
}

fn start(home: &Path, broker: &Broker, resources: &str) -> (SimulatedBoard, Program) {
    let (board, socket) = (SimulatedBoard::default(), home.join("board"));
    serve(&board, &socket);
    let file = home.join("thing.toml");
    std::fs::write(&file, format!("[thing]\naddress = '127.0.0.2'\n{resources}")).unwrap();
    let mut command = peers::ours("thing");
    command.args(["-p", &broker.port().to_string(), "--board", &format!("unix:{}", socket.display()), "-c"]);
    let thing = Program::start(command.arg(file));
    thing.wait_for_stderr("connected to", SOON);
    board.set_digital(BUTTON, true);
    lit(&board, true);
    (board, thing)
}

/// How long until the LED is so.
fn lit(board: &SimulatedBoard, wanted: bool) -> Duration {
    let start = Instant::now();
    while (board.brightness(LED) == 255) != wanted {
        assert!(start.elapsed() < SOON, "the LED does not follow");
        std::thread::sleep(Duration::from_micros(100));
    }
    start.elapsed()
}

/// Processor time so far.
fn cpu(program: &Program) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime, in hundredths of a second
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "a measurement: cargo xtask bench thing"]
fn from_button_to_led_across_the_broker() {
    println!("{PRESSES} presses, simulated board, broker on the same machine");
    for (interval, remark) in [(150, "as often as the original's loop, and ours by default"), (10, "")] {
        let (home, broker, mut random) = (scratch(), Broker::ours(), Random::new(7));
        let (board, _thing) = start(home.path(), &broker, &button(interval));
        let mut times: Vec<Duration> = (0..PRESSES)
            .map(|press| {
                // at any time between two looks
                std::thread::sleep(Duration::from_millis(20 + random.below(150) as u64));
                board.set_digital(BUTTON, press % 2 == 1);
                lit(&board, press % 2 == 1)
            })
            .collect();
        times.sort();
        let at =
            |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        println!("a look every {interval} ms: p50 {:.1} ms, p99 {:.1} ms  {remark}", at(50), at(99));
    }
}

#[test]
#[ignore = "a measurement: cargo xtask bench thing"]
fn what_twenty_resources_cost() {
    let (home, broker) = (scratch(), Broker::ours());
    let (_board, thing) = start(home.path(), &broker, &twenty());
    let before = cpu(&thing);
    std::thread::sleep(WATCHED);
    let used = cpu(&thing).saturating_sub(before);
    println!(
        "twenty resources, {WATCHED:?}: {used:?} of processor time, {:.2} % of one processor",
        used.as_secs_f64() / WATCHED.as_secs_f64() * 100.0
    );
}
