//! Files of each format, put together byte by byte.

use super::*;
use std::time::UNIX_EPOCH;

/// How the machine that wrote a file has numbers, times of old formats, and 64-bit numbers within a structure.
#[derive(Clone, Copy, Debug)]
struct Machine {
    big_endian: bool,
    time_len: usize,
    padding: bool,
}

const COMMON: Machine = Machine { big_endian: false, time_len: 8, padding: true };
const X86_32: Machine = Machine { big_endian: false, time_len: 4, padding: false };
const MIPS_32: Machine = Machine { big_endian: true, time_len: 4, padding: true };

/// 2033, in seconds.
const THEN: u64 = 2_000_000_000;
const OUTGOING: u8 = 1;
const WAITS_FOR_PUBACK: u8 = 3;
const WAITS_FOR_PUBREL: u8 = 7;

type Contents = (Recovery, Vec<SavedSession>, Vec<Arc<Message>>);

struct File {
    format: u32,
    machine: Machine,
    bytes: Vec<u8>,
}

impl File {
    fn new(format: u32, machine: Machine) -> Self {
        let bytes = [MAGIC, &[0; 4], &format.to_be_bytes()].concat();
        let mut file = Self { format, machine, bytes };
        // the end was orderly, names have 8 bytes, and the last one given
        let (flags, last) = ([1, 8], file.host(8));
        let body =
            if format < 5 { [&flags[..], &last].concat() } else { [&last[..], &flags, &[0; 6]].concat() };
        file.chunk(kind::CONFIGURATION, &body);
        file
    }

    fn is_old(&self) -> bool {
        self.format < 5
    }

    fn host(&self, number: u64) -> [u8; 8] {
        if self.machine.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn chunk(&mut self, kind: u32, body: &[u8]) {
        let kind = kind.to_be_bytes();
        self.bytes.extend_from_slice(if self.is_old() { &kind[2..] } else { &kind });
        self.bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        self.bytes.extend_from_slice(body);
    }

    fn message(&mut self, id: u64, topic: &str, qos: u8, retain: bool) {
        let (id, flags) = (self.host(id), [qos, u8::from(retain)]);
        let (source, payload) = (text("from"), b"payload");
        let payload_len = 7_u32.to_be_bytes();
        let body = match self.format {
            4 => [
                &id[..],
                &source,
                &text("user"),
                &[7, 91, 0, 9, 0, 8],
                &text(topic),
                &flags,
                &payload_len,
                payload,
            ]
            .concat(),
            2 | 3 => [&id[..], &source, &[0, 9, 0, 8], &text(topic), &flags, &payload_len, payload].concat(),
            _ => {
                let (expires, topic) = (self.host(THEN), text(topic));
                let lens = [&[0, 4, 0, 4], &topic[..2]].concat();
                let fixed = [&id[..], &expires, &payload_len, &[0, 9], &lens, &[7, 91], &flags].concat();
                [&fixed[..], b"from", b"user", &topic[2..], payload].concat()
            }
        };
        self.chunk(kind::MESSAGE, &body);
    }

    fn client(&mut self, id: &str, username: &str) {
        let time = self.host(THEN);
        let short = if self.machine.big_endian { &time[4..] } else { &time[..4] };
        let (client, user) = (text(id), text(username));
        let expiry = 100_u32.to_be_bytes();
        let padding = if self.machine.padding { &[0; 4][..] } else { &[] };
        let body = match self.format {
            2 => [&client[..], &[0, 6]].concat(),
            3 | 4 => [&client[..], &[0, 6], if self.machine.time_len == 4 { short } else { &time }].concat(),
            5 => [&time[..], &expiry, &[0, 6], &client].concat(),
            _ => {
                let fixed =
                    [&time[..], &expiry, &[0, 6], &client[..2], &[7, 91], &user[..2], padding].concat();
                [&fixed[..], &client[2..], &user[2..]].concat()
            }
        };
        // format 5 has the length among the other numbers, right before the name, as a text has it
        self.chunk(kind::CLIENT, &body);
    }

    fn client_message(
        &mut self,
        client: &str,
        message: u64,
        packet_id: u16,
        qos: u8,
        direction: u8,
        state: u8,
    ) {
        let (client, id, packet_id) = (text(client), self.host(message), packet_id.to_be_bytes());
        let body = if self.is_old() {
            [&client[..], &id, &packet_id, &[qos, 0, direction, state, 0]].concat()
        } else {
            [&id[..], &packet_id, &client[..2], &[qos, state, 0, direction], &client[2..]].concat()
        };
        self.chunk(kind::CLIENT_MESSAGE, &body);
    }

    fn subscription(&mut self, client: &str, filter: &str, qos: u8) {
        let (client, filter) = (text(client), text(filter));
        let body = if self.is_old() {
            [&client[..], &filter, &[qos]].concat()
        } else {
            [&[0; 4][..], &client[..2], &filter[..2], &[qos, 0, 0, 0], &client[2..], &filter[2..]].concat()
        };
        self.chunk(kind::SUBSCRIPTION, &body);
    }

    fn retained(&mut self, message: u64) {
        let id = self.host(message);
        self.chunk(kind::RETAINED, &id);
    }

    fn read(&self) -> Contents {
        read(&self.bytes).unwrap()
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn read(bytes: &[u8]) -> Result<Contents, Error> {
    let (mut sessions, mut retained) = (Vec::new(), Vec::new());
    let found = parse_mosquitto_db(bytes, Path::new("db"), UNIX_EPOCH, 1, &mut |saved| match saved {
        Saved::Session(session) => sessions.push(*session),
        Saved::Retained(message) => retained.push(message),
    })?;
    Ok((found, sessions, retained))
}

/// A subscriber with a message on its way, which is also retained.
fn common(format: u32, machine: Machine) -> File {
    let mut file = File::new(format, machine);
    file.message(7, "t/a", 1, true);
    file.client("sub", "me");
    file.client_message("sub", 7, 5, 1, OUTGOING, WAITS_FOR_PUBACK);
    file.retained(7);
    file.subscription("sub", "t/#", 1);
    file
}

#[test]
fn e20_every_format_of_every_machine_is_read() {
    for format in FORMATS {
        for machine in [COMMON, X86_32, MIPS_32] {
            let place = format!("format {format}, {machine:?}");
            let (found, sessions, retained) = common(format, machine).read();
            assert_eq!(found.lost, [], "{place}");
            let [session] = &sessions[..] else { panic!("{place}: {sessions:?}") };
            let image = &session.image;
            let (expiry, expires) = if format < 5 { (u32::MAX, None) } else { (100, Some(THEN * 1000)) };
            assert_eq!((&*image.client_id, image.expiry, image.expires), ("sub", expiry, expires), "{place}");
            assert_eq!(image.username.as_deref(), (format == 6).then_some("me"), "{place}");
            let [subscription] = &session.subscriptions[..] else { panic!("{place}: {session:?}") };
            assert_eq!(
                (&*subscription.filter, subscription.options.qos),
                ("t/#", Qos::AtLeastOnce),
                "{place}"
            );
            let [(5, Some(queued))] = &session.queue[..] else { panic!("{place}: {session:?}") };
            assert_eq!(
                (queued.message.topic(), queued.message.payload()),
                ("t/a", &b"payload"[..]),
                "{place}"
            );
            let expires = (format >= 5).then_some(THEN * 1000);
            assert_eq!(queued.message.expires().map(|time| time.0), expires, "{place}");
            assert_eq!(retained, std::slice::from_ref(&queued.message), "{place}");
        }
    }
    for format in [1, 7] {
        let refused = read(&common(format, COMMON).bytes).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("of format {format}; 2 to 6 can be read")), "{refused}");
    }
}

#[test]
fn a_name_of_four_bytes_is_not_taken_for_padding() {
    let mut file = File::new(6, X86_32);
    file.client("subscriber", "four");
    assert_eq!(&*file.read().1[0].image.client_id, "subscriber");
}

#[test]
fn a_session_that_came_with_an_old_file_is_kept_when_mosquitto_has_written_it_anew() {
    let mut file = File::new(6, COMMON);
    let fixed = [&[0; 12][..], &[0, 6, 0, 3], &[7, 91, 0, 0], &[0; 4]].concat();
    file.chunk(kind::CLIENT, &[&fixed[..], b"old"].concat());
    let (found, sessions, _) = file.read();
    assert_eq!((found.lost_count, sessions[0].image.expiry), (0, u32::MAX));
}

#[test]
fn e20_damage_to_an_old_file_is_named_and_the_rest_read() {
    for format in 2..=4 {
        let whole = common(format, COMMON).bytes;
        for at in 0..whole.len() {
            if let Ok((found, ..)) = read(&whole[..at]) {
                assert!(found.subscriptions == 0 || found.lost_count > 0, "{format}, cut at {at}");
            }
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            read(&bytes).ok();
        }
        let mut file = File::new(format, COMMON);
        file.subscription("sub", "t/#/t", 1);
        file.client("sub", "");
        file.chunk(9, b"?");
        let (found, sessions, _) = file.read();
        assert_eq!((found.lost_count, sessions.len()), (2, 1), "{:?}", found.lost);
        assert!(found.lost[0].to_string().ends_with("what cannot be read as a subscription"));
        assert!(found.lost[1].to_string().ends_with("any known kind of chunk"));
    }
}

#[test]
fn what_its_author_has_not_released_goes_to_the_subscribers() {
    let mut file = common(6, COMMON);
    file.client("author", "");
    file.message(8, "t/a", 2, true);
    file.client_message("author", 8, 3, 2, 0, WAITS_FOR_PUBREL);
    // of a shared group one gets it, and who does not know what was sent, nothing
    for client in ["m1", "m2"] {
        file.client(client, "");
        file.subscription(client, "$share/g/+/a", 2);
        file.subscription(client, "u/a", 2);
    }
    file.client_message("author", 8, 3, 2, 0, WAITS_FOR_PUBREL);
    let (found, sessions, retained) = file.read();
    let [author, m1, m2, sub] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((&author.received[..], author.queue.len()), (&[3][..], 0));
    let queue = |session: &SavedSession| -> Vec<(u64, Qos)> {
        session.queue.iter().map(|(seq, image)| (*seq, image.as_ref().unwrap().qos)).collect()
    };
    assert_eq!(queue(sub), [(5, Qos::AtLeastOnce), (6, Qos::AtLeastOnce)]);
    assert_eq!((queue(m1), queue(m2)), (vec![(1, Qos::ExactlyOnce)], vec![]));
    assert_eq!(retained.len(), 1);
    assert_eq!(retained[0].view().qos, Qos::ExactlyOnce);
    // the second time it is no message
    assert_eq!(found.lost_count, 1);
    assert_eq!(found.lost[0].to_string(), "author: a message to t/a that it cannot have sent");
}
