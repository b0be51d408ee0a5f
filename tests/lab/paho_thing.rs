//! A thing of another kind, in Python on paho-mqtt, and ours on one broker: each one's button lights the other's LED.

use grovemq_tests::{Broker, Program, SOON, peers};
use grovemq_thing::{Config, Pin};

use crate::bench::{Ear, eventually};
use crate::scenarios::{Thing, shine};

const OURS: &str = "127.0.0.3";
const THEIRS: &str = "127.0.0.2";

fn python(port: u16) -> Program {
    let script = peers::repository().join("tests/lab/original_thing.py");
    let mut python = peers::paho_python();
    python.arg(script).args([&port.to_string(), THEIRS, &format!("{OURS}/sensors/button0")]);
    Program::start(&mut python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_lights_the_led_of_the_other() {
    let broker = Broker::ours();
    let ear = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "#", "-v"]);
    let mut theirs = python(broker.port());
    theirs.wait_for_stdout("subscribed", SOON);
    let text = format!(
        "[thing]\naddress = '{OURS}'\n\
         [[sensor]]\nkind = 'button'\nname = 'button0'\npin = 'D3'\n\
         [[actuator]]\nkind = 'led'\nname = 'led0'\npin = 'D4'\nsubscribe = ['{THEIRS}/sensors/button0']\n"
    );
    let ours = Thing::start(Config::parse(&text, "ours").unwrap(), broker.port()).await;

    theirs.type_line("press");
    shine(&[&ours], Pin::D4, 255).await;
    theirs.type_line("release");
    shine(&[&ours], Pin::D4, 0).await;
    for (pressed, shown) in [(true, "led0 on"), (false, "led0 off")] {
        ours.board.set_digital(Pin::D3, pressed);
        let shows = || theirs.stdout_lines().pop().is_some_and(|last| last == shown);
        eventually(shows, || format!("{shown:?} is not shown\n{}", theirs.transcript()));
    }

    for line in ["True", "False"].map(|payload| format!("/sensors/button0 {payload}")) {
        ear.hears(&format!("{OURS}{line}"));
        ear.hears(&format!("{THEIRS}{line}"));
    }
    // neither keeps its readings at the broker
    let arguments = ["-t", "+/sensors/#", "--retained-only", "-W", "1"];
    let late = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &arguments);
    assert_eq!(late.finish().text(), "");
    ours.end().await;
    theirs.interrupt();
    let end = theirs.finish(SOON).success();
    assert!(end.text().ends_with("ended\n"), "{}\n{}", end.text(), end.stderr);
}
