//! The list of resources, as `/.well-known/core` gives it (RFC 6690).

use std::fmt::Write as _;

/// A resource in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Segments of its path, not encoded.
    pub path: Vec<String>,
    /// Resource type (`rt`).
    pub kind: Option<String>,
    /// Interface (`if`).
    pub interface: Option<String>,
    pub title: Option<String>,
    /// Content format (`ct`).
    pub format: Option<u16>,
    /// It can be observed.
    pub observable: bool,
}

/// The links that the arguments of a query select (`rt=…`, `if=…`, `title=…`, `href=…`, each with an optional `*` at the
/// end); other arguments select nothing.
pub fn link_format(links: &[Link], query: &[String]) -> String {
    let mut text = String::new();
    for link in links.iter().filter(|link| query.iter().all(|argument| link.is_selected_by(argument))) {
        if !text.is_empty() {
            text.push(',');
        }
        link.write(&mut text);
    }
    text
}

impl Link {
    fn href(&self) -> String {
        let mut href = String::new();
        for segment in &self.path {
            href.push('/');
            for byte in segment.bytes() {
                match byte {
                    b'a'..=b'z'
                    | b'A'..=b'Z'
                    | b'0'..=b'9'
                    | b'-'
                    | b'.'
                    | b'_'
                    | b'~'
                    | b'$'
                    | b'+'
                    | b':' => {
                        href.push(byte.into());
                    }
                    _ => _ = write!(href, "%{byte:02X}"),
                }
            }
        }
        href
    }

    fn is_selected_by(&self, argument: &str) -> bool {
        let (name, wanted) = argument.split_once('=').unwrap_or((argument, "*"));
        let is = |value: &str| match wanted.strip_suffix('*') {
            Some(beginning) => value.starts_with(beginning),
            None => value == wanted,
        };
        match name {
            "href" => is(&self.href()),
            // these are lists of words
            "rt" => self.kind.iter().flat_map(|kind| kind.split(' ')).any(is),
            "if" => self.interface.iter().flat_map(|interface| interface.split(' ')).any(is),
            "title" => self.title.as_deref().is_some_and(is),
            "ct" => self.format.is_some_and(|format| is(&format.to_string())),
            "obs" => self.observable,
            _ => false,
        }
    }

    fn write(&self, text: &mut String) {
        _ = write!(text, "<{}>", self.href());
        let quoted = [("rt", &self.kind), ("if", &self.interface), ("title", &self.title)];
        for (name, value) in quoted {
            if let Some(value) = value {
                _ = write!(text, ";{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            }
        }
        if let Some(format) = self.format {
            _ = write!(text, ";ct={format}");
        }
        if self.observable {
            text.push_str(";obs");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> [Link; 2] {
        let button = Link {
            path: vec!["sensors".into(), "button0".into()],
            kind: Some("button sensor".into()),
            format: Some(0),
            observable: true,
            ..Link::default()
        };
        let odd = Link { path: vec!["a/b".into()], title: Some("a \"b\"".into()), ..Link::default() };
        [button, odd]
    }

    #[test]
    fn the_list_is_in_link_format() {
        assert_eq!(
            link_format(&links(), &[]),
            "</sensors/button0>;rt=\"button sensor\";ct=0;obs,</a%2Fb>;title=\"a \\\"b\\\"\""
        );
    }

    #[test]
    fn a_query_selects() {
        for (query, selected) in [
            ("rt=sensor", 1),
            ("rt=sens*", 1),
            ("rt=sens", 0),
            ("href=/sensors/*", 1),
            ("href=/*", 2),
            ("obs", 1),
            ("ct=0", 1),
            ("u=somebody", 0),
        ] {
            let text = link_format(&links(), &[query.to_owned()]);
            assert_eq!(text.matches('<').count(), selected, "{query}");
        }
    }
}
