//! `grovemq dump`, `mosquitto_db_dump`: what a `mosquitto.db` says, chunk by chunk, in the original's form.

use crate::Call;
use crate::exit::Exit;
use grovemq_codec::PublishProperties;
use grovemq_store::mosquitto_db::chunk::{Chunk, Client, ClientMessage, Message, Part, Subscription};
use grovemq_store::mosquitto_db::read_chunks;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Payloads from this length on are not shown, as in the original. In bytes.
const PAYLOAD_MAX: usize = 256;

pub(crate) fn run(call: &Call) -> Exit {
    if call.args.iter().any(|arg| arg == "-h" || arg == "--help") {
        return crate::print(&help(&call.program));
    }
    if let Some(exit) = dump(&call.args) {
        return exit;
    }
    crate::complain(&format!("Error: One file is needed.\n\n{}", help(&call.program)));
    if call.by_original_name { Exit::FAILURE } else { Exit::USAGE }
}

pub(crate) fn help(program: &str) -> String {
    format!(
        "Usage: {program} [--stats | --client-stats] FILE\n\n\
         Prints a mosquitto.db of Mosquitto up to 2.1 as text, chunk by chunk.\n\n \
         --stats          how many chunks there are of each kind\n \
         --client-stats   for each client the number of its subscriptions (SC) and of its messages (MC), and the bytes\n                  \
         that they take (SS, MS)\n\n\
         Exit codes: 0, or 1 with an error or where something is damaged.\n"
    )
}

/// `None` when these are no arguments of it.
pub(crate) fn dump(args: &[OsString]) -> Option<Exit> {
    let printed = match args {
        [option, file] if option == "--stats" => counts(Path::new(file)),
        [option, file] if option == "--client-stats" => clients(Path::new(file)),
        [file] if !file.as_encoded_bytes().starts_with(b"--") => chunks(Path::new(file)),
        _ => return None,
    };
    Some(printed.unwrap_or_else(|error| {
        crate::complain(&format!("Error: {error}."));
        Exit::FAILURE
    }))
}

fn chunks(path: &Path) -> Result<Exit, String> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let end = read_chunks(path, &mut |header, chunk| {
        if written.is_ok() {
            written = match chunk {
                None => writeln!(
                    out,
                    "Mosquitto DB dump\nCRC: {}\nDB version: {}",
                    header.checksum, header.format
                ),
                Some(chunk) => write!(out, "{}", Shown(&chunk)),
            };
        }
    });
    match written.and_then(|()| out.flush()) {
        // a reader that has seen enough is no failure
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::OK),
        Err(error) => return Err(error.to_string()),
        Ok(()) => {}
    }
    Ok(crate::store::name_losses(&end.map_err(|e| e.to_string())?))
}

fn counts(path: &Path) -> Result<Exit, String> {
    const NAMES: [&str; 6] = [
        "DB_CHUNK_CFG:        ",
        "DB_CHUNK_BASE_MSG:   ",
        "DB_CHUNK_CLIENT_MSG: ",
        "DB_CHUNK_RETAIN:     ",
        "DB_CHUNK_SUB:        ",
        "DB_CHUNK_CLIENT:     ",
    ];
    let [mut cfg, mut base, mut sent, mut retained, mut subscriptions, mut clients] = [0_u64; 6];
    let found = read_chunks(path, &mut |_, chunk| {
        let count = match chunk.map(|chunk| chunk.part) {
            Some(Part::Configuration(_)) => &mut cfg,
            Some(Part::Message(_)) => &mut base,
            Some(Part::ClientMessage(_)) => &mut sent,
            Some(Part::Retained(_)) => &mut retained,
            Some(Part::Subscription(_)) => &mut subscriptions,
            Some(Part::Client(_)) => &mut clients,
            None => return,
        };
        *count += 1;
    });
    let found = found.map_err(|e| e.to_string())?;
    let mut text = String::new();
    for (name, count) in NAMES.iter().zip([cfg, base, sent, retained, subscriptions, clients]) {
        let _infallible = writeln!(text, "{name}{count}");
    }
    Ok(printed(&text, crate::store::name_losses(&found)))
}

/// How many, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

fn clients(path: &Path) -> Result<Exit, String> {
    let mut order = Vec::new();
    let mut sums: HashMap<Vec<u8>, [Sum; 2]> = HashMap::new();
    let mut bodies = HashMap::new();
    let found = read_chunks(path, &mut |_, chunk| {
        let Some(Chunk { len, part }) = chunk else { return };
        let len = u64::from(len);
        match part {
            Part::Message(message) => {
                bodies.insert(message.id, len);
            }
            Part::Client(client) => order.push(client.id.to_vec()),
            Part::Subscription(subscription) => {
                let [subscriptions, _] = sums.entry(subscription.client.to_vec()).or_default();
                subscriptions.add(len);
            }
            // of bodies those that came before, as in the original
            Part::ClientMessage(message) => {
                let body = bodies.get(&message.message).copied().unwrap_or_default();
                let [_, messages] = sums.entry(message.client.to_vec()).or_default();
                messages.add(len + body);
            }
            Part::Configuration(_) | Part::Retained(_) => {}
        }
    });
    let found = found.map_err(|e| e.to_string())?;
    let mut text = String::new();
    for client in order {
        let [subscriptions, messages] = sums.get(&client).copied().unwrap_or_default();
        let (sc, ss, mc, ms) = (subscriptions.count, subscriptions.bytes, messages.count, messages.bytes);
        let _infallible = writeln!(text, "SC: {sc} SS: {ss} MC: {mc} MS: {ms}   {}", harmless(&client));
    }
    Ok(printed(&text, crate::store::name_losses(&found)))
}

fn printed(text: &str, exit: Exit) -> Exit {
    match crate::print(text) {
        Exit::OK => exit,
        failed => failed,
    }
}

struct Shown<'a>(&'a Chunk<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chunk { len, part } = self.0;
        match part {
            Part::Configuration(own) => {
                writeln!(f, "DB_CHUNK_CFG:\n\tLength: {len}\n\tShutdown: {}", own.shutdown)?;
                writeln!(f, "\tDB ID size: {}\n\tLast DB ID: {}", own.id_size, own.last_id)
            }
            Part::Message(message) => show_message(f, *len, message),
            Part::ClientMessage(message) => show_client_message(f, *len, message),
            Part::Retained(id) => writeln!(f, "DB_CHUNK_RETAIN:\n\tLength: {len}\n\tStore ID: {id}"),
            Part::Subscription(subscription) => show_subscription(f, *len, subscription),
            Part::Client(client) => show_client(f, *len, client),
        }
    }
}

fn show_message(f: &mut fmt::Formatter<'_>, len: u32, message: &Message<'_>) -> fmt::Result {
    writeln!(f, "DB_CHUNK_BASE_MSG:\n\tLength: {len}\n\tStore ID: {}", message.id)?;
    writeln!(f, "\tSource Port: {}\n\tSource MID: {}", message.source_port, message.source_packet_id)?;
    writeln!(
        f,
        "\tTopic: {}\n\tQoS: {}\n\tRetain: {}",
        harmless(message.topic),
        message.qos,
        message.retain
    )?;
    writeln!(f, "\tPayload Length: {}\n\tExpiry Time: {}", message.payload.len(), message.expires)?;
    let text = str::from_utf8(message.payload)
        .ok()
        .filter(|text| !text.is_empty() && text.len() < PAYLOAD_MAX && !text.contains(char::is_control));
    if let Some(text) = text {
        writeln!(f, "\tPayload: {text}")?;
    }
    message.properties.as_ref().map_or(Ok(()), |properties| show_properties(f, properties))
}

fn show_properties(f: &mut fmt::Formatter<'_>, properties: &PublishProperties<'_>) -> fmt::Result {
    f.write_str("\tProperties:\n")?;
    if let Some(kind) = properties.content_type {
        writeln!(f, "\t\tContent type: {}", harmless(kind.as_bytes()))?;
    }
    if let Some(data) = properties.correlation_data {
        f.write_str("\t\tCorrelation data: ")?;
        for byte in data {
            write!(f, "{byte:02X}")?;
        }
        f.write_char('\n')?;
    }
    if let Some(is_text) = properties.payload_format {
        writeln!(f, "\t\tPayload format indicator: {}", u8::from(is_text))?;
    }
    if let Some(topic) = properties.response_topic {
        writeln!(f, "\t\tResponse topic: {}", harmless(topic.as_bytes()))?;
    }
    for (name, value) in &properties.user {
        writeln!(f, "\t\tUser property: {} , {}", harmless(name.as_bytes()), harmless(value.as_bytes()))?;
    }
    Ok(())
}

fn show_client_message(f: &mut fmt::Formatter<'_>, len: u32, message: &ClientMessage<'_>) -> fmt::Result {
    writeln!(f, "DB_CHUNK_CLIENT_MSG:\n\tLength: {len}\n\tClient ID: {}", harmless(message.client))?;
    writeln!(f, "\tStore ID: {}\n\tMID: {}\n\tQoS: {}", message.message, message.packet_id, message.qos)?;
    writeln!(f, "\tRetain: {}\n\tDirection: {}", message.retain, message.direction)?;
    writeln!(f, "\tState: {}\n\tDup: {}", message.state, message.dup)?;
    for id in message.properties.iter().flat_map(|properties| properties.subscription_ids.iter()) {
        writeln!(f, "\tSubscription identifier: {id}")?;
    }
    Ok(())
}

fn show_subscription(f: &mut fmt::Formatter<'_>, len: u32, subscription: &Subscription<'_>) -> fmt::Result {
    writeln!(f, "DB_CHUNK_SUB:\n\tLength: {len}\n\tClient ID: {}", harmless(subscription.client))?;
    writeln!(f, "\tTopic: {}\n\tQoS: {}", harmless(subscription.filter), subscription.qos)?;
    writeln!(f, "\tSubscription ID: {}\n\tOptions: 0x{:02X}", subscription.id, subscription.options)
}

fn show_client(f: &mut fmt::Formatter<'_>, len: u32, client: &Client<'_>) -> fmt::Result {
    writeln!(f, "DB_CHUNK_CLIENT:\n\tLength: {len}\n\tClient ID: {}", harmless(client.id))?;
    if let Some(name) = client.username.filter(|name| !name.is_empty()) {
        writeln!(f, "\tUsername: {}", harmless(name))?;
    }
    if client.listener_port > 0 {
        writeln!(f, "\tListener port: {}", client.listener_port)?;
    }
    writeln!(f, "\tLast MID: {}\n\tSession expiry time: {}", client.last_packet_id, client.expires)?;
    writeln!(f, "\tSession expiry interval: {}", client.expiry)
}

/// As it is, but for what a terminal would obey.
fn harmless(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    if !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::new();
    for char in text.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_name() {
        assert_eq!(harmless("grün \"a\"/\\".as_bytes()), "grün \"a\"/\\");
        assert_eq!(harmless(b"a\x1b[2J\n\xff"), "a\\u{1b}[2J\\n\u{fffd}");
    }
}
