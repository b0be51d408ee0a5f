//! Service records: where a domain's MQTT server is (`_mqtt._tcp`, RFC 2782).

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const RESOLVERS: &str = "/etc/resolv.conf";
const RESOLVERS_MAX: usize = 3;
const DNS_PORT: u16 = 53;
/// Each resolver is asked so often, and has so long to answer.
const ATTEMPTS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer over UDP is no longer.
const ANSWER_BYTES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
}

/// Host and port of the domain's server, that for TLS if it is to be `secure`.
pub(crate) fn look_up(domain: &str, secure: bool) -> Result<(String, u16), String> {
    let service = if secure { "_secure-mqtt._tcp" } else { "_mqtt._tcp" };
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    look_up_at(&resolvers(&text), &format!("{service}.{}", domain.trim_end_matches('.')))
}

fn resolvers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|address| address.trim().parse::<IpAddr>().ok());
    let mut all: Vec<_> = addresses.map(|ip| SocketAddr::new(ip, DNS_PORT)).take(RESOLVERS_MAX).collect();
    if all.is_empty() {
        // what the system's own resolver does
        all.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    all
}

fn look_up_at(resolvers: &[SocketAddr], name: &str) -> Result<(String, u16), String> {
    let random = RandomState::new().hash_one(name);
    let mut why = String::new();
    for resolver in resolvers.iter().cycle().take(resolvers.len() * ATTEMPTS) {
        match ask(*resolver, name, random) {
            Ok(records) => {
                let chosen = choose(records, random);
                return chosen.ok_or_else(|| format!("There is no service record {name}."));
            }
            Err(error) => why = format!("{resolver} does not tell the service record {name}: {error}"),
        }
    }
    Err(why)
}

/// The records a resolver knows. A name that does not exist has none.
fn ask(resolver: SocketAddr, name: &str, random: u64) -> Result<Vec<Record>, String> {
    let [low, high, ..] = random.to_le_bytes();
    let id = u16::from_le_bytes([low, high]);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let owner = Name::new(name).map_err(|_| "it is no name".to_owned())?;
    query.questions.push(Question::new(owner, TYPE::SRV.into(), CLASS::IN.into(), false));
    let query = query.build_bytes_vec().map_err(|error| error.to_string())?;
    let here: SocketAddr = if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let exchange = || {
        let socket = UdpSocket::bind(here)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // others than this one are not heard
        socket.connect(resolver)?;
        socket.send(&query)?;
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    };
    let answer = exchange().map_err(|error: std::io::Error| error.to_string())?;
    let answer = Packet::parse(&answer).map_err(|error| error.to_string())?;
    if answer.id() != id {
        return Err("it answers something else".to_owned());
    }
    match answer.rcode() {
        simple_dns::RCODE::NoError | simple_dns::RCODE::NameError => {}
        other => return Err(format!("{other:?}")),
    }
    let records = answer.answers.iter().filter_map(|record| match &record.rdata {
        RData::SRV(srv) => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            host: srv.target.to_string(),
            port: srv.port,
        }),
        _ => None,
    });
    // a lone root says that there is no such service
    Ok(records.filter(|record| !record.host.is_empty()).collect())
}

/// One of those of the lowest priority, by chance in the proportion of their weights.
fn choose(mut records: Vec<Record>, random: u64) -> Option<(String, u16)> {
    let first = records.iter().map(|record| record.priority).min()?;
    records.retain(|record| record.priority == first);
    // a weight of 0 has a small chance, too
    let chances = |record: &Record| u64::from(record.weight) * 100 + 1;
    let mut left = random % records.iter().map(chances).sum::<u64>();
    for record in records {
        match left.checked_sub(chances(&record)) {
            Some(rest) => left = rest,
            None => return Some((record.host, record.port)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::SRV;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record { priority, weight, host: host.to_owned(), port: 1883 }
    }

    #[test]
    fn the_lowest_priority_counts_and_weights_are_chances() {
        let records = || vec![record(1, 1, "late"), record(0, 0, "rare"), record(0, 9, "often")];
        let mut counts = [0; 3];
        for random in 0..902 {
            let (host, _) = choose(records(), random).unwrap();
            counts[["late", "rare", "often"].iter().position(|name| *name == host).unwrap()] += 1;
        }
        assert_eq!(counts, [0, 1, 901]);
        assert_eq!(choose(Vec::new(), 7), None);
    }

    #[test]
    fn resolvers_are_the_systems() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\n";
        let found: Vec<_> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!(resolvers("")[0].to_string(), "127.0.0.1:53");
    }

    #[test]
    fn a_resolver_is_asked() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let resolver = std::thread::spawn(move || {
            for known in [true, false] {
                let mut bytes = [0; 512];
                let (length, from) = server.recv_from(&mut bytes).unwrap();
                let query = Packet::parse(&bytes[..length]).unwrap();
                let name = query.questions[0].qname.clone();
                assert_eq!(query.questions[0].qtype, TYPE::SRV.into());
                let mut answer = query.clone().into_reply();
                if known {
                    let target = Name::new("broker.example").unwrap();
                    let srv = SRV { priority: 1, weight: 2, port: 2883, target };
                    answer.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(srv)));
                } else {
                    *answer.rcode_mut() = simple_dns::RCODE::NameError;
                }
                server.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
            }
        });
        assert_eq!(look_up_at(&[address], "_mqtt._tcp.example"), Ok(("broker.example".to_owned(), 2883)));
        let nothing = look_up_at(&[address], "_mqtt._tcp.other").unwrap_err();
        assert_eq!(nothing, "There is no service record _mqtt._tcp.other.");
        resolver.join().unwrap();
    }
}
