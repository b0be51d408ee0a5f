//! Literal lines to the effective configuration.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bridge::Bridge;
use crate::config::{Config, Log, LogDest, LogTypes};
use crate::diagnostic::{Diagnostic, Place, Report, Severity, Span, shown};
use crate::limits::{BRIDGES_MAX, LISTENERS_MAX, VALUE_BYTES_MAX};
use crate::listener::{Listener, Protocol, Security, Tls};
use crate::number::{NotInt, int};
use crate::parse::Line;
use crate::suggest;
use crate::table::{self, Need, Opt, Range, Repeat, Scope, Set, Support};
use crate::words::{About, Problem};

impl Config {
    /// The configuration that `lines` amount to, with warnings, or all errors.
    ///
    /// Lines of included files are told from the main file's by [`Place::included_at`].
    pub fn from_lines(lines: &[Line]) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        Self::build(lines, Report::default())
    }

    pub(crate) fn build(lines: &[Line], report: Report) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (config, _, report) = Self::draft(lines, report);
        report.finish(config)
    }

    /// As far as it goes, with what was set and everything that was found.
    pub(crate) fn draft(lines: &[Line], report: Report) -> (Self, Vec<Setting>, Report) {
        let mut draft = Draft { report, ..Draft::default() };
        for line in lines {
            draft.apply(line);
            if draft.report.is_overflown() {
                break;
            }
        }
        if draft.report.is_overflown() {
            draft.report.give_up();
        }
        draft.finish()
    }
}

/// A configuration in the making, with what lines refer to: the listener, bridge or plugin above them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) config: Config,
    pub(crate) report: Report,
    pub(crate) log_dest: Option<Vec<LogDest>>,
    pub(crate) log_types: Option<LogTypes>,
    /// A line about security has been seen; later ones must not change whom they are about.
    pub(crate) security_seen: bool,
    bridges: Vec<BridgeDraft>,
    security: SecurityDraft,
    listeners: Vec<ListenerDraft>,
    default_listener: Option<usize>,
    /// Where options go that belong to no listener because of an error.
    nobody: ListenerDraft,
    /// The same for options of a bridge.
    no_bridge: BridgeDraft,
    main: Context,
    /// Each included file begins with nothing above its lines.
    included: Option<(Arc<Path>, Context)>,
    /// Of the line being read.
    place: Option<Place>,
    warned: HashSet<&'static str>,
    earlier: HashMap<(Owner, &'static str), Place>,
    settings: Vec<Setting>,
}

/// A line that was understood.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What it belongs to.
    pub owner: Owner,
    /// Which directive it is.
    pub option: &'static Opt,
    /// The name it was given by.
    pub name: String,
    /// Its value as it was written.
    pub value: String,
    /// Where it stands.
    pub place: Place,
}

/// What stands above a line of the same file.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    listener: Option<usize>,
    bridge: Option<usize>,
    plugin: bool,
}

/// What a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The broker as a whole.
    Broker,
    /// This listener, counted from 0 in the order of the file.
    Listener(usize),
    /// This bridge, likewise.
    Bridge(usize),
}

/// Security settings as far as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecurityDraft {
    pub(crate) allow_anonymous: Option<bool>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) acl_file: Option<PathBuf>,
    pub(crate) psk_file: Option<PathBuf>,
    pub(crate) allow_zero_length_clientid: Option<bool>,
    pub(crate) auto_id_prefix: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct ListenerDraft {
    listener: Listener,
    security: SecurityDraft,
    /// The option that made it without a `listener`, `port` or `bind_address` line.
    made_by: Option<&'static str>,
}

/// A bridge in the making.
#[derive(Debug)]
pub(crate) struct BridgeDraft {
    bridge: Bridge,
    /// It has a `local_cleansession` of its own.
    pub(crate) local_given: bool,
}

impl Default for BridgeDraft {
    fn default() -> Self {
        Self { bridge: Bridge::new("", None), local_given: false }
    }
}

/// What setters and `words` use.
impl Draft {
    /// The listener the line belongs to.
    pub(crate) fn here(&mut self) -> &mut Listener {
        &mut self.here_draft().listener
    }

    /// The security settings of the listener the line belongs to.
    pub(crate) fn here_security(&mut self) -> &mut SecurityDraft {
        &mut self.here_draft().security
    }

    /// The security settings the line belongs to: the broker's or, with `per_listener_settings`, a listener's.
    pub(crate) fn security(&mut self) -> &mut SecurityDraft {
        if self.config.per_listener_settings { self.here_security() } else { &mut self.security }
    }

    /// Begins a listener.
    pub(crate) fn open_listener(&mut self, listener: Listener) -> Result<(), Problem> {
        if self.listeners.len() == LISTENERS_MAX {
            return Err(Problem::new(format!("More than {LISTENERS_MAX} listeners.")));
        }
        let place = self.place.clone();
        self.context().listener = Some(self.listeners.len());
        self.listeners
            .push(ListenerDraft { listener: Listener { place, ..listener }, ..ListenerDraft::default() });
        Ok(())
    }

    /// Returns to the default listener, or begins it; `option` is the reason if it is none that names its port.
    pub(crate) fn open_default_listener(&mut self, option: Option<&'static str>) -> Result<(), Problem> {
        if let Some(index) = self.default_listener {
            self.context().listener = Some(index);
            return Ok(());
        }
        self.open_listener(Listener::default())?;
        self.default_listener = self.context().listener;
        if let Some(option) = option {
            self.here_draft().made_by = Some(option);
            self.report.push(
                Diagnostic::new(
                    Severity::Warning,
                    self.place.clone(),
                    format!("Creating default listener due to '{option}' option."),
                )
                .hint(format!(
                    "It is best practice to define a 'listener' first. Using the '{option}' option without a \
                     listener will be disabled in the future."
                )),
            );
        }
        Ok(())
    }

    /// A line that names the default listener makes it no longer an accident.
    pub(crate) fn name_default_listener(&mut self) -> Result<(), Problem> {
        self.open_default_listener(None)?;
        self.here_draft().made_by = None;
        Ok(())
    }

    /// The bridge the line belongs to.
    pub(crate) fn bridge(&mut self) -> &mut Bridge {
        &mut self.here_bridge().bridge
    }

    pub(crate) fn here_bridge(&mut self) -> &mut BridgeDraft {
        let index = self.context().bridge;
        index.and_then(|index| self.bridges.get_mut(index)).unwrap_or(&mut self.no_bridge)
    }

    /// There is a bridge of this name.
    pub(crate) fn has_bridge(&self, name: &str) -> bool {
        self.bridges.iter().any(|known| known.bridge.name == name)
    }

    /// Begins a bridge.
    pub(crate) fn open_bridge(&mut self, name: &str) -> Result<(), Problem> {
        if self.bridges.len() == BRIDGES_MAX {
            return Err(Problem::new(format!("More than {BRIDGES_MAX} bridges.")));
        }
        let bridge = Bridge::new(name, self.place.clone());
        self.context().bridge = Some(self.bridges.len());
        self.bridges.push(BridgeDraft { bridge, ..BridgeDraft::default() });
        Ok(())
    }

    pub(crate) fn open_plugin(&mut self) {
        self.context().plugin = true;
    }

    /// The line being read is in an included file.
    pub(crate) fn is_included(&self) -> bool {
        self.included.is_some()
    }

    /// Remarks on the line being read, once for each `key`.
    pub(crate) fn remark_once(&mut self, severity: Severity, key: &'static str, message: String) {
        if self.warned.insert(key) {
            self.report.push(Diagnostic::new(severity, self.place.clone(), message));
        }
    }

    /// Remarks on the line being read.
    pub(crate) fn remark(&mut self, severity: Severity, message: String) {
        self.report.push(Diagnostic::new(severity, self.place.clone(), message));
    }

    /// Warns about or refuses what is written as `what`.
    pub(crate) fn check_support(&mut self, support: Support, what: &str) -> Result<(), Problem> {
        match support {
            Support::Supported => Ok(()),
            Support::NoEffect(reason) => {
                self.remark_once(Severity::Warning, reason, format!("'{what}' has no effect: {reason}"));
                Ok(())
            }
            Support::Refused(instead) => {
                Err(Problem::new(format!("'{what}' is not supported.")).hint(instead))
            }
        }
    }
}

/// Reading lines.
impl Draft {
    fn apply(&mut self, line: &Line) {
        self.enter(&line.place);
        let result = match table::find(&line.name) {
            Some(option) => self.apply_option(option, line),
            None => Err(Problem {
                hint: suggest::for_unknown(line),
                ..Problem::new(format!("Unknown configuration variable '{}'.", shown(&line.name)))
            }),
        };
        if let Err(Problem { message, hint, about }) = result {
            let error = Diagnostic::error(Some(line.place.clone()), message);
            self.report.push(Diagnostic { hint, span: Some(span(line, &about)), ..error });
        }
    }

    fn enter(&mut self, place: &Place) {
        self.place = Some(place.clone());
        match (&place.included_at, &self.included) {
            (None, _) => self.included = None,
            (Some(_), Some((file, _))) if Arc::ptr_eq(file, &place.file) => {}
            (Some(_), _) => self.included = Some((Arc::clone(&place.file), Context::default())),
        }
    }

    fn apply_option(&mut self, option: &'static Opt, line: &Line) -> Result<(), Problem> {
        if let Some(instead) = option.deprecated {
            let message = format!("The '{}' option is deprecated. {instead}", option.name);
            self.remark_once(Severity::Notice, option.name, message.trim_end().to_owned());
        }
        let owner = self.owner(option, line)?;
        self.set_value(option, line).map_err(Problem::about_value)?;
        self.check_repeat(option, line, owner)?;
        let owner = self.opened(option, owner);
        let (name, value) = (line.name.clone(), line.value.clone());
        self.settings.push(Setting { owner, option, name, value, place: line.place.clone() });
        // The line that begins a plugin is refused; once is enough.
        if option.scope == Scope::Plugin || is_default(option, line) {
            return Ok(());
        }
        self.check_support(option.support, &line.name)
    }

    fn owner(&mut self, option: &'static Opt, line: &Line) -> Result<Owner, Problem> {
        let requires = |what| {
            Problem::new(format!("The '{}' option requires {what} to be defined first.", shown(&line.name)))
        };
        let context = *self.context();
        match option.scope {
            Scope::Global => Ok(Owner::Broker),
            Scope::Listener(need) => {
                match (context.listener, need) {
                    (Some(_), Need::Defined | Need::OrDefault) => {}
                    (Some(_), Need::NotDefault) if context.listener != self.default_listener => {}
                    (None, Need::OrDefault) => self.open_default_listener(Some(option.name))?,
                    _ => return Err(requires("a listener")),
                }
                self.context().listener.map(Owner::Listener).ok_or_else(|| requires("a listener"))
            }
            Scope::Security => {
                self.security_seen = true;
                match context.listener {
                    _ if !self.config.per_listener_settings => Ok(Owner::Broker),
                    Some(index) => Ok(Owner::Listener(index)),
                    None => Err(requires("a listener")),
                }
            }
            Scope::Bridge => context.bridge.map(Owner::Bridge).ok_or_else(|| requires("a bridge")),
            Scope::Plugin if context.plugin => Ok(Owner::Broker),
            Scope::Plugin if option.name == "auth_plugin_deny_special_chars" => Err(Problem::new(
                "An auth_plugin_deny_special_chars option exists in the config file without a plugin.",
            )),
            Scope::Plugin => Err(requires("plugin/global_plugin/plugin_load")),
        }
    }

    fn set_value(&mut self, option: &'static Opt, line: &Line) -> Result<(), Problem> {
        let label = option.label.unwrap_or(&line.name);
        match &option.set {
            Set::Ignored => {}
            Set::Bool(set) => set(self, read_bool(label, line)?),
            Set::Int(range, set) => set(self, read_int(label, *range, line)?),
            Set::Text(set) => {
                set(self, read_text(label, line)?);
                if line.value.contains(" #") {
                    let message =
                        format!("The value of '{label}' holds a '#': a comment needs a line of its own.");
                    self.report.push(Diagnostic::new(Severity::Warning, self.place.clone(), message));
                }
            }
            Set::Choice(words, set) => {
                let word = first_word(label, line)?;
                let Some((_, support)) = words.iter().find(|(known, _)| *known == word) else {
                    let close = suggest::closest(&word.to_lowercase(), words.iter().map(|(known, _)| *known));
                    return Err(invalid(label, word, close));
                };
                set(self, word);
                self.check_support(*support, &format!("{} {word}", line.name))?;
            }
            Set::Words(_, set) => set(self, line)?,
        }
        Ok(())
    }

    /// A line that begins a listener or bridge belongs to that one.
    fn opened(&mut self, option: &Opt, owner: Owner) -> Owner {
        let context = *self.context();
        match option.name {
            "listener" | "port" | "bind_address" => context.listener.map_or(owner, Owner::Listener),
            "connection" => self.bridges.len().checked_sub(1).map_or(owner, Owner::Bridge),
            _ => owner,
        }
    }

    fn check_repeat(&mut self, option: &'static Opt, line: &Line, owner: Owner) -> Result<(), Problem> {
        let earlier = self.earlier.insert((owner, option.name), line.place.clone());
        let Some(earlier) = earlier else { return Ok(()) };
        match option.repeat {
            Repeat::Last | Repeat::Adds => Ok(()),
            Repeat::LastWarned => {
                let message = format!("This '{}' replaces the one at {earlier}.", line.name);
                self.report.push(Diagnostic::new(Severity::Warning, self.place.clone(), message));
                Ok(())
            }
            Repeat::Error if option.name == "address" => {
                Err(Problem::new("Invalid bridge configuration, 'address' only allowed once."))
            }
            Repeat::Error => {
                let label = option.label.unwrap_or(&line.name);
                Err(Problem::new(format!("Duplicate '{label}' value in configuration."))
                    .hint(format!("The first one is at {earlier}.")))
            }
        }
    }

    fn context(&mut self) -> &mut Context {
        match &mut self.included {
            Some((_, context)) => context,
            None => &mut self.main,
        }
    }

    fn here_draft(&mut self) -> &mut ListenerDraft {
        let index = self.context().listener;
        index.and_then(|index| self.listeners.get_mut(index)).unwrap_or(&mut self.nobody)
    }
}

/// Putting it together.
impl Draft {
    fn finish(mut self) -> (Config, Vec<Setting>, Report) {
        let log = Log::default();
        self.config.log.dest = self.log_dest.take().unwrap_or(log.dest);
        self.config.log.types = self.log_types.take().unwrap_or(log.types);

        let default_listener = self.default_listener.and_then(|index| self.listeners.get(index));
        if self.config.local_only {
            let model = self.resolve(default_listener.cloned().unwrap_or_default());
            self.config.listeners = Config::local_listeners(&[model.port], &model);
        } else {
            if let Some(ListenerDraft { listener, made_by: Some(option), .. }) = default_listener {
                let message = format!(
                    "Port {} is open on every address, because '{option}' stands above the first 'listener'.",
                    listener.port
                );
                self.report.push(Diagnostic::new(Severity::Warning, listener.place.clone(), message));
            }
            let drafts = std::mem::take(&mut self.listeners);
            self.config.listeners = drafts.into_iter().map(|draft| self.resolve(draft)).collect();
        }
        self.check_coap();
        for listener in &self.config.listeners {
            // Lines that were not taken leave gaps of their own.
            if let Err(message) = check_tls(&listener.tls)
                && !self.report.has_errors()
            {
                self.report.push(Diagnostic::error(listener.place.clone(), message));
            }
        }
        self.config.bridges =
            std::mem::take(&mut self.bridges).into_iter().map(|draft| draft.bridge).collect();
        self.check_bridges();
        (self.config, self.settings, self.report)
    }

    /// Listeners for CoAP have no options of streams.
    fn check_coap(&mut self) {
        let config = &self.config;
        let speaks_coap = |owner: Owner| match owner {
            Owner::Listener(index) => {
                config.listeners.get(index).is_some_and(|l| l.protocol == Protocol::Coap)
            }
            Owner::Broker | Owner::Bridge(_) => false,
        };
        for setting in self.settings.iter().filter(|setting| speaks_coap(setting.owner)) {
            if NOT_FOR_COAP.contains(&setting.option.name) {
                let message = format!("'{}' cannot be used with 'protocol coap'.", setting.name);
                self.report.push(Diagnostic::error(Some(setting.place.clone()), message));
            }
        }
        for listener in config.listeners.iter().filter(|l| l.protocol == Protocol::Coap) {
            if listener.unix_path.is_some() {
                let message = "'protocol coap' needs a port: it cannot be used with a Unix socket.";
                self.report.push(Diagnostic::error(listener.place.clone(), message));
            }
        }
    }

    /// Bridges are whole, and do not push each other out.
    fn check_bridges(&mut self) {
        let mut ids = HashSet::new();
        for bridge in &self.config.bridges {
            // any host name does: the same stands in all ids made from it
            let id = bridge.local_client_id("");
            let checked = bridge.check().and_then(|()| {
                let unique = ids.insert(id.clone());
                unique.then_some(()).ok_or_else(|| {
                    format!(
                        "Bridge local_clientid '{}' is not unique. Try changing or setting the \
                         local_clientid value for one of the bridges.",
                        shown(&id)
                    )
                })
            });
            if let Err(message) = checked
                && !self.report.has_errors()
            {
                self.report.push(Diagnostic::error(bridge.place.clone(), message));
            }
        }
    }

    /// Fills in what the listener leaves to the broker, and what the broker leaves to the default.
    fn resolve(&self, draft: ListenerDraft) -> Listener {
        let ListenerDraft { listener, security: own, .. } = draft;
        let per_listener = self.config.per_listener_settings;
        let shared = if per_listener { own.clone() } else { self.security.clone() };
        Listener {
            allow_anonymous: own.allow_anonymous.or(shared.allow_anonymous).unwrap_or(self.config.local_only),
            auth: Security {
                password_file: shared.password_file,
                acl_file: shared.acl_file,
                psk_file: shared.psk_file,
                allow_zero_length_clientid: shared.allow_zero_length_clientid.unwrap_or(true),
                auto_id_prefix: own
                    .auto_id_prefix
                    .or(shared.auto_id_prefix)
                    .unwrap_or(Security::default().auto_id_prefix),
            },
            ..listener
        }
    }
}

/// Options of streams, of MQTT's own handshake, and of encryption, which datagrams do not have.
const NOT_FOR_COAP: &[&str] = &[
    "accept_protocol_versions",
    "cafile",
    "capath",
    "certfile",
    "ciphers",
    "ciphers_tls1.3",
    "crlfile",
    "enable_proxy_protocol",
    "keyfile",
    "max_connection_rate",
    "max_topic_alias",
    "max_topic_alias_broker",
    "proxy_protocol_v2_require_tls",
    "psk_hint",
    "require_certificate",
    "tls_version",
    "use_identity_as_username",
    "use_subject_as_username",
    "use_username_as_clientid",
    "websockets_origin",
];

/// The settings of one TLS listener fit together.
fn check_tls(tls: &Tls) -> Result<(), &'static str> {
    if tls.certfile.is_some() != tls.keyfile.is_some() {
        Err("Both certfile and keyfile must be provided to enable a TLS listener.")
    } else if tls.cafile.is_some() && tls.certfile.is_none() {
        Err("cafile specified without certfile and keyfile.")
    } else if tls.capath.is_some() && tls.certfile.is_none() {
        Err("capath specified without certfile and keyfile.")
    } else if tls.certfile.is_some() && tls.psk_hint.is_some() {
        Err("Cannot use both certificate and psk encryption in a single listener.")
    } else {
        Ok(())
    }
}

/// Where in the text of the line that part of it is.
fn span(line: &Line, about: &About) -> Span {
    let value = Span { start: line.value_at, len: line.value.len() };
    match about {
        About::Word(word) => match line.value.find(word.as_str()) {
            Some(at) => Span { start: line.value_at + at, len: word.len() },
            None => value,
        },
        About::Value if !line.value.is_empty() => value,
        About::Name | About::Value => Span { start: line.name_at, len: line.name.len() },
    }
}

/// The line says what would hold without it.
fn is_default(option: &Opt, line: &Line) -> bool {
    let word = line.words().next().unwrap_or_default();
    match (&option.set, word) {
        (Set::Bool(_), "0") => option.default == "false",
        (Set::Bool(_), "1") => option.default == "true",
        _ => !option.default.is_empty() && option.default == word,
    }
}

pub(crate) fn invalid(label: &str, word: &str, close: Option<&str>) -> Problem {
    let hint = close.map(|word| format!("Did you mean '{word}'?"));
    Problem { hint, ..Problem::new(format!("Invalid '{label}' value ({}).", shown(word))) }.about_word(word)
}

pub(crate) fn first_word<'a>(label: &str, line: &'a Line) -> Result<&'a str, Problem> {
    line.words().next().ok_or_else(|| empty(label))
}

fn empty(label: &str) -> Problem {
    Problem::new(format!("Empty '{}' value in configuration.", shown(label)))
}

pub(crate) fn read_bool(label: &str, line: &Line) -> Result<bool, Problem> {
    match first_word(label, line)? {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        word => {
            let close = match word.to_ascii_lowercase().as_str() {
                "=" => {
                    return Err(
                        invalid(label, word, None).hint("Name and value stand side by side, without '='.")
                    );
                }
                "true" | "yes" | "on" => Some("true"),
                "false" | "no" | "off" => Some("false"),
                _ => None,
            };
            Err(invalid(label, word, close))
        }
    }
}

pub(crate) fn read_int(label: &str, range: Range, line: &Line) -> Result<i32, Problem> {
    let word = first_word(label, line)?;
    let value = int(word).map_err(|error| match error {
        NotInt::NotANumber => Problem::new(format!("'{label}' value not a number.")).about_word(word),
        NotInt::OutOfRange => Problem::new(format!("'{label}' value out of range.")).about_word(word),
    })?;
    if (range.min..=range.max).contains(&value) {
        Ok(value)
    } else {
        Err(Problem::new(range.message.replace("{}", &value.to_string())).about_word(word))
    }
}

pub(crate) fn read_text<'a>(label: &str, line: &'a Line) -> Result<&'a str, Problem> {
    let text = line.value.as_str();
    if text.is_empty() {
        Err(empty(label))
    } else if text.len() > VALUE_BYTES_MAX {
        Err(Problem::new(format!("'{label}' value has more than {VALUE_BYTES_MAX} bytes.")))
    } else if text.chars().any(char::is_control) {
        Err(Problem::new("Malformed UTF-8 in configuration.").hint("The value holds a control character."))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_tls_listener() {
        let file = || Some(PathBuf::from("/f"));
        let off = Tls::default();
        let on = Tls { certfile: file(), keyfile: file(), cafile: file(), ..Tls::default() };
        assert_eq!((check_tls(&off), check_tls(&on)), (Ok(()), Ok(())));
        for (tls, part) in [
            (Tls { keyfile: None, ..on.clone() }, "Both certfile and keyfile"),
            (Tls { certfile: None, ..on.clone() }, "Both certfile and keyfile"),
            (Tls { cafile: file(), ..off.clone() }, "cafile specified"),
            (Tls { capath: file(), ..off }, "capath specified"),
            (Tls { psk_hint: Some("h".to_owned()), ..on }, "Cannot use both"),
        ] {
            assert!(check_tls(&tls).is_err_and(|message| message.starts_with(part)), "{tls:?}");
        }
    }
}
