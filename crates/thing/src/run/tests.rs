//! A whole thing on a simulated board, against a peer of a few lines that speaks just enough MQTT 3.1.1.

use std::sync::{Arc, Mutex};

use grovemq_client::topic;
use grovemq_grovepi::simulated::{Fault, Firmware, SimulatedBoard};
use grovemq_grovepi::{AnalogPin, Pin as Port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Connect { level: u8 },
    Publish { topic: String, payload: String, retain: bool },
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Disconnect,
}

/// One broker with one client at a time.
struct Peer {
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Sent to the client as it is.
    inject: mpsc::UnboundedSender<Vec<u8>>,
    drop_connection: Arc<tokio::sync::Notify>,
    port: u16,
}

struct Running {
    hardware: SimulatedBoard,
    lines: Arc<Mutex<Vec<String>>>,
    shutdown: oneshot::Sender<()>,
    thing: JoinHandle<Result<(), Error>>,
}

impl Peer {
    /// Refuses protocol levels above `level_max`, as old brokers do.
    async fn start(level_max: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (note, seen) = mpsc::unbounded_channel();
        let (inject, mut injected) = mpsc::unbounded_channel();
        let drop_connection = Arc::new(tokio::sync::Notify::new());
        let dropped = Arc::clone(&drop_connection);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::select! {
                    () = serve(&mut stream, level_max, &note, &mut injected) => {}
                    () = dropped.notified() => {}
                }
            }
        });
        Self { seen, inject, drop_connection, port }
    }

    /// The next thing seen that `pick` accepts; others are passed over.
    async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(Seen) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let seen = self.seen.recv().await.expect("the peer runs");
                if let Some(found) = pick(seen) {
                    return found;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("not seen: {what}"))
    }

    /// The payload of the next message to this topic, and whether it is retained.
    async fn message(&mut self, wanted: &str) -> (String, bool) {
        self.next(wanted, |seen| match seen {
            Seen::Publish { topic, payload, retain } if topic == wanted => Some((payload, retain)),
            _ => None,
        })
        .await
    }

    fn publish(&self, topic: &str, payload: &str) {
        self.inject.send(publish_packet(topic, payload.as_bytes())).unwrap();
    }
}

/// Speaks with one client until it goes. Messages come back to it where it has subscribed to them.
async fn serve(
    stream: &mut TcpStream,
    level_max: u8,
    note: &mpsc::UnboundedSender<Seen>,
    injected: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let mut filters: Vec<String> = Vec::new();
    let mut input = Vec::new();
    loop {
        let Some((first, body)) = take_packet(&mut input) else {
            let mut buffer = [0; 4096];
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(count) if count > 0 => input.extend_from_slice(&buffer[..count]),
                    _ => return,
                },
                Some(packet) = injected.recv() => stream.write_all(&packet).await.unwrap(),
            }
            continue;
        };
        let mut strings = Strings(&body);
        let answer = match first >> 4 {
            1 => {
                strings.next();
                let level = strings.0[0];
                note.send(Seen::Connect { level }).unwrap();
                if level > level_max { vec![0x20, 2, 0, 1] } else { vec![0x20, 2, 0, 0] }
            }
            3 => {
                let (topic, payload) = (strings.next(), String::from_utf8(strings.0.to_vec()).unwrap());
                let back = filters.iter().any(|filter| topic::matches(filter, &topic));
                let packet = if back { publish_packet(&topic, payload.as_bytes()) } else { Vec::new() };
                note.send(Seen::Publish { topic, payload, retain: first & 1 == 1 }).unwrap();
                packet
            }
            8 => {
                let id = strings.packet_id();
                let mut answer = vec![0x90, 2, id[0], id[1]];
                let mut subscribed = Vec::new();
                while !strings.0.is_empty() {
                    subscribed.push(strings.next());
                    answer.push(strings.0[0]);
                    answer[1] += 1;
                    strings.0 = &strings.0[1..];
                }
                filters.extend(subscribed.clone());
                note.send(Seen::Subscribe(subscribed)).unwrap();
                answer
            }
            10 => {
                let id = strings.packet_id();
                let gone = std::iter::from_fn(|| (!strings.0.is_empty()).then(|| strings.next())).collect();
                note.send(Seen::Unsubscribe(gone)).unwrap();
                vec![0xb0, 2, id[0], id[1]]
            }
            12 => vec![0xd0, 0],
            14 => {
                note.send(Seen::Disconnect).unwrap();
                return;
            }
            other => panic!("packet type {other}"),
        };
        stream.write_all(&answer).await.unwrap();
    }
}

struct Strings<'a>(&'a [u8]);

impl Strings<'_> {
    fn next(&mut self) -> String {
        let len = usize::from(u16::from_be_bytes([self.0[0], self.0[1]]));
        let text = String::from_utf8(self.0[2..2 + len].to_vec()).unwrap();
        self.0 = &self.0[2 + len..];
        text
    }

    fn packet_id(&mut self) -> [u8; 2] {
        let id = [self.0[0], self.0[1]];
        self.0 = &self.0[2..];
        id
    }
}

/// First byte and body of a whole packet; none here is longer than two bytes of length can say.
fn take_packet(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (&first, &low) = (input.first()?, input.get(1)?);
    let (length, header) = if low < 128 {
        (usize::from(low), 2)
    } else {
        (usize::from(low & 127) | usize::from(*input.get(2)?) << 7, 3)
    };
    let body = input.get(header..header + length)?.to_vec();
    input.drain(..header + length);
    Some((first, body))
}

fn publish_packet(topic: &str, payload: &[u8]) -> Vec<u8> {
    let length = |count: usize| u8::try_from(count).unwrap();
    let mut packet = vec![0x30, length(2 + topic.len() + payload.len()), 0, length(topic.len())];
    assert!(packet[1] < 128);
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn start(port: u16, protocol: &str) -> Running {
    start_with(port, protocol, "")
}

/// A thing with these resources.
fn start_with(port: u16, protocol: &str, resources: &str) -> Running {
    let text = format!(
        "[broker]\nport = {port}\nprotocol = '{protocol}'\n[thing]\naddress = '127.0.0.2'\n{resources}"
    );
    let config = Config::parse(&text, "test").unwrap();
    let hardware = SimulatedBoard::new(Firmware::V1_4_0);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log = Log::new(false, move |line| sink.lock().unwrap().push(line.to_owned()));
    let (shutdown, end) = oneshot::channel();
    let board = BoardChoice::Simulated(hardware.clone());
    let thing = tokio::spawn(run(config, board, log, async { end.await.unwrap() }));
    Running { hardware, lines, shutdown, thing }
}

impl Running {
    async fn brightness(&self, port: Port, wanted: u8) {
        let reached = timeout(PATIENCE, async {
            while self.hardware.brightness(port) != wanted {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let shows = || self.hardware.brightness(port);
        reached.await.unwrap_or_else(|_| panic!("{port} shows {}, not {wanted}", shows()));
    }

    fn said(&self, part: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for the board's thread, which knows nothing of the clock that the others wait by.
    async fn waits(&self, what: &str, done: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
            sleep(Duration::from_millis(100)).await;
        }
        panic!("not true: {what}\n{:#?}", self.lines.lock().unwrap());
    }

    async fn end(self) -> Vec<String> {
        self.shutdown.send(()).unwrap();
        timeout(PATIENCE, self.thing).await.unwrap().unwrap().unwrap();
        assert_eq!(self.hardware.brightness(Port::D4), 0);
        assert_eq!(self.hardware.brightness(Port::D5), 0);
        self.lines.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn the_default_thing_from_start_to_end() {
    let mut peer = Peer::start(4).await;
    let thing = start(peer.port, "3.1.1");
    let filters =
        peer.next("subscribe", |seen| if let Seen::Subscribe(f) = seen { Some(f) } else { None }).await;
    assert_eq!(filters, ["127.0.0.2/sensors/button0", "127.0.0.2/sensors/potentiometer0"]);
    assert_eq!(peer.message("127.0.0.2/availability").await, ("online".to_owned(), true));

    thing.hardware.set_digital(Port::D3, true);
    while peer.message("127.0.0.2/sensors/button0").await != ("True".to_owned(), false) {}
    thing.brightness(Port::D4, 255).await;
    thing.hardware.set_analog(AnalogPin::A0, 512);
    while peer.message("127.0.0.2/sensors/potentiometer0").await != ("512".to_owned(), false) {}
    thing.brightness(Port::D5, 128).await;
    let (time, _) = peer.message("127.0.0.2/stuff/clock0").await;
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00");

    peer.publish("127.0.0.2/sensors/button0", "Hello, World!");
    peer.publish("127.0.0.2/sensors/potentiometer0", "1023");
    thing.brightness(Port::D5, 255).await;
    assert_eq!(thing.hardware.brightness(Port::D4), 255);
    let lines = thing.end().await;
    let ignored = "led0: ignores \"Hello, World!\" from \"127.0.0.2/sensors/button0\": not `True` or `False`";
    assert!(lines.iter().any(|line| line == ignored), "{lines:#?}");

    while peer.message("127.0.0.2/availability").await != ("offline".to_owned(), true) {}
    let gone =
        peer.next("unsubscribe", |seen| if let Seen::Unsubscribe(f) = seen { Some(f) } else { None }).await;
    assert_eq!(gone, filters);
    peer.next("disconnect", |seen| (seen == Seen::Disconnect).then_some(())).await;
}

#[tokio::test]
async fn after_a_lost_connection_the_present_state_is_told() {
    let mut peer = Peer::start(4).await;
    let thing = start(peer.port, "3.1.1");
    assert_eq!(peer.message("127.0.0.2/sensors/button0").await.0, "False");
    peer.drop_connection.notify_one();
    thing.hardware.set_digital(Port::D3, true);
    peer.next("connect", |seen| matches!(seen, Seen::Connect { .. }).then_some(())).await;
    // Each task tells its own state: the order is open.
    let mut awaited = vec![("127.0.0.2/availability", "online"), ("127.0.0.2/sensors/button0", "True")];
    peer.next("the present state", |seen| {
        if let Seen::Publish { topic, payload, .. } = seen {
            awaited.retain(|expected| *expected != (&*topic, &*payload));
        }
        awaited.is_empty().then_some(())
    })
    .await;
    thing.brightness(Port::D4, 255).await;
    assert_eq!(thing.said("the connection was lost; perhaps another client is called thing-"), 1);
    thing.end().await;
}

#[tokio::test]
async fn a_failing_board_is_told_once_and_keeps_the_last_value() {
    let mut peer = Peer::start(4).await;
    let thing = start(peer.port, "3.1.1");
    thing.hardware.set_analog(AnalogPin::A0, 700);
    while peer.message("127.0.0.2/sensors/potentiometer0").await.0 != "700" {}
    // The lamp has the value already: what follows concerns the sensors only.
    thing.brightness(Port::D5, 174).await;
    thing.hardware.inject(Fault::Nack, 100_000);
    // A lamp may be among them, if a message for it was still under way.
    let both = |text: &str| text.contains("button0") && text.contains("potentiometer0");
    while !both(&peer.message("127.0.0.2/availability").await.0) {}
    thing.hardware.clear_faults();
    while peer.message("127.0.0.2/availability").await != ("online".to_owned(), true) {}
    assert_eq!(thing.said("button0: digital read: I2C bus error") + thing.said("button0: pin mode"), 1);
    assert_eq!(thing.said("button0: works again"), 1);
    thing.end().await;
}

#[tokio::test]
async fn a_broker_without_mqtt_5_gets_the_older_version() {
    let mut peer = Peer::start(4).await;
    let thing = start(peer.port, "auto");
    peer.next("5", |seen| (seen == Seen::Connect { level: 5 }).then_some(())).await;
    peer.next("3.1.1", |seen| (seen == Seen::Connect { level: 4 }).then_some(())).await;
    assert_eq!(peer.message("127.0.0.2/availability").await.0, "online");
    thing.end().await;
}

#[tokio::test]
async fn without_a_broker_it_says_so_once_and_still_ends() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let thing = start(port, "auto");
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(thing.said("no connection"), 1);
    let lines = thing.end().await;
    assert_eq!(lines.last().unwrap(), "ending: actuators off");
}

const ALARM: &str = "
[[actuator]]
kind = 'buzzer'
name = 'alarm'
pin = 'D4'
subscribe = ['+/temperature']
combine = 'maximum'
above = 30
";

#[tokio::test]
async fn a_rule_follows_several_topics() {
    let mut peer = Peer::start(4).await;
    let thing = start_with(peer.port, "3.1.1", ALARM);
    peer.next("subscribe", |seen| matches!(seen, Seen::Subscribe(_)).then_some(())).await;
    peer.publish("kitchen/temperature", "31.5");
    thing.brightness(Port::D4, 255).await;
    peer.publish("cellar/temperature", "12");
    peer.publish("kitchen/temperature", "29");
    thing.brightness(Port::D4, 0).await;
    thing.end().await;
}

#[tokio::test]
async fn without_a_broker_what_has_to_be_safe_is() {
    let mut peer = Peer::start(4).await;
    let thing = start_with(peer.port, "3.1.1", &format!("{ALARM}safe_when_offline = true\n"));
    peer.next("subscribe", |seen| matches!(seen, Seen::Subscribe(_)).then_some(())).await;
    peer.publish("kitchen/temperature", "31.5");
    thing.brightness(Port::D4, 255).await;
    peer.drop_connection.notify_one();
    thing.brightness(Port::D4, 0).await;
    assert_eq!(thing.said("alarm: no broker: off"), 1);
    thing.end().await;
}

#[tokio::test]
async fn silence_is_unsafe_where_it_is_said_to_be() {
    let mut peer = Peer::start(4).await;
    let thing = start_with(peer.port, "3.1.1", &format!("{ALARM}timeout_s = 1\n"));
    peer.next("subscribe", |seen| matches!(seen, Seen::Subscribe(_)).then_some(())).await;
    for _ in 0..2 {
        peer.publish("kitchen/temperature", "31.5");
        thing.brightness(Port::D4, 255).await;
        thing.brightness(Port::D4, 0).await;
    }
    assert!(thing.said("alarm: nothing heard for too long: off") >= 2);
    thing.end().await;
}

#[tokio::test]
async fn programs_the_machine_and_json_are_published_too() {
    let mut peer = Peer::start(4).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let resources = format!(
        "[[sensor]]\nkind='command'\nname='said'\ncommand=['echo', '21.50']\npayload='json'\nunit='V'\n\
         [[sensor]]\nkind='memory'\nname='memory'\n\
         [[sensor]]\nkind='gpio'\nname='line'\nchip='/nonexistent/gpiochip'\nline=3\n\
         [[actuator]]\nkind='command'\nname='write'\nsubscribe=['write']\nsafe='end'\n\
         command=['sh', '-c', 'echo \"$1\" >> {}', 'sh', '{{value}}']\n",
        file.path().display()
    );
    let thing = start_with(peer.port, "3.1.1", &resources);
    let (mut said, mut degraded) = (None, false);
    peer.next("what was said, and what fails", |seen| {
        if let Seen::Publish { topic, payload, .. } = seen {
            degraded |= payload == "degraded: line";
            said = Some(payload).filter(|_| topic.ends_with("/sensors/said")).or(said.take());
        }
        (degraded && said.is_some()).then_some(())
    })
    .await;
    let said = said.unwrap();
    assert!(said.contains("\"value\":21.5") && said.contains("\"unit\":\"V\""), "{said}");
    peer.publish("write", "a line; and no more");
    let written = || std::fs::read_to_string(file.path()).unwrap();
    let reached = timeout(PATIENCE, async {
        while written() != "a line; and no more\n" {
            sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("{}", written()));
    let lines = thing.end().await;
    assert!(lines.iter().all(|line| !line.starts_with("using")), "no board is needed: {lines:?}");
    assert_eq!(written(), "a line; and no more\nend\n");
}

#[tokio::test]
async fn every_resource_is_introduced_at_each_connection() {
    let mut peer = Peer::start(4).await;
    let thing = start_with(peer.port, "3.1.1", "[home_assistant]\n[[sensor]]\nkind='clock'\nname='c'\n");
    for _ in 0..2 {
        let introduced = peer.next("introduction", |seen| match seen {
            Seen::Publish { topic, retain: true, .. } if topic.starts_with("homeassistant/sensor/thing-") => {
                Some(topic)
            }
            _ => None,
        });
        assert!(introduced.await.ends_with("/c/config"));
        peer.drop_connection.notify_one();
    }
    thing.end().await;
}

/// An hour of the thing's time, in which connection and board come and go. The real time is what the board's thread
/// needs: the clock goes on by itself whenever everybody else waits.
#[tokio::test(start_paused = true)]
async fn an_hour_of_coming_and_going_leaves_no_wrong_lamp_and_no_task() {
    const RESOURCES: &str = "[[sensor]]\nkind = 'button'\nname = 'button0'\npin = 'D3'\ninterval_ms = 500\n\
                             [[actuator]]\nkind = 'led'\nname = 'led0'\npin = 'D4'\n";
    let peer = Peer::start(4).await;
    let thing = start_with(peer.port, "3.1.1", RESOURCES);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (begin, mut first) = (tokio::time::Instant::now(), None);
    let (mut minute, mut away, mut pressed) = (0, 0, false);
    while begin.elapsed() < Duration::from_secs(3600) {
        minute += 1;
        pressed = !pressed;
        let (board, connection) = (minute % 2 == 0, minute % 3 == 0);
        thing.hardware.set_present(!board);
        if connection {
            peer.drop_connection.notify_one();
        }
        thing.hardware.set_digital(Port::D3, pressed);
        sleep(Duration::from_secs(20)).await;
        away += usize::from(board);
        // a board that is away for less than a look is not missed
        let missed = || thing.said("button0: digital read: ") + thing.said("button0: pin mode: ");
        thing.waits("the board is missed", || missed() == away).await;
        thing.hardware.set_present(true);
        thing.waits("the board is back", || thing.said("button0: works again") == away).await;
        let wanted = if pressed { 255 } else { 0 };
        thing.waits("the lamp is right", || thing.hardware.brightness(Port::D4) == wanted).await;
        sleep(Duration::from_secs(10)).await;
        if minute == 6 {
            first = Some(tasks());
        }
    }
    assert!(minute > 12, "{minute} minutes");
    assert_eq!(Some(tasks()), first);
    thing.shutdown.send(()).unwrap();
    thing.thing.await.unwrap().unwrap();
}
