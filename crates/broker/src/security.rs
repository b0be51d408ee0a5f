//! Password and ACL files of the listeners.

use grovemq_auth::acl::{Access as AclAccess, Acl, Who as AclWho};
use grovemq_auth::password::PasswordFile;
use grovemq_config::{Listener, Security as Files};
use grovemq_core::Revoked;
use grovemq_core::access::{Access, Authorize, Who};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What one listener asks of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) passwords: Option<Arc<Swap<PasswordFile>>>,
    pub(crate) rules: Option<Arc<Swap<Acl>>>,
}

/// A file's contents, replaced as a whole when it is read again.
#[derive(Debug)]
pub(crate) struct Swap<T> {
    value: RwLock<Arc<T>>,
}

impl<T> Swap<T> {
    fn get(&self) -> Arc<T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, value: T) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl Authorize for Swap<Acl> {
    fn check(&self, who: Who<'_>, access: Access, topic: &str) -> Result<(), String> {
        let access = match access {
            Access::Read => AclAccess::Read,
            Access::Write => AclAccess::Write,
        };
        let acl = self.get();
        let who = AclWho { client_id: who.client_id, username: who.username };
        let decision = acl.check(&who, access, topic);
        if decision.allowed { Ok(()) } else { Err(decision.to_string()) }
    }
}

/// The files in use. Listeners that name the same file share it.
#[derive(Debug, Default)]
pub(crate) struct Security {
    passwords: BTreeMap<PathBuf, Arc<Swap<PasswordFile>>>,
    rules: BTreeMap<PathBuf, Arc<Swap<Acl>>>,
}

/// Files that were read and are not yet in use.
#[derive(Debug, Default)]
pub(crate) struct Read {
    passwords: BTreeMap<PathBuf, PasswordFile>,
    rules: BTreeMap<PathBuf, Acl>,
}

/// What was wrong with files: errors, and warnings where there were no errors.
pub(crate) type Complaints = Vec<String>;

impl Read {
    /// Reads all files of these listeners; gives the warnings, or every error.
    pub(crate) fn all(listeners: &[Listener]) -> Result<(Self, Complaints), Complaints> {
        let mut read = Self::default();
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        let paths = |of: fn(&Files) -> Option<&PathBuf>| -> BTreeSet<&PathBuf> {
            listeners.iter().filter_map(|l| of(&l.auth)).collect()
        };
        for path in paths(|files| files.password_file.as_ref()) {
            match PasswordFile::load(path) {
                Ok(file) => drop(read.passwords.insert(path.clone(), file)),
                Err(e) => errors.extend(lines(&e)),
            }
        }
        for path in paths(|files| files.acl_file.as_ref()) {
            match Acl::load(path) {
                Ok((acl, found)) => {
                    warnings.extend(lines(&found));
                    read.rules.insert(path.clone(), acl);
                }
                Err(e) => errors.extend(lines(&e)),
            }
        }
        if errors.is_empty() { Ok((read, warnings)) } else { Err(errors) }
    }
}

impl Security {
    /// Uses what was read instead of what was in use.
    pub(crate) fn commit(&mut self, read: Read) {
        self.passwords = replace(core::mem::take(&mut self.passwords), read.passwords);
        self.rules = replace(core::mem::take(&mut self.rules), read.rules);
    }

    pub(crate) fn gate(&self, files: &Files) -> Gate {
        Gate {
            passwords: files.password_file.as_ref().and_then(|path| self.passwords.get(path)).cloned(),
            rules: files.acl_file.as_ref().and_then(|path| self.rules.get(path)).cloned(),
        }
    }
}

/// Who holds a file sees its new contents.
fn replace<T>(
    mut old: BTreeMap<PathBuf, Arc<Swap<T>>>,
    read: BTreeMap<PathBuf, T>,
) -> BTreeMap<PathBuf, Arc<Swap<T>>> {
    let reuse = |(path, value): (PathBuf, T)| {
        let swap = match old.remove(&path) {
            Some(swap) => {
                swap.set(value);
                swap
            }
            None => Arc::new(Swap { value: RwLock::new(Arc::new(value)) }),
        };
        (path, swap)
    };
    read.into_iter().map(reuse).collect()
}

impl Gate {
    /// The passwords as they are now, to be compared with later ones.
    pub(crate) fn passwords_now(&self) -> Option<Arc<PasswordFile>> {
        self.passwords.as_ref().map(|file| file.get())
    }
}

/// The users whose logins by the old passwords do not count under the new ones.
pub(crate) fn revoked(old: Option<&PasswordFile>, new: Option<&PasswordFile>) -> Revoked {
    let (old, new) = match (old, new) {
        (_, None) => return Revoked::Nobody,
        // nobody has looked at their passwords
        (None, Some(_)) => return Revoked::Everybody,
        (Some(old), Some(new)) => (old, new),
    };
    let changed = old.entries().filter(|(user, hash)| new.hash(user) != Some(*hash));
    let names: HashSet<String> = changed.map(|(user, _)| user.to_string()).collect();
    if names.is_empty() { Revoked::Nobody } else { Revoked::These(Arc::new(names)) }
}

/// The gates of all listeners, by their numbers.
pub(crate) type Gates = Arc<RwLock<Vec<Gate>>>;

fn lines<T: Display>(items: &[T]) -> Complaints {
    items.iter().map(ToString::to_string).collect()
}
