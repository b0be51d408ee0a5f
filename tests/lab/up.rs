//! `grovemq up`, by words and by keys.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use grovemq_tests::{Program, SOON, Terminal, free_port, peers, wait_until_listening};

use crate::bench::{Ear, eventually};

/// A running `grovemq up` whose input is no terminal.
struct Up {
    program: Program,
    port: u16,
}

impl Up {
    #[track_caller]
    fn start(options: &[&str]) -> Self {
        let port = free_port();
        let program = Program::start(&mut command(port, options));
        program.wait_for_stdout("  words   ", SOON);
        Self { program, port }
    }

    /// The address that is the first level of the thing's topics: the greeting names its button's topic.
    #[track_caller]
    fn address(&self) -> String {
        let line = self.program.wait_for_stdout("/sensors/button0 -m True", SOON);
        let topic = line.split_whitespace().find(|word| word.contains('/')).unwrap().to_owned();
        topic.strip_suffix("/sensors/button0").unwrap().to_owned()
    }

    #[track_caller]
    fn shows(&self, line: &str) {
        let shown = || self.program.stdout_lines();
        eventually(
            || shown().last().is_some_and(|last| last.trim() == line),
            || format!("{line:?} is not what stands last\n{}", self.program.transcript()),
        );
    }
}

/// Where it keeps messages: not among those of whoever runs the test.
fn state(port: u16) -> String {
    format!("{}/up-{port}", env!("CARGO_TARGET_TMPDIR"))
}

fn command(port: u16, options: &[&str]) -> Command {
    let mut command = peers::ours("up");
    command.args(["--port", &port.to_string()]).args(options).env("XDG_STATE_HOME", state(port));
    command
}

/// The words of a person, and what he sees, and what everybody hears.
fn play(subscriber: Command) {
    let mut up = Up::start(&[]);
    let ip = up.address();
    let ear = Ear::of(subscriber, up.port, &["-t", "#", "-v"]);
    ear.hears(&format!("{ip}/availability online"));
    up.shows("button0 released  potentiometer0    0    led0 off   led1 off");
    for (word, message, shown) in [
        ("press", "sensors/button0 True", "button0 pressed   potentiometer0    0    led0 on    led1 off"),
        (
            "knob 512",
            "sensors/potentiometer0 512",
            "button0 pressed   potentiometer0  512    led0 on    led1 50 %",
        ),
        (
            "knob 1023",
            "sensors/potentiometer0 1023",
            "button0 pressed   potentiometer0 1023    led0 on    led1 on",
        ),
        ("release", "sensors/button0 False", "button0 released  potentiometer0 1023    led0 off   led1 on"),
        ("+", "", "button0 released  potentiometer0 1023    led0 off   led1 on"),
        ("-", "sensors/potentiometer0 991", "button0 released  potentiometer0  991    led0 off   led1 96 %"),
        (
            "knob 0",
            "sensors/potentiometer0 0",
            "button0 released  potentiometer0    0    led0 off   led1 off",
        ),
    ] {
        up.program.type_line(word);
        if !message.is_empty() {
            ear.hears(&format!("{ip}/{message}"));
        }
        up.shows(shown);
    }
    up.program.type_line("pres");
    let complaint = up.program.wait_for_stderr("pres", SOON);
    assert_eq!(complaint, "Unknown word 'pres': press, release, knob 0…1023 or quit.");
    up.program.type_line("quit");
    ear.hears(&format!("{ip}/availability offline"));
    up.program.finish(SOON).success();
}

#[test]
fn words_play_the_board_and_everybody_hears_it() {
    play(peers::ours("mosquitto_sub"));
}

#[test]
fn debian_subscriber_hears_it_too() {
    play(peers::debian("mosquitto_sub"));
}

#[test]
fn each_word_of_a_script_has_its_effect() {
    let script = b"press\nknob 512\nrelease\nknob 1024\nquit\n";
    let end = Program::run(&mut command(free_port(), &[]), script, SOON).success();
    let shown = end.text();
    for state in ["led0 on    led1 off", "led0 on    led1 50 %", "led0 off   led1 50 %"] {
        assert!(shown.contains(state), "{state} in {shown}");
    }
    assert_eq!(end.stderr, "Unknown word 'knob 1024': press, release, knob 0…1023 or quit.\n");
}

#[test]
fn the_greeting_says_what_runs_where_and_what_to_try() {
    let up = Up::start(&[]);
    let (port, ip) = (up.port, up.address());
    up.shows("button0 released  potentiometer0    0    led0 off   led1 off");
    let greeting = format!(
        "GroveMQ {}

  broker  127.0.0.1 and [::1], port {port}, this machine only (--public opens it)
          keeps messages for absent clients in {state}/grovemq/up-{port}
  thing   button0 (D3), potentiometer0 (A0), clock0, led0 (D4), led1 (D5)
          on a simulated GrovePi board

  try     in other terminals:
            grovemq sub -p {port} -t '#' -v
            grovemq pub -p {port} -t hello -m 'Hello, World!'
            grovemq pub -p {port} -t {ip}/sensors/button0 -m True
          without an installed grovemq: cargo run --release -- sub …

  words   press, release, knob 0…1023, quit
",
        env!("CARGO_PKG_VERSION"),
        state = state(port),
    );
    let lines = up.program.stdout_lines().join("\n");
    assert!(lines.starts_with(&greeting), "{lines}");
    // what it says to try does what it should
    let mut publish = peers::ours("pub");
    publish.args(["-p", &port.to_string(), "-t", &format!("{ip}/sensors/button0"), "-m", "True"]);
    Program::run(&mut publish, b"", SOON).success();
    up.shows("button0 released  potentiometer0    0    led0 on    led1 off");
}

/// A retained message is there when everything is started again, also after SIGKILL, unless nothing was to be kept.
#[test]
fn messages_are_kept() {
    let port = free_port();
    let start = |options: &[&str]| {
        let up = Program::start(&mut command(port, options));
        up.wait_for_stdout("  words   ", SOON);
        up
    };
    let up = start(&["--no-thing"]);
    let mut publish = peers::ours("pub");
    publish.args(["-p", &port.to_string(), "-t", "kept", "-m", "this", "-r", "-q", "1"]);
    Program::run(&mut publish, b"", SOON).success();
    up.kill();
    drop(up);
    let read = || {
        let mut subscribe = peers::ours("sub");
        subscribe.args(["-p", &port.to_string(), "-t", "kept", "-C", "1", "-W", "2"]);
        Program::run(&mut subscribe, b"", SOON).text()
    };
    let up = start(&["--no-thing"]);
    assert_eq!(read(), "this\n");
    drop(up);
    let _up = start(&["--no-thing", "--no-store"]);
    assert_eq!(read(), "");
}

#[test]
fn the_clock_tells_local_time_every_two_seconds() {
    const ZONE: &str = "Asia/Kolkata";
    let port = free_port();
    let up = Program::start(command(port, &[]).env("TZ", ZONE));
    up.wait_for_stdout("  words   ", SOON);
    let ear =
        Ear::of(peers::ours("mosquitto_sub"), port, &["-t", "+/stuff/clock0", "-F", "%U %p", "-C", "4"]);
    let heard = ear.finish().success().text();
    let mut times = Vec::new();
    for line in heard.lines() {
        let (received, told) = line.split_once(' ').unwrap();
        let received: f64 = received.parse().unwrap();
        let seconds = |offset: f64| {
            let mut date = Command::new("date");
            date.env("TZ", ZONE).args([
                "-d",
                &format!("@{:.0}", (received + offset).floor()),
                "+%Y-%m-%d %H:%M:%S",
            ]);
            Program::run(&mut date, b"", SOON).success().text().trim_end().to_owned()
        };
        assert!(told == seconds(0.0) || told == seconds(-1.0), "{told:?} came at {:?}", seconds(0.0));
        times.push(received);
    }
    assert_eq!(times.len(), 4);
    let whole = times[3] - times[0];
    assert!((5.0..7.5).contains(&whole), "three intervals take {whole} s");
}

#[test]
fn the_broker_alone() {
    let mut up = Up::start(&["--no-thing"]);
    let ear = Ear::of(peers::ours("mosquitto_sub"), up.port, &["-t", "#", "-v", "-W", "3"]);
    let mut publish = peers::ours("mosquitto_pub");
    publish.args(["-p", &up.port.to_string(), "-t", "hello", "-m", "Hello, World!"]);
    Program::run(&mut publish, b"", SOON).success();
    assert_eq!(ear.finish().text(), "hello Hello, World!\n");
    up.program.type_line("press");
    up.program.type_line("quit");
    let end = up.program.finish(SOON).success();
    assert!(!end.text().contains("thing"), "{}", end.text());
    assert!(end.text().contains("  words   quit\n"), "{}", end.text());
}

#[test]
fn other_addresses_are_served_only_when_public() {
    // of this machine, but not the one that a broker for this machine listens on
    const OTHER: &str = "127.0.0.2";
    let private = Up::start(&["--no-thing"]);
    let reaches = |address: &str, port| TcpStream::connect((address, port)).is_ok();
    assert!(reaches("127.0.0.1", private.port) && reaches("::1", private.port));
    assert!(!reaches(OTHER, private.port));
    let public = Up::start(&["--no-thing", "--public"]);
    assert!(reaches(OTHER, public.port) && reaches("127.0.0.1", public.port) && reaches("::1", public.port));
    let mut publish = peers::ours("mosquitto_pub");
    publish.args(["-h", OTHER, "-p", &public.port.to_string(), "-t", "a", "-m", "anybody may"]);
    Program::run(&mut publish, b"", SOON).success();
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let end = Program::run(&mut command(port, &[]), b"", SOON);
    drop(taken);
    let line =
        format!("Error: Address already in use (port {port}); is another broker running? Try --port.\n");
    assert_eq!((end.code, end.text().as_str(), end.stderr.as_str()), (1, "", line.as_str()));
}

#[test]
fn an_interrupt_ends_all_of_it() {
    for terminate in [false, true] {
        let mut up = Up::start(&[]);
        let ip = up.address();
        let ear = Ear::of(peers::ours("mosquitto_sub"), up.port, &["-t", "+/availability", "-v"]);
        ear.hears(&format!("{ip}/availability online"));
        // the end of the input is not the end of the program: only a word is
        up.program.close_stdin();
        std::thread::sleep(Duration::from_millis(200));
        assert!(up.program.is_running());
        if terminate {
            up.program.terminate();
        } else {
            up.program.interrupt();
        }
        ear.hears(&format!("{ip}/availability offline"));
        let end = up.program.finish(SOON).success();
        assert_eq!(end.stderr, "");
        assert!(TcpListener::bind(("127.0.0.1", up.port)).is_ok(), "something still listens");
    }
}

#[test]
fn a_thing_beside_it_is_another_client() {
    let mut up = Up::start(&[]);
    let mut thing = peers::ours("thing");
    let thing = Program::start(thing.args(["-p", &up.port.to_string(), "--board", "simulated", "-v"]));
    thing.wait_for_stderr("subscribed to", SOON);
    up.program.type_line("press");
    thing.wait_for_stderr("led0: on", SOON);
    thing.interrupt();
    let end = thing.finish(SOON).success();
    assert!(!end.stderr.contains("taken over"), "{}", end.stderr);
}

#[test]
fn keys_play_the_board_in_a_terminal() {
    let port = free_port();
    let mut up = Terminal::start(&command(port, &[]));
    up.shows("  keys    b  press or release the button    + -  turn the knob    q  end\n");
    up.shows("button0 released  potentiometer0    0    led0 off   led1 off");
    assert!(!up.is_as_before());
    for (keys, shown) in [
        ("b", "button0 pressed   potentiometer0    0    led0 on    led1 off"),
        ("+", "button0 pressed   potentiometer0   32    led0 on    led1 3 %"),
        ("++", "button0 pressed   potentiometer0   96    led0 on    led1 9 %"),
        ("-", "button0 pressed   potentiometer0   64    led0 on    led1 6 %"),
        ("\x1b[A\x1b[C", "button0 pressed   potentiometer0  128    led0 on    led1 12 %"),
        ("\x1b[B", "button0 pressed   potentiometer0   96    led0 on    led1 9 %"),
        ("\x1bb", "button0 released  potentiometer0   96    led0 off   led1 9 %"),
    ] {
        up.type_keys(keys);
        up.shows(shown);
    }
    up.type_keys("q");
    eventually(|| up.is_as_before(), || "the terminal stays without echo".to_owned());
    let (code, text) = up.finish();
    assert_eq!(code, 0, "{text}");
    let (_, play) = text.split_once("q  end\n").unwrap();
    let echoed: Vec<&str> =
        play.lines().filter(|line| !line.is_empty() && !line.starts_with("  button0 ")).collect();
    assert!(echoed.is_empty(), "keys are echoed: {echoed:?}");
}

#[test]
fn ctrl_c_in_a_terminal_ends_it_and_gives_the_terminal_back() {
    let port = free_port();
    let mut up = Terminal::start(&command(port, &[]));
    wait_until_listening(port, SOON);
    up.shows("led0 off");
    let ear = Ear::of(peers::ours("mosquitto_sub"), port, &["-t", "+/availability", "-F", "%p"]);
    ear.hears("online");
    up.type_keys("\x03");
    ear.hears("offline");
    eventually(|| up.is_as_before(), || "the terminal stays without echo".to_owned());
    assert_eq!(up.finish().0, 0);
}
