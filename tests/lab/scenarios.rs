//! The two scenarios: the shipped files, things of different addresses with boards that a test can press and look at, and
//! one broker.

use std::net::IpAddr;
use std::time::Duration;

use grovemq_tests::{Broker, SOON, peers};
use grovemq_thing::{AnalogPin, BoardChoice, Config, Error, Log, Pin, SimulatedBoard, run};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::bench::Ear;

const BUTTON: Pin = Pin::D3;
const LED: Pin = Pin::D4;
const DIMMED: Pin = Pin::D5;
const KNOB: AnalogPin = AnalogPin::A0;

/// A thing that has subscribed, and its board.
pub(crate) struct Thing {
    pub(crate) board: SimulatedBoard,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Thing {
    /// The thing of a file below `examples/lab`, at this broker.
    async fn of_example(file: &str, port: u16) -> Self {
        let config = Config::load(&peers::repository().join("examples/lab").join(file)).unwrap();
        Self::start(config, port).await
    }

    pub(crate) async fn start(mut config: Config, port: u16) -> Self {
        config.broker.port = port;
        let board = SimulatedBoard::default();
        let (line, mut lines) = mpsc::unbounded_channel();
        // the test may be over already
        let log = Log::new(true, move |text| drop(line.send(text.to_owned())));
        let (stop, stopped) = oneshot::channel();
        let subscriptions: usize = config.actuators.iter().map(|actuator| actuator.subscribe.len()).sum();
        let choice = BoardChoice::Simulated(board.clone());
        let task = tokio::spawn(run(config, choice, log, async { drop(stopped.await) }));
        for _ in 0..subscriptions {
            while !timeout(SOON, lines.recv()).await.unwrap().unwrap().starts_with("subscribed to") {}
        }
        Self { board, stop, task }
    }

    /// Ctrl+C.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        timeout(SOON, self.task).await.unwrap().unwrap().unwrap();
        assert_eq!((self.board.brightness(LED), self.board.brightness(DIMMED)), (0, 0));
    }
}

/// Waits until the lamps on this port shine like this.
pub(crate) async fn shine(things: &[&Thing], port: Pin, wanted: u8) {
    let shown = || things.iter().map(|thing| thing.board.brightness(port)).collect::<Vec<_>>();
    let all = async {
        while shown().iter().any(|brightness| *brightness != wanted) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(SOON, all).await;
    assert!(reached.is_ok(), "{port} shines {:?}, not {wanted}", shown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_button_lights_the_leds_of_two_things() {
    let broker = Broker::ours();
    let ear = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "+/sensors/#", "-v"]);
    let one = Thing::of_example("scenario-1/thing-1.toml", broker.port()).await;
    let two = Thing::of_example("scenario-1/thing-2.toml", broker.port()).await;
    for (pressed, payload, brightness) in [(true, "True", 255), (false, "False", 0), (true, "True", 255)] {
        one.board.set_digital(BUTTON, pressed);
        ear.hears(&format!("127.0.0.2/sensors/button0 {payload}"));
        shine(&[&one, &two], LED, brightness).await;
    }
    // each has its own name, made of its address
    broker.wait_for_log("-127.0.0.2 (p5");
    broker.wait_for_log("-127.0.0.3 (p5");
    // one ends dark; the other stays as it is, and nobody presses any more
    one.end().await;
    assert_eq!(two.board.brightness(LED), 255);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_third_thing_may_join() {
    let broker = Broker::ours();
    let one = Thing::of_example("scenario-1/thing-1.toml", broker.port()).await;
    let two = Thing::of_example("scenario-1/thing-2.toml", broker.port()).await;
    let file = peers::repository().join("examples/lab/scenario-1/thing-2.toml");
    let mut config = Config::load(&file).unwrap();
    config.address = Some("127.0.0.4".parse::<IpAddr>().unwrap());
    let three = Thing::start(config, broker.port()).await;
    one.board.set_digital(BUTTON, true);
    shine(&[&one, &two, &three], LED, 255).await;
    one.board.set_digital(BUTTON, false);
    shine(&[&one, &two, &three], LED, 0).await;
    // a button of his own has none of the others
    two.board.set_digital(BUTTON, true);
    sleep(Duration::from_millis(400)).await;
    shine(&[&one, &two, &three], LED, 0).await;
    for thing in [one, two, three] {
        thing.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_knob_dims_the_third_led_over_the_network() {
    let broker = Broker::ours();
    let ear = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "+/sensors/#", "-v"]);
    let one = Thing::of_example("scenario-2/thing-1.toml", broker.port()).await;
    let two = Thing::of_example("scenario-2/thing-2.toml", broker.port()).await;
    one.board.set_digital(BUTTON, true);
    shine(&[&one, &two], LED, 255).await;
    for (position, duty) in [(1023, 255), (512, 128), (255, 64), (3, 1), (0, 0), (1000, 249)] {
        two.board.set_analog(KNOB, position);
        ear.hears(&format!("127.0.0.3/sensors/potentiometer0 {position}"));
        shine(&[&one], DIMMED, duty).await;
    }
    // flicker of the converter is nothing to tell
    let told = ear.lines().len();
    two.board.set_analog(KNOB, 1002);
    sleep(Duration::from_millis(900)).await;
    assert_eq!((ear.lines().len(), one.board.brightness(DIMMED)), (told, 249));
    // the button is still pressed, and the other knob's LED is not the first thing's business
    assert_eq!((one.board.brightness(LED), two.board.brightness(LED)), (255, 255));
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn things_find_each_other_again_after_the_broker_was_away() {
    let broker = Broker::ours();
    let one = Thing::of_example("scenario-2/thing-1.toml", broker.port()).await;
    let two = Thing::of_example("scenario-2/thing-2.toml", broker.port()).await;
    let broker = broker.restart(grovemq_tests::Kind::Ours);
    // while they are on their way back
    one.board.set_digital(BUTTON, true);
    two.board.set_analog(KNOB, 1023);
    shine(&[&one], LED, 255).await;
    // the second thing may have come later than the message: what was missed is told with the next change
    broker.wait_for_log("-127.0.0.3 (p5");
    one.board.set_digital(BUTTON, false);
    shine(&[&one, &two], LED, 0).await;
    two.board.set_analog(KNOB, 300);
    shine(&[&one], DIMMED, 75).await;
    one.end().await;
    two.end().await;
}
