//! Topic templates and the place a thing fills into them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A topic, filter or client id with placeholders:
///
/// | placeholder | becomes |
/// |---|---|
/// | `{ip}` | the thing's address: `address` if configured, else that of its network interface |
/// | `{ip:eth0}` | the address of the interface `eth0` |
/// | `{mac}`, `{mac:eth0}` | a hardware address, `b8:27:eb:00:00:01` |
/// | `{hostname}` | the name of the machine |
/// | `{interface}` | the name of the thing's interface |
/// | `{name}` | the name of the resource; of the thing's own topics: `thing` |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// An address; of the named interface, else the thing's own.
    Ip(Option<String>),
    Mac(Option<String>),
    Hostname,
    Interface,
    Name,
}

/// What is wrong with the text of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(String);

/// Where a thing is: what its templates are filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    hostname: String,
    /// The thing's address, from its configuration or its interface.
    ip: IpAddr,
    /// The thing's interface.
    interface: String,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    ip: IpAddr,
    mac: Option<String>,
}

/// The machine lacks what the configuration asks of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlaceError {
    /// The operating system does not tell its interfaces.
    Interfaces(std::io::Error),
    /// No interface of this name has an address; the known ones are listed.
    UnknownInterface { name: String, known: Vec<String> },
    /// The interface has no hardware address.
    NoMac { interface: String },
}

impl Template {
    /// Parses a text with placeholders.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, opened)) = rest.split_once('{') {
            let Some((placeholder, after)) = opened.split_once('}') else {
                return Err(TemplateError(format!("the `{{` before `{opened}` is not closed by a `}}`")));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::parse(placeholder)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err(TemplateError("must not be empty".to_owned()));
        }
        Ok(Self(parts))
    }

    /// A text as it is.
    pub(crate) fn plain(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// `{ip}/<rest>`, where `rest` has no placeholders.
    pub(crate) fn beside_ip(rest: &str) -> Self {
        Self(vec![Part::Ip(None), Part::Text(format!("/{rest}"))])
    }

    /// `{ip}/<group>/{name}`.
    pub(crate) fn of_resource(group: &str) -> Self {
        Self(vec![Part::Ip(None), Part::Text(format!("/{group}/")), Part::Name])
    }

    /// A client id that is unique by machine and interface, or by machine and address.
    pub(crate) fn of_client(by_address: bool) -> Self {
        let unique = if by_address { Part::Ip(None) } else { Part::Interface };
        let text = |text: &str| Part::Text(text.to_owned());
        Self(vec![text("thing-"), Part::Hostname, text("-"), unique])
    }

    /// The text for the resource `name` at `place`.
    pub fn fill(&self, place: &Place, name: &str) -> Result<String, PlaceError> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Ip(None) => text.push_str(&place.ip.to_string()),
                Part::Ip(Some(interface)) => text.push_str(&place.find(interface)?.ip.to_string()),
                Part::Mac(interface) => {
                    text.push_str(place.mac(interface.as_ref().unwrap_or(&place.interface))?);
                }
                Part::Hostname => text.push_str(&place.hostname),
                Part::Interface => text.push_str(&place.interface),
                Part::Name => text.push_str(name),
            }
        }
        Ok(text)
    }
}

impl Part {
    fn parse(placeholder: &str) -> Result<Self, TemplateError> {
        let (kind, argument) = match placeholder.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument.to_owned())),
            None => (placeholder, None),
        };
        match (kind, argument) {
            ("ip", argument) => Ok(Self::Ip(argument)),
            ("mac", argument) => Ok(Self::Mac(argument)),
            ("hostname", None) => Ok(Self::Hostname),
            ("interface", None) => Ok(Self::Interface),
            ("name", None) => Ok(Self::Name),
            _ => Err(TemplateError(format!(
                "unknown placeholder `{{{placeholder}}}`; there are {{ip}}, {{ip:eth0}}, {{mac}}, {{mac:eth0}}, \
                 {{hostname}}, {{interface}} and {{name}}"
            ))),
        }
    }
}

impl Place {
    /// Looks at this machine. `interface` and `address` are the configuration's, where given.
    ///
    /// Without a configured interface it is `eth0` if that has an address, else the first that leads out of the machine
    /// (IPv4 preferred), else the loopback.
    pub fn of_this_machine(interface: Option<&str>, address: Option<IpAddr>) -> Result<Self, PlaceError> {
        let found = if_addrs::get_if_addrs().map_err(PlaceError::Interfaces)?;
        let interfaces = found
            .into_iter()
            .filter(|found| !matches!(found.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()))
            .map(|found| Interface {
                mac: mac_address::mac_address_by_name(&found.name)
                    .ok()
                    .flatten()
                    .map(|mac| mac.to_string().to_lowercase()),
                ip: found.ip(),
                name: found.name,
            })
            .collect();
        Self::among(interfaces, gethostname::gethostname().to_string_lossy().into_owned(), interface, address)
    }

    /// The thing's address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    fn among(
        mut interfaces: Vec<Interface>,
        hostname: String,
        interface: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Self, PlaceError> {
        // A stable sort: within a rank the order of the operating system stays.
        interfaces.sort_by_key(|interface| {
            let loopback = interface.ip.is_loopback();
            (loopback, interface.ip.is_ipv6(), interface.name != "eth0")
        });
        let mut place =
            Self { hostname, ip: Ipv4Addr::LOCALHOST.into(), interface: "lo".to_owned(), interfaces };
        let eth0 = place.interfaces.iter().find(|interface| interface.name == "eth0");
        let chosen = match interface {
            Some(name) => Some(place.find(name)?),
            None => eth0.or(place.interfaces.first()),
        };
        if let Some(Interface { name, ip, .. }) = chosen.cloned() {
            place.interface = name;
            place.ip = ip;
        }
        place.ip = address.unwrap_or(place.ip);
        Ok(place)
    }

    fn find(&self, name: &str) -> Result<&Interface, PlaceError> {
        self.interfaces.iter().find(|interface| interface.name == name).ok_or_else(|| {
            let mut known: Vec<_> = self.interfaces.iter().map(|interface| interface.name.clone()).collect();
            known.dedup();
            PlaceError::UnknownInterface { name: name.to_owned(), known }
        })
    }

    fn mac(&self, interface: &str) -> Result<&str, PlaceError> {
        let mac = self.find(interface)?.mac.as_deref();
        mac.ok_or_else(|| PlaceError::NoMac { interface: interface.to_owned() })
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interfaces(error) => write!(f, "the network interfaces cannot be listed: {error}"),
            Self::UnknownInterface { name, known } => {
                write!(f, "no network interface {name} with an address; there are: {}", known.join(", "))
            }
            Self::NoMac { interface } => write!(f, "network interface {interface} has no hardware address"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl std::error::Error for PlaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Interfaces(error) => Some(error),
            Self::UnknownInterface { .. } | Self::NoMac { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interface(name: &str, ip: &str, mac: Option<&str>) -> Interface {
        Interface { name: name.to_owned(), ip: ip.parse().unwrap(), mac: mac.map(str::to_owned) }
    }

    fn machine(interface_name: Option<&str>, address: Option<&str>) -> Result<Place, PlaceError> {
        let interfaces = vec![
            interface("lo", "127.0.0.1", None),
            interface("lo", "::1", None),
            interface("wlan0", "2001:db8::7", Some("aa:00:00:00:00:02")),
            interface("wlan0", "10.0.0.7", Some("aa:00:00:00:00:02")),
            interface("eth0", "172.16.32.40", Some("b8:27:eb:00:00:01")),
        ];
        Place::among(interfaces, "pi".to_owned(), interface_name, address.map(|ip| ip.parse().unwrap()))
    }

    /// A place whose address is `ip`.
    pub(crate) fn place(ip: &str) -> Place {
        machine(None, Some(ip)).unwrap()
    }

    fn filled(template: &str, place: &Place) -> String {
        Template::parse(template).unwrap().fill(place, "button0").unwrap()
    }

    #[test]
    fn placeholders_are_filled() {
        let place = machine(None, None).unwrap();
        assert_eq!(filled("{ip}/sensors/{name}", &place), "172.16.32.40/sensors/button0");
        assert_eq!(filled("{ip:wlan0}/x", &place), "10.0.0.7/x");
        assert_eq!(filled("{mac}|{mac:wlan0}", &place), "b8:27:eb:00:00:01|aa:00:00:00:00:02");
        assert_eq!(filled("/{hostname}/{interface}/", &place), "/pi/eth0/");
        assert_eq!(filled("plain", &place), "plain");
    }

    #[test]
    fn a_configured_address_or_interface_goes_before_the_found_one() {
        assert_eq!(
            filled("{ip} {ip:eth0}", &machine(None, Some("127.0.0.2")).unwrap()),
            "127.0.0.2 172.16.32.40"
        );
        assert_eq!(
            filled("{ip} {mac}", &machine(Some("wlan0"), None).unwrap()),
            "10.0.0.7 aa:00:00:00:00:02"
        );
        let error = machine(Some("eth7"), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no network interface eth7 with an address; there are: eth0, wlan0, lo"
        );
    }

    #[test]
    fn without_eth0_the_way_out_is_taken_and_alone_the_loopback() {
        let none = Place::among(Vec::new(), "pi".to_owned(), None, None).unwrap();
        assert_eq!(filled("{interface} {ip}", &none), "lo 127.0.0.1");
        let lo = interface("lo", "127.0.0.1", None);
        let wifi =
            vec![lo.clone(), interface("wlan0", "2001:db8::7", None), interface("wlan0", "10.0.0.7", None)];
        assert_eq!(filled("{ip}", &Place::among(wifi, "pi".to_owned(), None, None).unwrap()), "10.0.0.7");
        let alone = Place::among(vec![lo], "pi".to_owned(), None, None).unwrap();
        let error = Template::parse("{mac}").unwrap().fill(&alone, "x").unwrap_err();
        assert_eq!(error.to_string(), "network interface lo has no hardware address");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("{ipp}/x", "unknown placeholder `{ipp}`"),
            ("{hostname:eth0}", "unknown placeholder `{hostname:eth0}`"),
            ("a/{ip", "the `{` before `ip` is not closed"),
            ("", "must not be empty"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(part), "{text}: {error}");
        }
    }

    #[test]
    fn this_machine_has_a_place() {
        let place = Place::of_this_machine(None, Some("127.0.0.9".parse().unwrap())).unwrap();
        assert_eq!(place.ip().to_string(), "127.0.0.9");
        assert!(!filled("{hostname}", &place).is_empty());
    }

    proptest! {
        #[test]
        fn text_without_braces_stays_as_it_is(text in "[^{}]{1,40}") {
            prop_assert_eq!(filled(&text, &place("127.0.0.2")), text);
        }

        #[test]
        fn any_text_parses_or_is_refused(text in "[{}:a-z]{0,20}") {
            if let Ok(template) = Template::parse(&text) {
                drop(template.fill(&place("127.0.0.2"), "x"));
            }
        }
    }
}
