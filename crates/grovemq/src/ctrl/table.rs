//! The modules and their commands as a table: what reads them also writes their help and completes them.

use super::Wrong;
use crate::json::Json;
use std::fmt::Write as _;

/// A part of the broker that takes requests.
#[derive(Debug)]
pub(super) struct Module {
    pub name: &'static str,
    pub about: &'static str,
    /// For requests; answers come on the same with `/response` behind it.
    pub topic: &'static str,
    pub verbs: &'static [Verb],
}

/// A command of a module.
#[derive(Debug)]
pub(super) struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    pub params: &'static [Param],
    pub form: Form,
}

/// How a request is made of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Each argument is a member.
    Plain,
    /// Also `-c` and `-p`, and a password is asked for.
    NewClient,
    /// A password is asked for.
    Password,
    /// The two arguments are an entry of a list.
    DefaultAccess,
    /// No request: it makes a file.
    Init,
}

/// An argument: the name of the member, and what it may be.
#[derive(Debug)]
pub(super) struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A whole number.
    Priority,
    /// A number above zero, else it is left out.
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `allow` or `deny`, which go as a truth value.
    Allow,
}

const ALLOW: &[&str] = &["allow", "deny"];
const ACL_TYPES: &[&str] = &[
    "publishClientSend",
    "publishClientReceive",
    "subscribeLiteral",
    "subscribePattern",
    "unsubscribeLiteral",
    "unsubscribePattern",
];
const DEFAULT_ACL_TYPES: &[&str] = &["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];

const fn text(name: &'static str) -> Param {
    Param { name, kind: Kind::Text, optional: false }
}

const fn optional(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, optional: true }
}

const USER: Param = text("username");
const GROUP: Param = text("groupname");
const ROLE: Param = text("rolename");
const PRIORITY: Param = optional("priority", Kind::Priority);
const PASSWORD: Param = optional("password", Kind::Text);
const ACL_TYPE: Param = Param { name: "acltype", kind: Kind::Word(ACL_TYPES), optional: false };
const PAGE: &[Param] = &[optional("count", Kind::Count), optional("offset", Kind::Count)];

const fn verb(name: &'static str, params: &'static [Param], about: &'static str) -> Verb {
    Verb { name, about, params, form: Form::Plain }
}

impl Verb {
    const fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }
}

pub(super) const MODULES: &[Module] = &[
    Module {
        name: "dynsec",
        about: "Dynamic security: clients, groups, roles, and what they may do.",
        topic: "$CONTROL/dynamic-security/v1",
        verbs: DYNSEC,
    },
    Module {
        name: "broker",
        about: "The broker itself: what it listens on, and its plugins.",
        topic: "$CONTROL/broker/v1",
        verbs: &[
            verb("listListeners", &[], "List what the broker listens on"),
            verb("listPlugins", &[], "List the broker's plugins"),
        ],
    },
];

const DYNSEC: &[Verb] = &[
    verb(
        "init",
        &[text("filename"), text("admin-username"), optional("admin-password", Kind::Text)],
        "Make a new file with a client that may administer everything else",
    )
    .form(Form::Init),
    verb("getDefaultACLAccess", &[], "Show what is allowed where no role says anything"),
    verb(
        "setDefaultACLAccess",
        &[
            Param { name: "acltype", kind: Kind::Word(DEFAULT_ACL_TYPES), optional: false },
            Param { name: "access", kind: Kind::Word(ALLOW), optional: false },
        ],
        "Set what is allowed where no role says anything",
    )
    .form(Form::DefaultAccess),
    verb("getAnonymousGroup", &[], "Show the group of clients without a user name"),
    verb("setAnonymousGroup", &[GROUP], "Put clients without a user name into this group"),
    verb("createClient", &[USER], "Make a client; a password is asked for if there is no -p")
        .form(Form::NewClient),
    verb("deleteClient", &[USER], "Delete a client"),
    verb("enableClient", &[USER], "Let a client in again"),
    verb("disableClient", &[USER], "Let a client in no more, and end its connections"),
    verb("getClient", &[USER], "Show a client"),
    verb("listClients", PAGE, "List the clients"),
    verb("setClientPassword", &[USER, PASSWORD], "Set a client's password; it is asked for if not given")
        .form(Form::Password),
    verb(
        "setClientId",
        &[USER, optional("clientid", Kind::Text)],
        "Let a client in with this client id only",
    ),
    verb("addClientRole", &[USER, ROLE, PRIORITY], "Give a role to a client; of higher priority is sooner"),
    verb("removeClientRole", &[USER, ROLE], "Take a role from a client"),
    verb("createGroup", &[GROUP], "Make a group"),
    verb("deleteGroup", &[GROUP], "Delete a group"),
    verb("getGroup", &[GROUP], "Show a group"),
    verb("listGroups", PAGE, "List the groups"),
    verb(
        "addGroupClient",
        &[GROUP, USER, PRIORITY],
        "Put a client into a group; of higher priority is sooner",
    ),
    verb("removeGroupClient", &[GROUP, USER], "Take a client out of a group"),
    verb("addGroupRole", &[GROUP, ROLE, PRIORITY], "Give a role to a group; of higher priority is sooner"),
    verb("removeGroupRole", &[GROUP, ROLE], "Take a role from a group"),
    verb("createRole", &[ROLE], "Make a role"),
    verb("deleteRole", &[ROLE], "Delete a role"),
    verb("getRole", &[ROLE], "Show a role"),
    verb("listRoles", PAGE, "List the roles"),
    verb(
        "addRoleACL",
        &[
            ROLE,
            ACL_TYPE,
            text("topic"),
            Param { name: "allow", kind: Kind::Allow, optional: false },
            PRIORITY,
        ],
        "Add a rule to a role; of higher priority is sooner",
    ),
    verb("removeRoleACL", &[ROLE, ACL_TYPE, text("topic")], "Take a rule from a role"),
];

impl Module {
    pub(super) fn named(name: &str) -> Option<&'static Module> {
        MODULES.iter().find(|module| module.name == name)
    }

    /// As in the original, capitals do not matter.
    pub(super) fn verb(&self, name: &str) -> Option<&'static Verb> {
        self.verbs.iter().find(|verb| verb.name.eq_ignore_ascii_case(name))
    }
}

impl Verb {
    /// The name with its arguments.
    pub(super) fn synopsis(&self) -> String {
        let mut text = self.name.to_owned();
        for param in self.params {
            let shown = match param.kind {
                Kind::Allow => "allow|deny".to_owned(),
                Kind::Word(words) if words.len() == ALLOW.len() => words.join("|"),
                _ => format!("<{}>", param.name),
            };
            let (open, close) = if param.optional { ("[", "]") } else { ("", "") };
            let _infallible = write!(text, " {open}{shown}{close}");
        }
        if self.form == Form::NewClient {
            text += " [-c <clientid>] [-p <password>]";
        }
        text
    }

    /// The members of the request that the arguments give, in their order; all are there that have to be, and no more.
    pub(super) fn members(&self, args: &[String]) -> Result<Vec<(String, Json)>, Wrong> {
        let needed = self.params.iter().filter(|param| !param.optional).count();
        if args.len() < needed || args.len() > self.params.len() {
            return Err(Wrong::arguments(""));
        }
        let mut members = Vec::new();
        for (param, arg) in self.params.iter().zip(args) {
            let value = param.value(arg)?;
            members.extend(value.map(|value| (param.name.to_owned(), value)));
        }
        Ok(members)
    }
}

impl Param {
    fn value(&self, typed: &str) -> Result<Option<Json>, Wrong> {
        let name = self.name;
        match self.kind {
            Kind::Text => Ok(Some(Json::text(typed))),
            Kind::Priority => match typed.parse::<i32>() {
                Ok(number) => Ok(Some(Json::Number(number.into()))),
                Err(_) => Err(Wrong::hint(format!("The {name} must be a whole number."))),
            },
            Kind::Count => {
                let number = typed.parse::<u32>().ok().filter(|&number| number > 0);
                Ok(number.map(|number| Json::Number(number.into())))
            }
            Kind::Word(words) => match one_of(words, typed) {
                Some(word) => Ok(Some(Json::text(word))),
                None if words == ALLOW => Err(Wrong::arguments(NOT_ALLOW)),
                None => Err(Wrong::hint(format!("The {name} must be one of {}.", words.join(", ")))),
            },
            Kind::Allow => match one_of(ALLOW, typed) {
                Some(word) => Ok(Some(Json::Bool(word == "allow"))),
                None => Err(Wrong::arguments(NOT_ALLOW)),
            },
        }
    }

    /// The words to choose from.
    pub(super) fn words(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Word(words) => words,
            Kind::Allow => ALLOW,
            Kind::Text | Kind::Priority | Kind::Count => &[],
        }
    }
}

const NOT_ALLOW: &str = "Error: access must be \"allow\" or \"deny\".";

fn one_of(words: &'static [&'static str], typed: &str) -> Option<&'static str> {
    words.iter().copied().find(|word| word.eq_ignore_ascii_case(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(line: &str) -> Result<String, Wrong> {
        let mut words = line.split(' ').map(str::to_owned);
        let verb = Module::named("dynsec").unwrap().verb(&words.next().unwrap()).unwrap();
        let members = verb.members(&words.collect::<Vec<_>>())?;
        Ok(String::from_utf8(Json::Object(members).line()).unwrap())
    }

    #[test]
    fn arguments_become_members() {
        for (line, expected) in [
            ("listroles 0 x", "{}"),
            ("listRoles 5 1", r#"{"count":5,"offset":1}"#),
            ("setClientId a", r#"{"username":"a"}"#),
            (
                "addRoleACL r SUBSCRIBEpattern a/# Deny -3",
                r#"{"rolename":"r","acltype":"subscribePattern","topic":"a/#","allow":false,"priority":-3}"#,
            ),
        ] {
            assert_eq!(members(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn wrong_arguments() {
        for (line, wrong) in [
            ("getRole", Wrong::arguments("")),
            ("getRole a b", Wrong::arguments("")),
            ("addClientRole a r 1x", Wrong::hint("The priority must be a whole number.".to_owned())),
            ("addRoleACL r subscribePattern a maybe", Wrong::arguments(NOT_ALLOW)),
            ("setDefaultACLAccess subscribe 1", Wrong::arguments(NOT_ALLOW)),
        ] {
            assert_eq!(members(line), Err(wrong), "{line}");
        }
        assert!(members("addRoleACL r subscribe a allow").is_err());
    }

    #[test]
    fn no_name_stands_for_two_commands() {
        for module in MODULES {
            for verb in module.verbs {
                let found = module.verb(verb.name).map(|found| found.name);
                assert_eq!(found, Some(verb.name));
                let optional: Vec<bool> = verb.params.iter().map(|param| param.optional).collect();
                assert!(optional.is_sorted(), "{}: what may be missing comes last", verb.name);
            }
        }
    }
}
