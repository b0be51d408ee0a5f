//! One case of a side-by-side table, as data.

/// Which tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Publisher,
    Subscriber,
    Requester,
}

/// A run of one tool, and what is compared afterwards. Arguments are written as in a shell: words, and `'…'` for spaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) tool: Tool,
    pub(crate) args: &'static str,
    /// Given on standard input, which is then closed.
    pub(crate) stdin: &'static str,
    /// Arguments of publishers that run before.
    pub(crate) before: &'static [&'static str],
    /// Arguments of publishers that run as soon as the tool has subscribed.
    pub(crate) then: &'static [&'static str],
    /// Run it with MQTT 5 as well?
    pub(crate) also_v5: bool,
    /// Digits are not compared: they are times, or process ids.
    pub(crate) digits_differ: bool,
    /// Standard output holds a usage text, which is ours: it must be there, but may differ.
    pub(crate) own_usage: bool,
    /// Ours may say this in its own words, and why: then the exit code alone is compared, and that something is said.
    pub(crate) own_words: Option<&'static str>,
}

const EMPTY: Case = Case {
    tool: Tool::Publisher,
    args: "",
    stdin: "",
    before: &[],
    then: &[],
    also_v5: true,
    digits_differ: false,
    own_usage: false,
    own_words: None,
};

/// `mosquitto_pub` with these arguments. Where `-p` should stand elsewhere than in front, write `{port}`.
pub(crate) const fn publish(args: &'static str) -> Case {
    Case { args, ..EMPTY }
}

/// `mosquitto_sub` likewise.
pub(crate) const fn subscribe(args: &'static str) -> Case {
    Case { tool: Tool::Subscriber, args, ..EMPTY }
}

/// `mosquitto_rr` likewise.
pub(crate) const fn request(args: &'static str) -> Case {
    Case { tool: Tool::Requester, args, ..EMPTY }
}

impl Case {
    pub(crate) const fn stdin(self, stdin: &'static str) -> Self {
        Case { stdin, ..self }
    }

    pub(crate) const fn before(self, before: &'static [&'static str]) -> Self {
        Case { before, ..self }
    }

    pub(crate) const fn then(self, then: &'static [&'static str]) -> Self {
        Case { then, ..self }
    }

    pub(crate) const fn one_version(self) -> Self {
        Case { also_v5: false, ..self }
    }

    pub(crate) const fn digits_differ(self) -> Self {
        Case { digits_differ: true, ..self }
    }

    pub(crate) const fn own_usage(self) -> Self {
        Case { own_usage: true, ..self }
    }

    pub(crate) const fn own_words(self, why: &'static str) -> Self {
        Case { own_words: Some(why), ..self }
    }
}

/// Words of a command line; `'…'` keeps spaces, `''` is an empty word.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_cut_as_a_shell_cuts_them() {
    assert_eq!(words("-t a  -m 'b c' ''"), ["-t", "a", "-m", "b c", ""]);
}
