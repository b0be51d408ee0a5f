//! The PROXY protocol: who is behind the proxy that connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1. (2.1: "107 chars")
const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is taken; real ones have less than a tenth.
const V2_BYTES_MAX: usize = 16 + 4096;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

const TLV_SSL: u8 = 0x20;
const TLV_SSL_VERSION: u8 = 0x21;
const TLV_SSL_CN: u8 = 0x22;
const TLV_SSL_CIPHER: u8 = 0x23;
/// Text of a proxy that goes into names and logs.
const TEXT_BYTES_MAX: usize = 256;

/// Version of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// What the header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The client. `None`: the proxy connects for itself, or does not say.
    pub source: Option<SocketAddr>,
    /// The client's TLS connection to the proxy.
    pub tls: Option<Tls>,
}

/// TLS between client and proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The client has proved to have a certificate.
    pub certificate: bool,
    pub common_name: Option<String>,
    pub version: Option<String>,
    pub cipher: Option<String>,
}

/// How far a header is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes more are certain to belong to it.
    Need(usize),
    /// It ends with the last byte given.
    Done(Header),
}

/// Not a header of the version wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Looks at the first bytes of a connection.
pub fn parse(version: Version, bytes: &[u8]) -> Result<Progress, Corrupt> {
    match version {
        Version::V1 => parse_v1(bytes),
        Version::V2 => parse_v2(bytes),
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Progress, Corrupt> {
    const START: &[u8] = b"PROXY ";
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Err(Corrupt);
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let need = if bytes.ends_with(b"\r") { 1 } else { 2 };
        // the shortest is "PROXY UNKNOWN\r\n"
        let need = need.max(15_usize.saturating_sub(bytes.len()));
        return if bytes.len() + need > V1_BYTES_MAX { Err(Corrupt) } else { Ok(Progress::Need(need)) };
    };
    let text = core::str::from_utf8(line).map_err(|_| Corrupt)?;
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", from, to, port, to_port] => {
            let (from, _) = (address::<Ipv4Addr>(from)?, address::<Ipv4Addr>(to)?);
            Some(SocketAddr::new(from.into(), v1_port(port, to_port)?))
        }
        ["PROXY", "TCP6", from, to, port, to_port] => {
            let (from, _) = (address::<Ipv6Addr>(from)?, address::<Ipv6Addr>(to)?);
            Some(SocketAddr::new(from.into(), v1_port(port, to_port)?))
        }
        _ => return Err(Corrupt),
    };
    Ok(Progress::Done(Header { source, tls: None }))
}

fn address<T: core::str::FromStr + Into<IpAddr>>(text: &str) -> Result<T, Corrupt> {
    text.parse().map_err(|_| Corrupt)
}

/// The client's port, if both are numbers as the protocol writes them.
fn v1_port(from: &str, to: &str) -> Result<u16, Corrupt> {
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if digits { text.parse::<u16>().map_err(|_| Corrupt) } else { Err(Corrupt) }
    };
    number(to)?;
    number(from)
}

fn parse_v2(bytes: &[u8]) -> Result<Progress, Corrupt> {
    let known = bytes.len().min(V2_SIGNATURE.len());
    if bytes.get(..known) != V2_SIGNATURE.get(..known) {
        return Err(Corrupt);
    }
    let Some((&[.., command, family, hi, lo], body)) = bytes.split_first_chunk::<16>() else {
        return Ok(Progress::Need(16 - bytes.len()));
    };
    let len = usize::from(u16::from_be_bytes([hi, lo]));
    if 16 + len > V2_BYTES_MAX || body.len() > len {
        return Err(Corrupt);
    }
    if body.len() < len {
        return Ok(Progress::Need(len - body.len()));
    }
    match command {
        // LOCAL: the proxy itself, to see whether we live
        0x20 => return Ok(Progress::Done(Header::default())),
        0x21 => {}
        _ => return Err(Corrupt),
    }
    let (source, rest) = match family {
        0x11 => {
            let (addresses, rest) = body.split_first_chunk::<12>().ok_or(Corrupt)?;
            let [a, b, c, d, _, _, _, _, hi, lo, _, _] = *addresses;
            (Some(SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([hi, lo]))), rest)
        }
        0x21 => {
            let (addresses, rest) = body.split_first_chunk::<36>().ok_or(Corrupt)?;
            let (from, after) = addresses.split_first_chunk::<16>().ok_or(Corrupt)?;
            let [.., hi, lo, _, _] = *after else { return Err(Corrupt) };
            (Some(SocketAddr::new((*from).into(), u16::from_be_bytes([hi, lo]))), rest)
        }
        0x31 => (None, body.split_first_chunk::<216>().ok_or(Corrupt)?.1),
        // nothing is known of the addresses, not even their length
        _ => return Ok(Progress::Done(Header::default())),
    };
    let mut tls = None;
    for_each_tlv(rest, |kind, value| {
        if kind == TLV_SSL {
            tls = parse_ssl(value)?;
        }
        Ok(())
    })?;
    Ok(Progress::Done(Header { source, tls }))
}

fn parse_ssl(value: &[u8]) -> Result<Option<Tls>, Corrupt> {
    let Some((&[client, v0, v1, v2, v3], rest)) = value.split_first_chunk::<5>() else { return Err(Corrupt) };
    let verified = [v0, v1, v2, v3] == [0; 4];
    // bits: TLS, a certificate in this connection, a certificate in this session
    let mut tls = Tls { certificate: client & 6 != 0 && verified, ..Tls::default() };
    for_each_tlv(rest, |kind, value| {
        let text = || {
            let text = core::str::from_utf8(value).ok();
            text.filter(|t| t.len() <= TEXT_BYTES_MAX && !t.contains('\0')).map(str::to_owned).ok_or(Corrupt)
        };
        match kind {
            TLV_SSL_VERSION => tls.version = Some(text()?),
            TLV_SSL_CN => tls.common_name = Some(text()?),
            TLV_SSL_CIPHER => tls.cipher = Some(text()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok((client & 1 != 0).then_some(tls))
}

fn for_each_tlv(
    mut bytes: &[u8],
    mut each: impl FnMut(u8, &[u8]) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    while !bytes.is_empty() {
        let (&[kind, hi, lo], rest) = bytes.split_first_chunk::<3>().ok_or(Corrupt)?;
        let (value, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([hi, lo]))).ok_or(Corrupt)?;
        each(kind, value)?;
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as a connection does: never more than is known to belong to the header.
    fn read(version: Version, bytes: &[u8]) -> Result<(Header, usize), Corrupt> {
        let mut have = 0;
        loop {
            match parse(version, &bytes[..have])? {
                Progress::Done(header) => return Ok((header, have)),
                Progress::Need(n) => {
                    assert!(n > 0);
                    have += n;
                    if have > bytes.len() {
                        return Err(Corrupt);
                    }
                }
            }
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family][..], &len, body].concat()
    }

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind][..], &len, value].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0x1f, 0x90, 0x07, 0x5b];

    #[test]
    fn version_1_gives_the_client_and_leaves_what_follows() {
        let table = [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 8080 1883\r\n", Some("192.0.2.1:8080")),
            ("PROXY TCP6 2001:db8::1 ::1 8080 1883\r\n", Some("[2001:db8::1]:8080")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ];
        for (line, source) in table {
            let (header, len) = read(Version::V1, format!("{line}\x10rest").as_bytes()).unwrap();
            assert_eq!((header.source, len), (source.map(|s| s.parse().unwrap()), line.len()), "{line}");
        }
    }

    #[test]
    fn d11_version_1_takes_nothing_else() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let table = [
            "PROXY TCP4 192.0.2.1 10.0.0.1 8080\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 65536 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +80 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 080 1\r\n",
            "PROXY TCP4 2001:db8::1 10.0.0.1 80 1\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 80 1\r\n",
            "PROXY TCP5 192.0.2.1 10.0.0.1 80 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 80 1\n",
            "proxy UNKNOWN\r\n",
            "\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0",
            &long,
        ];
        for line in table {
            assert_eq!(read(Version::V1, line.as_bytes()), Err(Corrupt), "{line:?}");
        }
        assert_eq!(read(Version::V2, b"PROXY UNKNOWN\r\n\0\0\0\0"), Err(Corrupt));
    }

    #[test]
    fn version_2_gives_the_client_and_what_the_proxy_saw_of_its_tls() {
        let (header, len) = read(Version::V2, &[v2(0x21, 0x11, V4), b"rest".to_vec()].concat()).unwrap();
        assert_eq!((header.source, len), (Some("192.0.2.1:8080".parse().unwrap()), 28));
        assert_eq!(header.tls, None);

        let ssl =
            [&[7, 0, 0, 0, 0][..], &tlv(0x21, b"TLSv1.3"), &tlv(0x22, b"ann"), &tlv(0x23, b"X")].concat();
        let body = [V4, &tlv(1, b"mqtt"), &tlv(0x20, &ssl)].concat();
        let tls = read(Version::V2, &v2(0x21, 0x11, &body)).unwrap().0.tls.unwrap();
        assert!(tls.certificate);
        assert_eq!(
            (tls.common_name.as_deref(), tls.version.as_deref(), tls.cipher.as_deref()),
            (Some("ann"), Some("TLSv1.3"), Some("X"))
        );

        // a certificate the proxy could not verify is none
        let body = [V4, &tlv(0x20, &[7, 0, 0, 0, 1])].concat();
        assert!(!read(Version::V2, &v2(0x21, 0x11, &body)).unwrap().0.tls.unwrap().certificate);

        assert_eq!(read(Version::V2, &v2(0x20, 0x11, b"whatever")).unwrap().0, Header::default());
        assert_eq!(read(Version::V2, &v2(0x21, 0x00, b"")).unwrap().0, Header::default());
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 7;
        let source = read(Version::V2, &v2(0x21, 0x21, &v6)).unwrap().0.source;
        assert_eq!(source, Some("[::1]:7".parse().unwrap()));
        assert_eq!(read(Version::V2, &v2(0x21, 0x31, &[0; 216])).unwrap().0.source, None);
    }

    #[test]
    fn d11_version_2_takes_nothing_else() {
        let cut = [V4, &[0x20, 0, 9, 1]].concat();
        let nested = [V4, &tlv(0x20, &[1, 0, 0, 0, 0, 0x22, 0xff, 0xff])].concat();
        let table = [
            ("version 1 in version 2", v2(0x11, 0x11, V4)),
            ("unknown command", v2(0x22, 0x11, V4)),
            ("no room for addresses", v2(0x21, 0x11, &V4[..11])),
            ("no room for v6 addresses", v2(0x21, 0x21, V4)),
            ("cut TLV", v2(0x21, 0x11, &cut)),
            ("cut TLV in TLV", v2(0x21, 0x11, &nested)),
            ("65,535 bytes", v2(0x21, 0x11, &vec![0; 65_535])),
            ("MQTT", b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0\0\0".to_vec()),
        ];
        for (name, bytes) in table {
            assert_eq!(read(Version::V2, &bytes), Err(Corrupt), "{name}");
        }
    }
}
