//! A thing whose broker and whose board come and go: when all are back, the LED shows what the button says, each time.
//!
//! `cargo xtask soak --things` makes it ten minutes.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use grovemq_tests::{Program, Random, free_port, peers, scratch, wait_until_listening};
use grovemq_thing::{Pin, SimulatedBoard, remote};

const BUTTON: Pin = Pin::D3;
const LED: Pin = Pin::D4;
/// The longest pause before another attempt of the thing to connect, and a loaded machine.
const HEALED: Duration = Duration::from_secs(40);
/// More than this is no flicker of the allocator any more.
const GROWTH_KIB_MAX: u64 = 1024;

/// The thing's file: its LED follows its button, by way of the broker.
const THING: &str = "
[thing]
address = '127.0.0.2'
[[sensor]]
kind = 'button'
name = 'button0'
pin = 'D3'
interval_ms = 50
[[actuator]]
kind = 'led'
name = 'led0'
pin = 'D4'
";

/// What may be away.
#[derive(Clone, Copy, Debug)]
enum Away {
    Broker,
    Board,
    Both,
    Nobody,
}

#[test]
fn a_thing_heals_whatever_comes_and_goes() {
    let seconds = std::env::var("GROVEMQ_SOAK_SECONDS").map_or(12, |text| text.parse().unwrap());
    let mut random = Random::new(seconds);
    let home = scratch();
    let (board, socket) = (SimulatedBoard::default(), home.path().join("board"));
    serve(&board, &socket);
    std::fs::write(home.path().join("thing.toml"), THING).unwrap();
    let port = free_port();
    let mut broker = Some(start_broker(port));
    let mut command = peers::ours("thing");
    command.args(["-p", &port.to_string(), "--board", &format!("unix:{}", socket.display()), "-c"]);
    let thing = Program::start(command.arg(home.path().join("thing.toml")));
    let mut pressed = true;
    board.set_digital(BUTTON, pressed);
    heals(&board, pressed, &thing, "the start");
    let (start, mut first, mut count) = (Instant::now(), None, [0_u32; 4]);
    while start.elapsed() < Duration::from_secs(seconds) {
        let away = [Away::Broker, Away::Board, Away::Both, Away::Nobody][random.below(4)];
        count[away as usize] += 1;
        if matches!(away, Away::Broker | Away::Both) {
            broker.take().unwrap().kill();
        }
        if matches!(away, Away::Board | Away::Both) {
            board.set_present(false);
        }
        std::thread::sleep(Duration::from_millis(random.below(700) as u64));
        pressed = !pressed;
        board.set_digital(BUTTON, pressed);
        std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        board.set_present(true);
        if broker.is_none() {
            broker = Some(start_broker(port));
        }
        heals(&board, pressed, &thing, &format!("{away:?} away, {count:?}"));
        // buffers have grown to what they need by now
        if first.is_none() && start.elapsed() >= Duration::from_secs(seconds / 10) {
            first = Some(size(&thing));
        }
    }
    let ((rss, files), last) = (first.unwrap(), size(&thing));
    println!("{seconds} s: broker, board, both, nobody away {count:?} times, the LED right after each");
    println!(
        "the thing: {rss} KiB and {files} files at a tenth of it, {} KiB and {} at the end",
        last.0, last.1
    );
    assert!(last.0 <= rss + GROWTH_KIB_MAX && last.1 <= files + 1, "it grows");
    thing.interrupt();
    thing.finish(HEALED).success();
    assert_eq!(board.brightness(LED), 0);
}

fn start_broker(port: u16) -> Program {
    let broker = Program::start(peers::ours("mosquitto").args(["-p", &port.to_string()]));
    wait_until_listening(port, HEALED);
    broker
}

/// The board behind a socket, for whoever comes, until the test ends.
pub(crate) fn serve(board: &SimulatedBoard, socket: &Path) {
    let (board, listener) = (board.clone(), UnixListener::bind(socket).unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let board = board.clone();
            // the thing's end is the end of it
            std::thread::spawn(move || remote::serve(&mut stream, &board).ok());
        }
    });
}

/// Waits until the LED is what the button says.
#[track_caller]
fn heals(board: &SimulatedBoard, pressed: bool, thing: &Program, after: &str) {
    let start = Instant::now();
    while (board.brightness(LED) == 255) != pressed {
        assert!(start.elapsed() < HEALED, "after {after}: not {pressed}\n{}", thing.transcript());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Resident memory in KiB, and how many files are open.
fn size(program: &Program) -> (u64, usize) {
    let process = format!("/proc/{}", program.pid());
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let files = std::fs::read_dir(format!("{process}/fd")).unwrap().count();
    (rss.split_whitespace().next().unwrap().parse().unwrap(), files)
}
