//! A store as JSON lines, out and in again; and what another broker left, into a store.
//!
//! ```text
//! {"kind":"message","id":1,"topic":"lab/t","payload":"21.5","qos":1}          before the first line that names it
//! {"kind":"session","client_id":"a","expiry":4294967295,"queue":[{"seq":1,"message":1,"qos":1}],…}
//! {"kind":"retained","message":1}
//! ```

use crate::clock::Clock;
use crate::{Error, Recovery, Store};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use grovemq_codec::{Qos, RetainHandling, SubscribeOptions};
use grovemq_core::Message;
use grovemq_core::journal::{
    QueuedImage, Record, Saved, SavedSession, SessionImage, StoredId, SubscriptionImage, WillImage,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Records committed together.
const GROUP: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Message(MessageLine),
    Session(SessionLine),
    Retained { message: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct MessageLine {
    id: u64,
    topic: String,
    /// If it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// Of MQTT 5, as on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties_base64: Option<String>,
    qos: u8,
    #[serde(default)]
    retain: bool,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SessionLine {
    client_id: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mount: Option<Box<str>>,
    expiry: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    will: Option<WillLine>,
    #[serde(default)]
    subscriptions: Vec<SubscriptionLine>,
    #[serde(default)]
    queue: Vec<QueuedLine>,
    #[serde(default)]
    received: Vec<u16>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WillLine {
    message: u64,
    due: u64,
    expiry: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SubscriptionLine {
    filter: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Box<str>>,
    qos: u8,
    #[serde(default)]
    no_local: bool,
    #[serde(default)]
    retain_as_published: bool,
    #[serde(default)]
    retain_handling: u8,
    /// 0 is none.
    #[serde(default)]
    id: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct QueuedLine {
    seq: u64,
    /// None where the receiver owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<u64>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<Box<[u32]>>,
}

/// Writes all of a store that has not been read yet. `epoch` is the one it was opened with.
pub fn export(store: &mut dyn Store, epoch: SystemTime, out: &mut dyn Write) -> Result<Recovery, Error> {
    let mut writer = Writer { out, clock: Clock::new(epoch), known: HashMap::new() };
    let mut written = Ok(());
    let found = store.recover(&mut |saved| {
        if written.is_ok() {
            written = writer.saved(&saved);
        }
    })?;
    written.and_then(|()| writer.out.flush()).map_err(|e| Error::io(Path::new("export"), "write", e))?;
    Ok(found)
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    clock: Clock,
    /// By address, which is theirs as long as they are held.
    known: HashMap<usize, (u64, Arc<Message>)>,
}

impl Writer<'_> {
    fn saved(&mut self, saved: &Saved) -> io::Result<()> {
        let line = match saved {
            Saved::Retained(message) => Line::Retained { message: self.message(message)? },
            Saved::Session(session) => Line::Session(self.session(session)?),
        };
        self.line(&line)
    }

    fn session(&mut self, session: &SavedSession) -> io::Result<SessionLine> {
        let image = &session.image;
        let mut queue = Vec::with_capacity(session.queue.len());
        for (seq, entry) in &session.queue {
            queue.push(match entry {
                None => QueuedLine { seq: *seq, message: None, qos: 2, retain: false, ids: None },
                Some(queued) => QueuedLine {
                    seq: *seq,
                    message: Some(self.message(&queued.message)?),
                    qos: queued.qos as u8,
                    retain: queued.retain,
                    ids: queued.ids.clone(),
                },
            });
        }
        let will = match &image.will {
            None => None,
            Some(will) => {
                Some(WillLine { message: self.message(&will.message)?, due: will.due, expiry: will.expiry })
            }
        };
        Ok(SessionLine {
            client_id: image.client_id.clone(),
            username: image.username.clone(),
            mount: image.mount.clone(),
            expiry: image.expiry,
            expires: image.expires,
            will,
            subscriptions: session.subscriptions.iter().map(subscription_line).collect(),
            queue,
            received: session.received.clone(),
        })
    }

    /// The number of a message, which is written when it is named first.
    fn message(&mut self, message: &Arc<Message>) -> io::Result<u64> {
        let next = self.known.len() as u64 + 1;
        let address = Arc::as_ptr(message).addr();
        if let Some((id, _)) = self.known.get(&address) {
            return Ok(*id);
        }
        let letter = self.clock.letter(message);
        let payload = str::from_utf8(letter.payload).ok();
        let properties = Some(letter.properties).filter(|properties| !properties.is_empty());
        self.line(&Line::Message(MessageLine {
            id: next,
            topic: letter.topic.into(),
            payload: payload.map(Into::into),
            payload_base64: payload.is_none().then(|| STANDARD.encode(letter.payload)),
            properties_base64: properties.map(|properties| STANDARD.encode(properties)),
            qos: letter.qos as u8,
            retain: letter.retain,
            expires: letter.expires,
        }))?;
        self.known.insert(address, (next, message.clone()));
        Ok(next)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

fn subscription_line(image: &SubscriptionImage) -> SubscriptionLine {
    SubscriptionLine {
        filter: image.filter.clone(),
        group: image.group.clone(),
        qos: image.options.qos as u8,
        no_local: image.options.no_local,
        retain_as_published: image.options.retain_as_published,
        retain_handling: image.options.retain_handling as u8,
        id: image.id,
    }
}

/// Adds what [`export`] has written to a store that has been recovered; `first` is the first id for its sessions, `path`
/// what `input` is called. Stops at the first line that makes no sense; what came before it stays.
pub fn import(
    input: &mut dyn BufRead,
    path: &Path,
    epoch: SystemTime,
    first: StoredId,
    store: &mut dyn Store,
) -> Result<Recovery, Error> {
    let mut reader = Reader { clock: Clock::new(epoch), messages: HashMap::new(), next: first };
    take_over(store, |visit| {
        let mut found = Recovery::default();
        for (n, line) in (&mut *input).lines().enumerate() {
            let line = line.map_err(|e| Error::io(path, "read", e))?;
            let refuse = |what: String| Error::Unreadable {
                path: path.into(),
                what: format!("line {}: {what}", n + 1),
            };
            if line.trim().is_empty() {
                continue;
            }
            let line = serde_json::from_str(&line).map_err(|e| refuse(e.to_string()))?;
            if let Some(saved) = reader.line(line).map_err(refuse)? {
                match &saved {
                    Saved::Retained(_) => found.retained += 1,
                    Saved::Session(session) => {
                        found.sessions += 1;
                        found.subscriptions += session.subscriptions.len() as u64;
                        found.queued += session.queue.len() as u64;
                        found.highest_session = session.image.id;
                    }
                }
                visit(saved);
            }
        }
        Ok(found)
    })
}

struct Reader {
    clock: Clock,
    messages: HashMap<u64, Arc<Message>>,
    next: StoredId,
}

impl Reader {
    fn line(&mut self, line: Line) -> Result<Option<Saved>, String> {
        match line {
            Line::Message(line) => {
                let (id, message) = (line.id, self.message(line)?);
                self.messages.insert(id, message);
                Ok(None)
            }
            Line::Retained { message } => Ok(Some(Saved::Retained(self.named(message)?))),
            Line::Session(line) => Ok(Some(Saved::Session(Box::new(self.session(line)?)))),
        }
    }

    fn message(&self, line: MessageLine) -> Result<Arc<Message>, String> {
        let decode =
            |text: Option<String>| STANDARD.decode(text.unwrap_or_default()).map_err(|e| e.to_string());
        let payload = match line.payload {
            Some(text) => text.into_bytes(),
            None => decode(line.payload_base64)?,
        };
        grovemq_codec::topic::validate_name(&line.topic).map_err(|e| format!("{}: {e}", line.topic))?;
        let properties = decode(line.properties_base64)?;
        grovemq_codec::PublishProperties::read(&properties).map_err(|e| format!("properties: {e}"))?;
        let letter = crate::change::Letter {
            topic: &line.topic,
            properties: &properties,
            payload: &payload,
            qos: qos(line.qos)?,
            retain: line.retain,
            expires: line.expires,
        };
        Ok(self.clock.message(&letter))
    }

    fn session(&mut self, line: SessionLine) -> Result<SavedSession, String> {
        let will = match line.will {
            None => None,
            Some(will) => {
                let message = self.named(will.message)?;
                Some(WillImage { message, due: will.due, expiry: will.expiry })
            }
        };
        let queue =
            line.queue.into_iter().map(|queued| self.queued(queued)).collect::<Result<Vec<_>, _>>()?;
        let id = self.next;
        self.next += 1;
        let image = SessionImage {
            id,
            client_id: line.client_id,
            username: line.username,
            mount: line.mount,
            expiry: line.expiry,
            expires: line.expires,
            will,
        };
        let subscriptions = line.subscriptions.into_iter().map(subscription).collect::<Result<_, _>>()?;
        Ok(SavedSession { image, subscriptions, queue, received: line.received })
    }

    fn queued(&self, line: QueuedLine) -> Result<(u64, Option<QueuedImage>), String> {
        let QueuedLine { seq, message, retain, ids, .. } = line;
        let Some(message) = message else { return Ok((seq, None)) };
        let (message, qos) = (self.named(message)?, qos(line.qos)?);
        Ok((seq, Some(QueuedImage { seq, message, qos, retain, ids })))
    }

    fn named(&self, id: u64) -> Result<Arc<Message>, String> {
        self.messages.get(&id).cloned().ok_or_else(|| format!("there is no message {id} before it"))
    }
}

fn qos(number: u8) -> Result<Qos, String> {
    Qos::from_u8(number).ok_or_else(|| format!("there is no QoS {number}"))
}

fn subscription(line: SubscriptionLine) -> Result<SubscriptionImage, String> {
    grovemq_codec::topic::validate_filter(&line.filter).map_err(|e| format!("{}: {e}", line.filter))?;
    let retain_handling = match line.retain_handling {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        other => return Err(format!("there is no retain handling {other}")),
    };
    let options = SubscribeOptions {
        qos: qos(line.qos)?,
        no_local: line.no_local,
        retain_as_published: line.retain_as_published,
        retain_handling,
    };
    Ok(SubscriptionImage { filter: line.filter, group: line.group, options, id: line.id })
}

/// Commits everything that `source` hands out: a reader such as [`crate::read_mosquitto_db`], or another store.
pub fn take_over(
    store: &mut dyn Store,
    source: impl FnOnce(&mut dyn FnMut(Saved)) -> Result<Recovery, Error>,
) -> Result<Recovery, Error> {
    let mut group = Vec::new();
    let mut committed = Ok(());
    let found = source(&mut |saved| {
        records(saved, &mut group);
        if committed.is_ok() && group.len() >= GROUP {
            committed = store.commit(&group);
            group.clear();
        }
    })?;
    committed?;
    store.commit(&group)?;
    store.flush()?;
    Ok(found)
}

/// What makes a store hold this.
fn records(saved: Saved, group: &mut Vec<Record>) {
    let session = match saved {
        Saved::Retained(message) => return group.push(Record::Retained(message)),
        Saved::Session(session) => session,
    };
    let id = session.image.id;
    group.push(Record::Session(Box::new(session.image)));
    group.extend(session.subscriptions.into_iter().map(|image| Record::Subscribed(id, Box::new(image))));
    for (seq, entry) in session.queue {
        let owned = entry.is_none();
        let image = entry.unwrap_or_else(|| owned_image(seq));
        group.push(Record::Queued(id, image));
        if owned {
            group.push(Record::Owned { session: id, seq });
        }
    }
    let received = session.received.into_iter();
    group.extend(received.map(|packet_id| Record::Received { session: id, packet_id }));
}

/// A message that is on its way only until the next record says that its receiver has it.
fn owned_image(seq: u64) -> QueuedImage {
    let empty = grovemq_core::MessageRef {
        topic: "",
        properties: &[],
        payload: &[],
        qos: Qos::ExactlyOnce,
        retain: false,
        expires: None,
    };
    QueuedImage { seq, message: empty.to_shared(), qos: Qos::ExactlyOnce, retain: false, ids: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Picture, parse_mosquitto_db, read_mosquitto_db};
    use grovemq_core::Time;
    use std::time::{Duration, UNIX_EPOCH};

    const EPOCH: SystemTime = UNIX_EPOCH;

    fn of_debian() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mosquitto-2.0.11.db")
    }

    fn picture(store: &mut dyn Store) -> Picture {
        let mut picture = Picture::default();
        store.recover(&mut |saved| picture.insert(saved)).unwrap();
        picture
    }

    #[test]
    fn e20_what_mosquitto_left_goes_into_a_store_and_out_and_in_again() {
        let mut store = Memory::default();
        let path = of_debian();
        let found = take_over(&mut store, |visit| read_mosquitto_db(&path, EPOCH, 1, visit)).unwrap();
        assert_eq!((found.sessions, found.subscriptions, found.queued, found.retained), (3, 2, 18, 2));
        assert_eq!(found.lost, []);

        let mut sessions = Vec::new();
        let mut retained = Vec::new();
        store
            .recover(&mut |saved| match saved {
                Saved::Session(session) => sessions.push(session),
                Saved::Retained(message) => retained.push(message),
            })
            .unwrap();
        let [keeper, old, timed] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!(
            (&*keeper.image.client_id, keeper.image.expiry, &keeper.image.expires),
            ("keeper", u32::MAX, &None)
        );
        assert_eq!(&*keeper.subscriptions[0].filter, "lab/+/t");
        assert_eq!(keeper.subscriptions[0].options.qos, Qos::AtLeastOnce);
        // the file has a name for it, but it is that of the client before it
        assert_eq!((&*old.image.client_id, &old.image.username), ("old", &None));
        assert_eq!((&*timed.image.client_id, timed.image.username.as_deref()), ("timed", Some("user")));
        assert_eq!(timed.image.expiry, 100);
        assert!(timed.image.expires.is_some_and(|at| at % 1000 == 0 && at > 1_600_000_000_000));
        let payloads = keeper.queue.iter().map(|(_, queued)| queued.as_ref().unwrap().message.payload());
        assert_eq!(payloads.collect::<Vec<_>>(), [&b"hello"[..], b"world", b"n1", b"n2", b"n3", b"n4"]);
        let (hello, kept) = (&retained[1], &retained[0]);
        assert_eq!((kept.topic(), hello.topic()), ("kept/x", "lab/a/t"));
        assert_eq!(hello.view().properties, [0x26, 0, 1, b'k', 0, 1, b'v']);
        assert!(hello.expires().is_some_and(|Time(at)| at > 1_600_000_000_000));

        let mut lines = Vec::new();
        export(&mut store.clone(), EPOCH, &mut lines).unwrap();
        let text = String::from_utf8(lines).unwrap();
        assert!(
            text.lines().next().unwrap().starts_with(r#"{"kind":"message","id":1,"topic":"lab/a/t""#),
            "{text}"
        );
        // each message once: six that are queued and one that is only retained
        assert_eq!(text.lines().filter(|line| line.contains(r#""kind":"message""#)).count(), 7);
        let mut second = Memory::default();
        import(&mut text.as_bytes(), Path::new("dump"), EPOCH, 1, &mut second).unwrap();
        assert_eq!(picture(&mut second), picture(&mut store));
        // a store that counts its time from later keeps the same hours
        let mut third = Memory::default();
        let later = EPOCH + Duration::from_secs(1000);
        import(&mut text.as_bytes(), Path::new("dump"), later, 7, &mut third).unwrap();
        let mut again = Vec::new();
        export(&mut third, later, &mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), text);
    }

    #[test]
    fn e20_of_a_damaged_file_the_rest_is_read_and_what_is_missing_named() {
        let (whole, path) = (std::fs::read(of_debian()).unwrap(), Path::new("mosquitto.db"));
        let read = |bytes: &[u8]| {
            let mut sessions = 0;
            let found = parse_mosquitto_db(bytes, path, EPOCH, 1, &mut |saved| {
                sessions += u64::from(matches!(saved, Saved::Session(_)));
            });
            found.inspect(|found| assert_eq!(found.sessions, sessions))
        };
        for cut in 0..whole.len() {
            match read(&whole[..cut]) {
                Ok(found) => assert!(found.queued + found.retained < 20 || found.lost_count > 0, "{cut}"),
                Err(e) => assert!(cut < 23, "{cut}: {e}"),
            }
        }
        for at in 23..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            read(&bytes).unwrap();
        }
        let mut bytes = whole.clone();
        // the subscription of "old" asks for a QoS that there is not
        bytes[2383 + 16] = 3;
        let found = read(&bytes).unwrap();
        assert_eq!(
            found.lost[0].to_string(),
            format!("{}:2383: what cannot be read as a subscription", path.display())
        );
        assert_eq!((found.sessions, found.subscriptions, found.retained), (3, 1, 2));
        bytes[22] = 9;
        let refused = read(&bytes).unwrap_err().to_string();
        assert!(refused.ends_with("a mosquitto.db of format 9; 2 to 6 can be read"), "{refused}");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let import = |text: &str| {
            import(&mut text.as_bytes(), Path::new("dump"), EPOCH, 1, &mut Memory::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            import("\n{\"kind\":\"retained\",\"message\":3}"),
            "dump: line 2: there is no message 3 before it"
        );
        assert!(
            import("{\"kind\":\"message\",\"id\":1,\"topic\":\"a/#\",\"qos\":0}")
                .starts_with("dump: line 1: a/#: ")
        );
        assert!(import("nonsense").starts_with("dump: line 1: expected"));
        assert!(
            import("{\"kind\":\"message\",\"id\":1,\"topic\":\"a\",\"qos\":3}")
                .ends_with("there is no QoS 3")
        );
    }

    #[test]
    fn what_is_owned_and_received_is_taken_over_too() {
        let text = r#"{"kind":"message","id":1,"topic":"a","payload_base64":"/wA=","qos":2}
            {"kind":"session","client_id":"c","expiry":9,"queue":[{"seq":4},{"seq":5,"message":1,"qos":2,"ids":[7]}],
             "received":[3]}"#
            .replace("\n             \"r", " \"r");
        let mut store = Memory::default();
        import(&mut text.as_bytes(), Path::new("dump"), EPOCH, 5, &mut store).unwrap();
        let mut all = Vec::new();
        store.recover(&mut |saved| all.push(saved)).unwrap();
        let [Saved::Session(session)] = &all[..] else { panic!("{all:?}") };
        assert_eq!((session.image.id, &session.received[..]), (5, &[3][..]));
        let [(4, None), (5, Some(queued))] = &session.queue[..] else { panic!("{session:?}") };
        assert_eq!((queued.message.payload(), queued.ids.as_deref()), (&[255, 0][..], Some(&[7][..])));
    }
}
