//! How to reach the server: the options for it, and what they come to.

use super::defs::{set_text, set_topic, text};
use super::{Action, CLIENTS, Complaint, Flag, Low, ORIGINALS, Value};
use crate::srv;
use grovemq_client::{Socks5, Tls, TlsVersion, Transport, WebSocket};
use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

/// What was typed of the way to the server, beside host and port.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct LowTransport {
    pub bind: Option<String>,
    pub unix: Option<PathBuf>,
    pub proxy: Option<Socks5>,
    pub websocket: bool,
    pub service_record: bool,
    /// A URL asks for TLS.
    pub secure_url: bool,
    pub no_tls: bool,
    pub cafile: Option<PathBuf>,
    pub capath: Option<PathBuf>,
    pub os_certs: bool,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub keyform: Option<String>,
    pub insecure: bool,
    pub ciphers: Option<String>,
    pub alpn: Option<String>,
    pub keylog: Option<PathBuf>,
    pub version: Option<TlsVersion>,
}

const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;
const PORT_WEBSOCKET: u16 = 80;
const PORT_WEBSOCKET_TLS: u16 = 443;
const PORT_SOCKS: u16 = 1080;

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        short: Some('L'),
        long: Some("url"),
        tools: CLIENTS,
        help: "Server, login and topic in one: mqtt://[user[:password]@]host[:port]/topic; mqtts, ws and wss are \
               with TLS, over WebSocket, and both.",
        action: value!("url", "no URL", "-L", set_url),
    },
    Flag {
        short: Some('A'),
        long: None,
        tools: CLIENTS,
        help: "The local address to connect from.",
        action: value!("address", "no address", "-A", |low, v| set_text(&mut low.transport.bind, v, "-A")),
    },
    Flag {
        short: None,
        long: Some("unix"),
        tools: CLIENTS,
        help: "Connect to this Unix socket instead of a host.",
        action: value!("path", "no socket path", "--unix", |low, v| {
            low.transport.unix = Some(v.text.into());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("ws"),
        tools: CLIENTS,
        help: "Connect over WebSocket; the port is 80 if not given, with TLS 443.",
        action: Action::Switch(|low| low.transport.websocket = true),
    },
    Flag {
        short: Some('S'),
        long: None,
        tools: ORIGINALS,
        help: "Look up server and port in the service records of the domain that -h names.",
        action: Action::Switch(|low| low.transport.service_record = true),
    },
    Flag {
        short: None,
        long: Some("proxy"),
        tools: CLIENTS,
        help: "Connect through a SOCKS5 proxy, which looks up the host: socks5h://[user:password@]host[:port].",
        action: value!("url", "no proxy url", "--proxy", |low, v| {
            low.transport.proxy = Some(proxy(&text(v, "--proxy")?)?);
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("cafile"),
        tools: CLIENTS,
        help: "Use TLS, and trust the authorities in this PEM file. The port is then 8883 if not given.",
        action: value!("file", "no file", "--cafile", |low, v| {
            low.transport.cafile = Some(v.text.into());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("capath"),
        tools: CLIENTS,
        help: "Use TLS, and trust the authorities in the PEM files of this directory.",
        action: value!("directory", "no directory", "--capath", |low, v| {
            low.transport.capath = Some(v.text.into());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("tls-use-os-certs"),
        tools: CLIENTS,
        help: "Use TLS, and trust the authorities that the operating system trusts. Port 8883 implies it.",
        action: Action::Switch(|low| low.transport.os_certs = true),
    },
    Flag {
        short: None,
        long: Some("no-tls"),
        tools: CLIENTS,
        help: "No TLS because of the port alone.",
        action: Action::Switch(|low| low.transport.no_tls = true),
    },
    Flag {
        short: None,
        long: Some("cert"),
        tools: CLIENTS,
        help: "The client's own certificate, PEM. Needs --key.",
        action: value!("file", "no file", "--cert", |low, v| {
            low.transport.cert = Some(v.text.into());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("key"),
        tools: CLIENTS,
        help: "Its key, PEM, not encrypted. Needs --cert.",
        action: value!("file", "no file", "--key", |low, v| {
            low.transport.key = Some(v.text.into());
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("keyform"),
        tools: CLIENTS,
        help: "The form of the key: pem.",
        action: value!("form", "no keyform", "--keyform", |low, v| set_text(
            &mut low.transport.keyform,
            v,
            "--keyform"
        )),
    },
    Flag {
        short: None,
        long: Some("insecure"),
        tools: CLIENTS,
        help: "Take a certificate for another host. Whoever has one of a trusted authority can pose as the server.",
        action: Action::Switch(|low| low.transport.insecure = true),
    },
    Flag {
        short: None,
        long: Some("ciphers"),
        tools: CLIENTS,
        help: "The cipher suites of TLS 1.2 to offer, in OpenSSL's notation.",
        action: value!("list", "no ciphers", "--ciphers", |low, v| set_text(
            &mut low.transport.ciphers,
            v,
            "--ciphers"
        )),
    },
    Flag {
        short: None,
        long: Some("tls-version"),
        tools: CLIENTS,
        help: "The lowest version of TLS: tlsv1.2 (if not given) or tlsv1.3.",
        action: value!("version", "no version", "--tls-version", |low, v| {
            low.transport.version = Some(match v.text.to_str() {
                // what is older than 1.2 is never spoken, but the server may well know 1.2
                Some("tlsv1.1" | "tlsv1.2") => TlsVersion::V1_2,
                Some("tlsv1.3") => TlsVersion::V1_3,
                _ => return Err("Problem setting TLS options, check the options are valid.".to_owned()),
            });
            Ok(())
        }),
    },
    Flag {
        short: None,
        long: Some("tls-alpn"),
        tools: CLIENTS,
        help: "Ask for this protocol in the TLS handshake (ALPN).",
        action: value!("protocol", "no protocol", "--tls-alpn", |low, v| set_text(
            &mut low.transport.alpn,
            v,
            "--tls-alpn"
        )),
    },
    Flag {
        short: None,
        long: Some("tls-keylog"),
        tools: CLIENTS,
        help: "Append the keys of the connection to this file, for programs that decrypt captures.",
        action: value!("file", "no file", "--tls-keylog", |low, v| {
            low.transport.keylog = Some(v.text.into());
            Ok(())
        }),
    },
];

/// The way to the server that the options describe.
pub(crate) fn transport(low: &Low) -> Result<Transport, Complaint> {
    let way = &low.transport;
    check_identity(way)?;
    let tls = way.wants_tls(low.port);
    let (host, port) = place(low);
    let found;
    let (host, port) = if way.service_record {
        found = srv::look_up(host, tls)?;
        (found.0.as_str(), found.1)
    } else {
        (host, port)
    };
    let mut transport = match (&way.unix, &way.proxy) {
        #[cfg(unix)]
        (Some(path), _) => Transport::unix(path),
        #[cfg(not(unix))]
        (Some(_), _) => return Err(Complaint::error("There are no Unix sockets here.")),
        (None, Some(proxy)) => Transport::socks5(proxy.clone(), host, port),
        (None, None) => Transport::tcp(host, port),
    };
    if tls {
        transport = transport.tls(way.tls()?);
    }
    if way.websocket {
        transport = transport.websocket(WebSocket::default());
    }
    Ok(transport)
}

/// Host and port.
pub(crate) fn place(low: &Low) -> (&str, u16) {
    let port = low.port.unwrap_or(match (low.transport.websocket, low.transport.wants_tls(low.port)) {
        (false, false) => PORT,
        (false, true) => PORT_TLS,
        (true, false) => PORT_WEBSOCKET,
        (true, true) => PORT_WEBSOCKET_TLS,
    });
    (low.host.as_deref().unwrap_or("localhost"), port)
}

/// The address to connect from, which may be given by name.
pub(super) fn bind_address(low: &Low) -> Result<Option<IpAddr>, Complaint> {
    let Some(name) = &low.transport.bind else { return Ok(None) };
    let found: Vec<IpAddr> = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => (name.as_str(), 0).to_socket_addrs().into_iter().flatten().map(|a| a.ip()).collect(),
    };
    match found.iter().find(|a| a.is_ipv4()).or(found.first()) {
        Some(address) => Ok(Some(*address)),
        None => Err(Complaint("Unable to connect (Lookup error.).".to_owned())),
    }
}

impl Low {
    /// The server, for people.
    pub(crate) fn place(&self) -> String {
        match &self.transport.unix {
            Some(path) => path.display().to_string(),
            None => self.host.clone().unwrap_or_else(|| "localhost".to_owned()),
        }
    }

    /// Neither TLS nor a socket of this machine.
    pub(crate) fn is_readable_by_others(&self) -> bool {
        self.transport.unix.is_none() && !self.transport.wants_tls(self.port)
    }
}

impl LowTransport {
    pub(crate) fn wants_tls(&self, port: Option<u16>) -> bool {
        let is_asked_for = self.cafile.is_some() || self.capath.is_some() || self.os_certs || self.secure_url;
        is_asked_for || (port == Some(PORT_TLS) && !self.no_tls && self.unix.is_none())
    }

    /// Options that the original passes over in silence where there is no TLS: whoever gave them expected some.
    pub(crate) fn warning(&self, port: Option<u16>) -> Option<String> {
        let given = [
            (self.insecure, "--insecure"),
            (self.cert.is_some(), "--cert"),
            (self.ciphers.is_some(), "--ciphers"),
            (self.version.is_some(), "--tls-version"),
            (self.alpn.is_some(), "--tls-alpn"),
            (self.keylog.is_some(), "--tls-keylog"),
        ];
        let (_, name) = given.into_iter().find(|(is_given, _)| *is_given && !self.wants_tls(port))?;
        Some(format!(
            "Warning: {name} means nothing without --cafile, --capath or --tls-use-os-certs: this connection is not \
             encrypted."
        ))
    }

    fn tls(&self) -> Result<Tls, Complaint> {
        for path in [&self.cafile, &self.cert, &self.key].into_iter().flatten() {
            if !path.exists() {
                let path = path.display();
                return Err(Complaint::from(format!("Problem setting TLS options: File not found.\n{path}")));
            }
        }
        let mut builder = Tls::builder();
        if let Some(file) = &self.cafile {
            builder = builder.ca_file(file);
        }
        if let Some(dir) = &self.capath {
            builder = builder.ca_dir(dir);
        }
        if self.os_certs {
            builder = builder.system_certificates();
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder = builder.client_certificate(cert, key);
        }
        if self.insecure {
            builder = builder.without_host_name_check();
        }
        if let Some(list) = &self.ciphers {
            builder = builder.ciphers(list);
        }
        if let Some(protocol) = &self.alpn {
            builder = builder.alpn(protocol.as_bytes());
        }
        if let Some(version) = self.version {
            builder = builder.minimum_version(version);
        }
        if let Some(file) = &self.keylog {
            builder = builder.key_log_file(file);
        }
        builder.build().map_err(|e| Complaint(format!("Unable to connect (A TLS error occurred.).\n{e}")))
    }
}

fn check_identity(way: &LowTransport) -> Result<(), Complaint> {
    if way.cert.is_some() != way.key.is_some() {
        return Err(Complaint::error("Both certfile and keyfile must be provided if one of them is set."));
    }
    match way.keyform.as_deref() {
        Some(_) if way.key.is_none() => {
            Err(Complaint::error("If keyform is set, keyfile must be also specified."))
        }
        None | Some("pem") => Ok(()),
        Some("engine") => Err(Complaint::error("Keys in an engine are not supported; use a PEM file.")),
        Some(_) => Err(Complaint::error("Problem setting key form, it must be one of 'pem' or 'engine'.")),
    }
}

/// `mqtt://[user[:password]@]host[:port]/topic`. As in the original nothing is percent-encoded.
pub(super) fn set_url(low: &mut Low, value: Value<'_>) -> Result<(), String> {
    let url = text(value, "-L")?;
    let unsupported = || "unsupported URL scheme.".to_owned();
    let (scheme, rest) = url.split_once("://").ok_or_else(unsupported)?;
    let (secure, websocket) = match scheme {
        "mqtt" => (false, false),
        "mqtts" => (true, false),
        "ws" => (false, true),
        "wss" => (true, true),
        _ => return Err(unsupported()),
    };
    let needs_topic = ORIGINALS.contains(&value.tool);
    let (place, topic) = match rest.split_once('/') {
        Some((place, topic)) => (place, Some(topic).filter(|topic| needs_topic || !topic.is_empty())),
        None if needs_topic => {
            return Err("Invalid URL for -L argument specified - topic missing.".to_owned());
        }
        None => (rest, None),
    };
    let place = match place.rsplit_once('@') {
        Some((login, place)) => {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            low.username = Some(user.to_owned());
            low.password = password.map(|password| password.as_bytes().to_vec());
            place
        }
        None => place,
    };
    let (host, port) = host_and_port(place);
    if let Some(port) = port {
        low.port = Some(port_number(port).ok_or_else(|| format!("Invalid port given: {port}"))?);
    } else {
        low.port = None;
    }
    low.host = Some(host.to_owned());
    low.transport.secure_url = secure;
    low.transport.no_tls = !secure;
    low.transport.websocket = websocket;
    match topic.map(OsString::from) {
        Some(topic) => set_topic(low, Value { text: &topic, ..value }),
        None => Ok(()),
    }
}

/// `socks5h://[user[:password]@]host[:port]`, user and password percent-encoded.
fn proxy(url: &str) -> Result<Socks5, String> {
    let rest = url.strip_prefix("socks5h://").ok_or_else(|| format!("Unsupported proxy protocol: {url}"))?;
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let (host, port) = host_and_port(place);
    if host.is_empty() {
        return Err("Invalid proxy.".to_owned());
    }
    let port = match port {
        Some(port) => port_number(port).ok_or_else(|| format!("Invalid proxy port {port}"))?,
        None => PORT_SOCKS,
    };
    let proxy = Socks5::new(host, port);
    let Some(login) = login else { return Ok(proxy) };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let wrong = |error: &dyn std::fmt::Display| format!("Invalid proxy: {error}.");
    let decoded = |text| percent_encoding::percent_decode_str(text).decode_utf8().map_err(|e| wrong(&e));
    proxy.login(decoded(user)?, decoded(password)?).map_err(|e| wrong(&e))
}

/// The port as it was typed.
fn host_and_port(place: &str) -> (&str, Option<&str>) {
    match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}
