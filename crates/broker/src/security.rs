//! Password and ACL files of the listeners, and the threads that check passwords.

use crate::inbox::{Letter, LoginJob};
use crate::limits::{LOGIN_THREADS, LOGINS_MAX};
use grovemq_auth::acl::{Access as AclAccess, Acl, Who as AclWho};
use grovemq_auth::password::PasswordFile;
use grovemq_auth::scram;
use grovemq_config::{Config, Security as Files};
use grovemq_core::Verdict;
use grovemq_core::access::{Access, Authorize, Login, Who, Words};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What one listener asks of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) passwords: Option<Arc<Swap<PasswordFile>>>,
    pub(crate) rules: Option<Arc<Swap<Acl>>>,
}

/// A file's contents, replaced as a whole when it is read again.
#[derive(Debug)]
pub(crate) struct Swap<T> {
    path: PathBuf,
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

/// The gates of all listeners, in their order. Listeners that name the same file share it.
#[derive(Debug, Default)]
pub(crate) struct Security {
    pub(crate) gates: Vec<Gate>,
    passwords: BTreeMap<PathBuf, Arc<Swap<PasswordFile>>>,
    rules: BTreeMap<PathBuf, Arc<Swap<Acl>>>,
}

/// What was wrong with files: errors, and warnings where there were no errors.
pub(crate) type Complaints = Vec<String>;

impl Security {
    /// Reads all files; gives the warnings, or every error.
    pub(crate) fn load(config: &Config) -> Result<(Self, Complaints), Complaints> {
        let mut security = Self::default();
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        for listener in &config.listeners {
            match security.gate(&listener.auth, &mut warnings) {
                Ok(gate) => security.gates.push(gate),
                Err(e) => errors.extend(e),
            }
        }
        if errors.is_empty() { Ok((security, warnings)) } else { Err(errors) }
    }

    fn gate(&mut self, files: &Files, warnings: &mut Complaints) -> Result<Gate, Complaints> {
        let mut gate = Gate::default();
        if let Some(path) = &files.password_file {
            if !self.passwords.contains_key(path) {
                let value = RwLock::new(Arc::new(read_passwords(path)?));
                self.passwords.insert(path.clone(), Arc::new(Swap { path: path.clone(), value }));
            }
            gate.passwords = self.passwords.get(path).cloned();
        }
        if let Some(path) = &files.acl_file {
            if !self.rules.contains_key(path) {
                let value = RwLock::new(Arc::new(read_rules(path, warnings)?));
                self.rules.insert(path.clone(), Arc::new(Swap { path: path.clone(), value }));
            }
            gate.rules = self.rules.get(path).cloned();
        }
        Ok(gate)
    }

    /// Reads all files again. With any error nothing changes.
    pub(crate) fn reload(&self) -> Result<Complaints, Complaints> {
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        let mut passwords = Vec::new();
        let mut rules = Vec::new();
        for file in self.passwords.values() {
            match read_passwords(&file.path) {
                Ok(new) => passwords.push((file, new)),
                Err(e) => errors.extend(e),
            }
        }
        for file in self.rules.values() {
            match read_rules(&file.path, &mut warnings) {
                Ok(new) => rules.push((file, new)),
                Err(e) => errors.extend(e),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for (file, new) in passwords {
            file.set(new);
        }
        for (file, new) in rules {
            file.set(new);
        }
        Ok(warnings)
    }
}

/// Starts the threads that check passwords, away from the event loops: a hash may take a tenth of a second.
pub(crate) fn start_login_threads(gates: &Arc<[Gate]>) -> std::io::Result<SyncSender<LoginJob>> {
    let (sender, receiver) = sync_channel(LOGINS_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    for n in 0..LOGIN_THREADS {
        let (gates, receiver) = (gates.clone(), receiver.clone());
        std::thread::Builder::new()
            .name(format!("login-{n}"))
            .spawn(move || check_logins(&gates, &receiver))?;
    }
    Ok(sender)
}

fn check_logins(gates: &[Gate], jobs: &Mutex<Receiver<LoginJob>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let passwords = gates.get(usize::from(job.listener)).and_then(|g| g.passwords.as_ref());
        let file = passwords.map(|passwords| passwords.get());
        let verdict = match (file, &job.login) {
            (Some(file), Login { words: Some(words), .. }) => judge_words(&file, words),
            (Some(file), Login { username: Some(user), password, .. })
                if file.verify(user, password.as_deref().unwrap_or_default()) =>
            {
                Verdict::Allow
            }
            _ => Verdict::Deny,
        };
        job.reply.post(Letter::Verdict(job.key, verdict));
    }
}

/// One turn of an authentication exchange. It is as if everybody had an entry for SCRAM, as soon as somebody has.
fn judge_words(file: &PasswordFile, words: &Words) -> Verdict {
    if &*words.method != scram::METHOD || !file.offers_scram() {
        return Verdict::UnknownMethod;
    }
    let find = |user: &str| file.scram(user).unwrap_or_else(scram::Entry::nobody);
    match &words.said[..] {
        [first] => {
            let Ok(nonce) = scram::new_nonce() else { return Verdict::Unavailable };
            scram::challenge(first, &nonce, find)
                .map_or(Verdict::Deny, |challenge| Verdict::Challenge(challenge.into_bytes()))
        }
        [first, challenge, last] => match scram::verify(first, challenge, last, find) {
            Ok(proven) => Verdict::Proven { username: proven.user, data: proven.message.into_bytes() },
            Err(_) => Verdict::Deny,
        },
        _ => Verdict::Deny,
    }
}

fn read_passwords(path: &Path) -> Result<PasswordFile, Complaints> {
    PasswordFile::load(path).map_err(|e| lines(&e))
}

fn read_rules(path: &Path, warnings: &mut Complaints) -> Result<Acl, Complaints> {
    let (acl, found) = Acl::load(path).map_err(|e| lines(&e))?;
    warnings.extend(lines(&found));
    Ok(acl)
}

fn lines<T: Display>(items: &[T]) -> Complaints {
    items.iter().map(ToString::to_string).collect()
}
