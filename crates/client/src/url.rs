//! URLs that say where the server is and who we are.

use crate::{Error, Options, Tls, Transport, WebSocket};
use percent_encoding::percent_decode_str;

impl Options {
    /// What a URL says: `mqtt`, `mqtts` (TLS), `ws` or `wss` as in `mqtts://[user[:password]@]host[:port]`, or
    /// `unix:///path/of/socket`.
    ///
    /// Ports if not given: 1883, 8883, 80 and 443. User, password and a socket's path may be percent-encoded. `ws` and
    /// `wss` take the rest as the path, `/mqtt` if there is none. TLS trusts those the operating system trusts; see
    /// [`Self::from_url_with_tls`]. A URL that says anything else is [`Error::Setup`].
    ///
    /// ```
    /// use grovemq_client::Options;
    ///
    /// # fn example() -> Result<(), grovemq_client::Error> {
    /// let options = Options::from_url("mqtt://porch:secret@broker.example")?.client_id("porch");
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    pub fn from_url(url: &str) -> Result<Self, Error> {
        Parts::parse(url)?.options(Tls::system)
    }

    /// As [`Self::from_url`], with this TLS where the URL wants any.
    pub fn from_url_with_tls(url: &str, tls: Tls) -> Result<Self, Error> {
        Parts::parse(url)?.options(|| Ok(tls))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
    Unix,
}

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    scheme: Scheme,
    username: Option<String>,
    password: Option<Vec<u8>>,
    host: String,
    port: u16,
    /// As it was given.
    path: String,
}

impl Parts {
    fn parse(url: &str) -> Result<Self, Error> {
        // the URL may hold a password: only the part that is wrong is shown
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("no '://' in it"))?;
        let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => (Scheme::Mqtt, 1883),
            "mqtts" => (Scheme::Mqtts, 8883),
            "ws" => (Scheme::Ws, 80),
            "wss" => (Scheme::Wss, 443),
            "unix" => (Scheme::Unix, 0),
            other => {
                return Err(wrong(&format!("scheme '{other}': there are mqtt, mqtts, ws, wss and unix")));
            }
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (username, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "\0"))) {
            Some((user, "\0")) => (Some(text(user)?), None),
            Some((user, password)) => (Some(text(user)?), Some(percent_decode_str(password).collect())),
            None => (None, None),
        };
        let (host, port) = host_and_port(place, port)?;
        let parts = Self { scheme, username, password, host, port, path: path.to_owned() };
        parts.check()?;
        Ok(parts)
    }

    fn check(&self) -> Result<(), Error> {
        match self.scheme {
            Scheme::Unix if !self.host.is_empty() => Err(wrong("a socket has a path and no host")),
            Scheme::Unix if self.path.len() < 2 => Err(wrong("no path of a socket")),
            Scheme::Unix => Ok(()),
            _ if self.host.is_empty() => Err(wrong("no host")),
            Scheme::Mqtt | Scheme::Mqtts if !matches!(self.path.as_str(), "" | "/") => {
                Err(wrong(&format!("'{}' after the host", self.path)))
            }
            _ => Ok(()),
        }
    }

    fn options(self, tls: impl FnOnce() -> Result<Tls, Error>) -> Result<Options, Error> {
        let mut transport = match self.scheme {
            #[cfg(unix)]
            Scheme::Unix => Transport::unix(text(&self.path)?),
            #[cfg(not(unix))]
            Scheme::Unix => return Err(wrong("there are no Unix sockets here")),
            _ => Transport::tcp(self.host, self.port),
        };
        if matches!(self.scheme, Scheme::Mqtts | Scheme::Wss) {
            transport = transport.tls(tls()?);
        }
        if matches!(self.scheme, Scheme::Ws | Scheme::Wss) {
            let path = if self.path.is_empty() { "/mqtt" } else { &self.path };
            transport = transport.websocket(WebSocket::new(path)?);
        }
        let options = Options::over(transport);
        Ok(match self.username {
            Some(username) => options.credentials(username, self.password),
            None => options,
        })
    }
}

fn host_and_port(place: &str, usual: u16) -> Result<(String, u16), Error> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("'[' without ']'"))?;
            (host, rest.strip_prefix(':').or(Some(rest).filter(|rest| !rest.is_empty())))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => {
            let number = port.parse().ok().filter(|&number| number != 0);
            number.ok_or_else(|| wrong(&format!("port '{port}'")))?
        }
        None => usual,
    };
    Ok((host.to_owned(), port))
}

fn text(encoded: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(encoded).decode_utf8();
    Ok(decoded.map_err(|_| wrong(&format!("'{encoded}' is not UTF-8")))?.into_owned())
}

fn wrong(what: &str) -> Error {
    Error::Setup(format!("URL: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_their_parts() {
        let rows: &[(&str, &str)] = &[
            ("mqtt://h", "Mqtt None None h 1883 "),
            ("MQTTS://h/", "Mqtts None None h 8883 /"),
            ("ws://h:9001/a/b?c=d", "Ws None None h 9001 /a/b?c=d"),
            ("wss://u@[::1]", r#"Wss Some("u") None ::1 443 "#),
            ("mqtt://u:@[::1]:1884", r#"Mqtt Some("u") Some("") ::1 1884 "#),
            ("mqtt://u%40x:p%3a/@h", "URL: port 'p%3a'"),
            ("mqtt://u%40x:p%3a%2F:@h", r#"Mqtt Some("u@x") Some("p:/:") h 1883 "#),
            ("unix:///run/a%20b", "Unix None None  0 /run/a%20b"),
            ("unix://u:p@/run/b", r#"Unix Some("u") Some("p")  0 /run/b"#),
            ("unix://h/run/b", "URL: a socket has a path and no host"),
            ("unix:///", "URL: no path of a socket"),
            ("mqtt://", "URL: no host"),
            ("mqtt://h/topic", "URL: '/topic' after the host"),
            ("mqtt://h:0", "URL: port '0'"),
            ("mqtt://h:65536", "URL: port '65536'"),
            ("mqtt://[::1", "URL: '[' without ']'"),
            ("mqtt://[::1]x", "URL: port 'x'"),
            ("mqtt://%ff@h", "URL: '%ff' is not UTF-8"),
            ("http://h", "URL: scheme 'http': there are mqtt, mqtts, ws, wss and unix"),
            ("h:1883", "URL: no '://' in it"),
        ];
        for (url, expected) in rows {
            let shown = match Parts::parse(url) {
                Ok(p) => {
                    let password = p.password.map(|p| String::from_utf8(p).unwrap());
                    format!("{:?} {:?} {password:?} {} {} {}", p.scheme, p.username, p.host, p.port, p.path)
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, *expected, "{url}");
        }
    }
}
