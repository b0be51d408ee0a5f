//! The file of dynamic security, made and changed without a broker.

use super::{Failure, Wrong};
use crate::exit::Exit;
use crate::json::Json;
use grovemq_auth::password::{Format, Hash, os_random};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// A file above this is none of ours: about 100 000 clients.
const BYTES_MAX: u64 = 64 << 20;
/// What the client of a new file may do: the kind of rule, and the topics.
const ADMIN_MAY: &[(&str, &str)] = &[
    ("publishClientSend", "$CONTROL/#"),
    ("publishClientReceive", "$CONTROL/#"),
    ("subscribePattern", "$CONTROL/#"),
    ("publishClientReceive", "$SYS/#"),
    ("subscribePattern", "$SYS/#"),
    ("publishClientReceive", "#"),
    ("subscribePattern", "#"),
    ("unsubscribePattern", "#"),
];

/// Makes a new file with one client that may administer everything, and nothing else.
pub(super) fn init(path: &Path, username: &str, password: &str) -> Result<(), Failure> {
    let [hash, salt, iterations] = hashed(password)?;
    let roles = Json::Array(vec![Json::object([("rolename", Json::text("admin"))])]);
    let client = Json::object([
        ("username", Json::text(username)),
        ("textName", Json::text("Administrator of dynamic security")),
        ("password", hash),
        ("salt", salt),
        ("iterations", iterations),
        ("roles", roles),
    ]);
    let acls = ADMIN_MAY.iter().map(|(kind, topic)| {
        Json::object([
            ("acltype", Json::text(kind)),
            ("topic", Json::text(topic)),
            ("allow", Json::Bool(true)),
        ])
    });
    let role = Json::object([("rolename", Json::text("admin")), ("acls", Json::Array(acls.collect()))]);
    let defaults = Json::object([
        ("publishClientSend", Json::Bool(false)),
        ("publishClientReceive", Json::Bool(true)),
        ("subscribe", Json::Bool(false)),
        ("unsubscribe", Json::Bool(true)),
    ]);
    let all = Json::object([
        ("clients", Json::Array(vec![client])),
        ("roles", Json::Array(vec![role])),
        ("defaultACLAccess", defaults),
    ]);
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(exists(path));
        }
        Err(error) => {
            let path = path.display();
            return Err(Failure::told(format!(
                "dynsec init: Unable to open '{path}' for writing.\nError: {path}: {error}"
            )));
        }
    };
    let written = file.write_all(&all.lines()).and_then(|()| file.write_all(b"\n"));
    written.and_then(|()| file.sync_all()).map_err(|error| failed(path, &error))
}

/// There is such a file already, which is to be kept.
pub(super) fn exists(path: &Path) -> Failure {
    Failure::told(format!(
        "dynsec init: '{}' already exists. Remove the file or use a different location.",
        path.display()
    ))
}

/// Gives a client of the file another password. The file is replaced in one step.
pub(super) fn set_password(path: &Path, username: &str, password: &str) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| failed(path, &error))?;
    let mode = file.metadata().map_err(|error| failed(path, &error))?.permissions().mode();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::told(format!("Error: {}: the file is too large.", path.display())));
    }
    let mut all: Json = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::told(format!("Error: {}: {error}.", path.display())))?;
    let Some(client) = client_of(&mut all, username) else {
        return Err(Failure::told(format!("Error: {}: there is no client '{username}'.", path.display())));
    };
    let [hash, salt, iterations] = hashed(password)?;
    for (name, value) in [("password", hash), ("salt", salt), ("iterations", iterations)] {
        match client.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => client.push((name.to_owned(), value)),
        }
    }
    replace(path, &all, mode).map_err(|error| failed(path, &error))
}

fn client_of<'a>(all: &'a mut Json, username: &str) -> Option<&'a mut Vec<(String, Json)>> {
    let Json::Object(members) = all else { return None };
    let (_, clients) = members.iter_mut().find(|(name, _)| name == "clients")?;
    let Json::Array(clients) = clients else { return None };
    let name = Some(Json::text(username));
    let client = clients.iter_mut().find(|client| client.get("username") == name.as_ref())?;
    if let Json::Object(members) = client { Some(members) } else { None }
}

fn replace(path: &Path, all: &Json, mode: u32) -> io::Result<()> {
    let owner = fs::metadata(path)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let aside = Path::new(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
    let written = file
        .write_all(&all.lines())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| keep_owner(&file, &owner))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(aside, path));
    if written.is_err() {
        // what stays behind would be in the way next time
        fs::remove_file(aside).ok();
    }
    written
}

/// The broker's user goes on to own it, if we may say so.
fn keep_owner(file: &fs::File, owner: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Hash, salt and iterations as the file has them.
fn hashed(password: &str) -> Result<[Json; 3], Failure> {
    let hash = Hash::create(password.as_bytes(), Format::Portable, None, &mut os_random)
        .map_err(|error| Failure::told(format!("Error: {error}.")))?
        .to_string();
    let mut parts = hash.split('$').skip(2);
    let mut part = || parts.next().unwrap_or_default();
    let (iterations, salt, hash) = (part(), part(), part());
    let iterations = iterations.parse().unwrap_or(0.0);
    Ok([Json::text(hash), Json::text(salt), Json::Number(iterations)])
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::told(format!("Error: {}: {error}.", path.display()))
}

/// The arguments of `init`: file, client, and the password if it is there.
pub(super) fn init_arguments(args: &[String]) -> Result<(&Path, &str, Option<&str>), Wrong> {
    match args {
        [file, user] => Ok((Path::new(file), user, None)),
        [file, user, password] => Ok((Path::new(file), user, Some(password))),
        [] | [_] => {
            Err(Wrong::arguments("dynsec init: Not enough arguments - filename, or admin-user missing."))
        }
        _ => Err(Wrong::arguments("dynsec init: Too many arguments.")),
    }
}

/// What there is to know about a file just made.
pub(super) fn made(path: &Path, username: &str, program: &str) -> String {
    format!(
        "The client '{username}' has been created in the file '{}'.\n\
         It may administer the broker and read everything, but not publish to other topics than $CONTROL.\n\
         Make clients for your applications, such as:\n   \
         {program} <options> dynsec createClient <username>\n   \
         {program} <options> dynsec createRole <rolename>\n   \
         {program} <options> dynsec addRoleACL <rolename> publishClientSend my/topic allow\n   \
         {program} <options> dynsec addClientRole <username> <rolename>\n",
        path.display()
    )
}

impl Failure {
    /// Something that the original tells of, and ends as if nothing had been.
    pub(super) fn told(line: impl Into<String>) -> Self {
        Self { line: line.into(), exit: Exit::FAILURE, original: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_password_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        init(&path, "admin", "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        set_password(&path, "admin", "two").unwrap();
        let after: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let password = |all: &Json| all.get("clients").unwrap().items()[0].get("password").cloned();
        assert_ne!(password(&before), password(&after));
        assert_eq!(before.get("roles"), after.get("roles"));
        assert!(set_password(&path, "nobody", "x").unwrap_err().line.ends_with("no client 'nobody'."));
        assert!(init(&path, "admin", "x").unwrap_err().line.contains("already exists"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_none_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        for text in ["", "[]", "{\"clients\":{}}", "{\"clients\":[7,{\"username\":1}]}"] {
            fs::write(&path, text).unwrap();
            assert!(set_password(&path, "admin", "x").is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
