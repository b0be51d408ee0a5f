//! `grovemq lab`: each scenario as its files are shipped, with what its things show and what everybody hears.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use grovemq_tests::{Program, SOON, free_port, peers, scratch};

use crate::bench::{Ear, eventually};

/// A scenario that runs.
struct Lab {
    program: Program,
    port: u16,
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = peers::ours("lab");
    command.args(arguments);
    command
}

impl Lab {
    #[track_caller]
    fn start(scenario: &str, options: &[&str]) -> Self {
        let port = free_port();
        let mut command = lab(&[scenario, "-p", &port.to_string()]);
        let program = Program::start(command.args(options));
        program.wait_for_stdout("  ready", SOON);
        Self { program, port }
    }

    /// Waits for a line of this thing with these words.
    #[track_caller]
    fn shows(&self, who: &str, words: &str) {
        let shown = || {
            let lines = self.program.stdout_lines();
            lines.iter().any(|line| line.contains(who) && line.contains(words))
        };
        eventually(shown, || format!("{who} does not show {words:?}\n{}", self.program.transcript()));
    }

    #[track_caller]
    fn ear(&self, arguments: &[&str]) -> Ear {
        Ear::of(peers::ours("sub"), self.port, arguments)
    }

    /// Ctrl+C: all take leave, and the port is free again.
    #[track_caller]
    fn end(self) {
        self.program.interrupt();
        let end = self.program.finish(SOON).success();
        assert_eq!(end.stderr, "");
        assert!(TcpListener::bind(("127.0.0.1", self.port)).is_ok(), "something still listens");
    }
}

#[test]
fn the_scenarios_are_listed() {
    let list = Program::run(&mut lab(&[]), b"", SOON).success().text();
    for name in ["scenario-1", "scenario-2", "scenario-3", "weather", "class"] {
        assert_eq!(list.lines().filter(|line| line.split(' ').next() == Some(name)).count(), 1, "{list}");
    }
}

#[test]
fn a_button_here_lights_leds_there() {
    let lab = Lab::start("scenario-1", &[]);
    let leave = lab.ear(&["-t", "+/availability", "-v"]);
    let ear = lab.ear(&["-t", "+/sensors/#", "-v"]);
    lab.shows("127.0.0.2 ", "D3 pressed, D4 on");
    lab.shows("127.0.0.3 ", "D4 on");
    ear.hears("127.0.0.2/sensors/button0 True");
    ear.hears("127.0.0.2/sensors/button0 False");
    lab.program.interrupt();
    leave.hears("127.0.0.2/availability offline");
    leave.hears("127.0.0.3/availability offline");
    lab.end();
}

#[test]
fn a_knob_here_dims_an_led_there() {
    let lab = Lab::start("scenario-2", &[]);
    let ear = lab.ear(&["-t", "127.0.0.3/sensors/potentiometer0", "-v"]);
    for (angle, brightness) in [("256", "D5 25 %"), ("512", "D5 50 %"), ("1023", "D5 on")] {
        ear.hears(&format!("127.0.0.3/sensors/potentiometer0 {angle}"));
        lab.shows("127.0.0.2 ", brightness);
    }
    lab.end();
}

#[test]
fn a_car_that_comes_too_near_is_told() {
    let lab = Lab::start("scenario-3", &[]);
    lab.shows("127.0.0.3 ", "LCD |80 cm |");
    lab.shows("127.0.0.3 ", "D5 ■■■■■■■■■■, D8 on, LCD |10 cm |");
    lab.end();
}

#[test]
fn a_warm_day_sets_off_the_alarm_and_stands_on_the_lcd() {
    let lab = Lab::start("weather", &[]);
    lab.shows("127.0.0.2 ", "LCD |2");
    lab.shows("127.0.0.3 ", "D8 off");
    let mut publish = peers::ours("pub");
    publish.args(["-p", &lab.port.to_string(), "-t", "192.0.2.9/sensors/temperature0", "-m", "31"]);
    Program::run(&mut publish, b"", SOON).success();
    lab.shows("127.0.0.3 ", "D8 on");
    lab.end();
}

#[test]
fn a_class_of_thirty_things_hears_the_bell() {
    let lab = Lab::start("class", &[]);
    let login = ["-u", "teacher", "-P", "iotlab", "-v", "-t"];
    let ear = lab.ear(&[&login[..], &["class/+/availability"]].concat());
    let online = || {
        let lines = ear.lines();
        lines.iter().filter(|line| line.ends_with(" online")).cloned().collect::<BTreeSet<_>>().len()
    };
    eventually(|| online() == 31, || format!("{:?}", ear.lines()));
    // who raises a hand is seen by the teacher
    lab.shows("127.0.0.3", "D3 pressed");
    lab.shows("127.0.0.2 ", "D4 on");
    // a pupil does not ring the bell
    let ring = |user: &str| {
        let mut publish = peers::ours("pub");
        let port = lab.port.to_string();
        publish.args(["-V", "5", "-q", "1", "-p", &port, "-u", user, "-P", "iotlab", "-t", "class/bell"]);
        Program::run(publish.args(["-m", "True"]), b"", SOON).stderr
    };
    assert!(ring("pupil").contains("Not authorized"), "{}", ring("pupil"));
    assert_eq!(ring("teacher"), "");
    lab.shows(" things ", "D4 on");
    lab.end();
}

#[test]
fn a_scenario_may_be_written_changed_and_run() {
    let home = scratch();
    let folder = home.path().join("mine");
    let folder = folder.to_str().unwrap();
    Program::run(&mut lab(&["scenario-1", "--write", folder]), b"", SOON).success();
    // what is there stays
    let again = Program::run(&mut lab(&["scenario-2", "--write", folder]), b"", SOON);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("lab.toml: File exists"), "{}", again.stderr);
    let file = format!("{folder}/thing-2.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("127.0.0.3", "127.0.0.77");
    std::fs::write(&file, text).unwrap();
    let lab = Lab::start(folder, &[]);
    lab.shows("127.0.0.77 ", "D4 on");
    lab.end();
}

#[test]
fn mistakes_in_a_scenario_are_named() {
    let home = scratch();
    let folder = home.path().to_str().unwrap();
    let complaint = |arguments: &[&str]| {
        let end = Program::run(&mut lab(arguments), b"", SOON);
        assert_eq!((end.code, end.text().as_str()), (1, ""));
        end.stderr
    };
    assert!(
        complaint(&["scenario-9"]).starts_with("Error: 'scenario-9' is neither a scenario nor a folder.")
    );
    assert!(complaint(&[folder]).starts_with("Error: lab.toml: No such file"));
    std::fs::write(home.path().join("lab.toml"), "about = 'x'\n[[thing]]\nfile = 'a.toml'\n").unwrap();
    std::fs::write(home.path().join("a.toml"), "[thing]\nbord = 1\n").unwrap();
    assert!(complaint(&[folder]).contains("a.toml:2:1: "), "{}", complaint(&[folder]));
    std::fs::write(home.path().join("a.toml"), "").unwrap();
    assert!(complaint(&[folder]).contains("a.toml: in a lab a thing needs an `address`"));
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert!(complaint(&["scenario-1", "-p", &port.to_string()]).contains("Address already in use"));
    drop(taken);
}

/// Its end is its own doing, and each thing comes from an address of its own.
#[test]
fn it_ends_by_itself() {
    let end = Program::run(&mut lab(&["scenario-1", "--for", "1s", "-v"]), b"", SOON).success();
    let log = format!("{}{}", end.text(), end.stderr);
    for address in ["127.0.0.2", "127.0.0.3"] {
        let connected = |line: &str| line.contains("New client connected from") && line.contains(address);
        assert!(
            log.lines().any(|line| connected(line) && line.contains(&format!("from {address}:"))),
            "{log}"
        );
    }
    assert!(log.contains("127.0.0.2: disconnected"), "{log}");
}
