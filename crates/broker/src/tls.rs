//! What listeners ask of a connection before MQTT: certificates, keys and rules, as the configuration says.

use crate::keylog::KeyFile;
use crate::security::Complaints;
use grovemq_config::{Config, Listener, Protocol, ProxyProtocol};
use grovemq_net::rustls::crypto::{CryptoProvider, ring};
use grovemq_net::rustls::pki_types::pem::{self, PemObject};
use grovemq_net::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use grovemq_net::rustls::server::WebPkiClientVerifier;
use grovemq_net::rustls::server::danger::ClientCertVerifier;
use grovemq_net::rustls::version::{TLS12, TLS13};
use grovemq_net::rustls::{Error, RootCertStore, ServerConfig};
use grovemq_net::{Entry, ciphers, proxy};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

/// Part of a certificate's subject: the common name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Certificates are renewed before this is left of their time.
const ENDING_SOON: Duration = Duration::from_secs(30 * 86_400);
/// A PEM file above this is none.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The entries of all listeners, by their numbers, replaced as a whole when certificates are read again.
#[derive(Debug)]
pub(crate) struct Entries {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// `None` for those whose doors are closed.
    listeners: Arc<[Option<Listener>]>,
    entries: Vec<Entry>,
    keys: Option<Arc<KeyFile>>,
    /// The files when they were last read.
    seen: Fingerprint,
}

/// Entries that were made and are not yet in use.
#[derive(Debug)]
pub(crate) struct Made(State);

/// What a change of a file shows in: its time and length.
pub(crate) type Fingerprint = Vec<Option<(SystemTime, u64)>>;

/// Who may pass, once it is known who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A proxy must have said that the client uses TLS with it.
    proxy_tls: bool,
    /// It must have said that the client has a certificate.
    proxy_certificate: bool,
    name: Name,
}

/// Which part of a certificate is the user name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Nowhere,
    Common,
    Subject,
}

/// What a client has proved of itself.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) certificate: Option<&'a [u8]>,
    pub(crate) proxy: Option<&'a proxy::Tls>,
}

impl Made {
    /// Reads all files; gives the warnings with it, or every error.
    pub(crate) fn of(
        listeners: Vec<Option<Listener>>,
        keys: Option<Arc<KeyFile>>,
    ) -> Result<(Self, Complaints), Complaints> {
        let listeners: Arc<[Option<Listener>]> = listeners.into();
        let seen = fingerprint(&listeners);
        let (entries, warnings) = read_all(&listeners, keys.as_ref())?;
        Ok((Self(State { listeners, entries, keys, seen }), warnings))
    }

    /// There is something to watch.
    pub(crate) fn has_files(&self) -> bool {
        self.0.listeners.iter().flatten().any(|l| files(l).next().is_some())
    }
}

impl Entries {
    pub(crate) fn new(made: Made) -> Self {
        Self { state: RwLock::new(made.0) }
    }

    /// Uses these from now on.
    pub(crate) fn commit(&self, made: Made) {
        *self.write() = made.0;
    }

    /// Reads all files again. With any error nothing changes.
    pub(crate) fn reload(&self) -> Result<Complaints, Complaints> {
        let (listeners, keys) = {
            let state = self.read();
            (state.listeners.clone(), state.keys.clone())
        };
        let seen = fingerprint(&listeners);
        let made = read_all(&listeners, keys.as_ref());
        let mut state = self.write();
        // other listeners meanwhile, whose files were just read
        if !Arc::ptr_eq(&state.listeners, &listeners) {
            return Ok(Vec::new());
        }
        // files that are wrong are not tried again before they change
        state.seen = seen;
        let (entries, warnings) = made?;
        state.entries = entries;
        Ok(warnings)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let listeners = self.read().listeners.clone();
        fingerprint(&listeners)
    }

    /// The fingerprint of what was read last.
    pub(crate) fn seen(&self) -> Fingerprint {
        self.read().seen.clone()
    }

    pub(crate) fn get(&self, listener: u16) -> Entry {
        self.read().entries.get(usize::from(listener)).cloned().unwrap_or_default()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fingerprint(listeners: &[Option<Listener>]) -> Fingerprint {
    let look = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    listeners.iter().flatten().flat_map(files).map(look).collect()
}

fn files(listener: &Listener) -> impl Iterator<Item = &Path> {
    let tls = &listener.tls;
    let all = [&tls.certfile, &tls.keyfile, &tls.cafile, &tls.capath, &tls.crlfile];
    all.into_iter().filter_map(|f| f.as_deref())
}

/// Its connections need more than bytes.
pub(crate) fn has_entry(listener: &Listener) -> bool {
    listener.proxy.is_some() || listener.tls.is_on() || listener.protocol == Protocol::Websockets
}

impl Rules {
    pub(crate) fn of(listener: &Listener) -> Self {
        let tls = &listener.tls;
        let name = match (tls.use_identity_as_username, tls.use_subject_as_username) {
            (true, _) => Name::Common,
            (_, true) => Name::Subject,
            _ => Name::Nowhere,
        };
        let at_proxy = listener.proxy.is_some() && !tls.is_on();
        Self {
            proxy_tls: listener.proxy_require_tls,
            proxy_certificate: at_proxy && tls.require_certificate,
            name,
        }
    }

    /// The user name the client has proved, or why it may not pass. No name where one is wanted is MQTT's concern: the
    /// client gets its answer there.
    pub(crate) fn identify(self, claim: &Claim<'_>) -> Result<Option<Box<str>>, &'static str> {
        if self.proxy_tls && claim.proxy.is_none() {
            return Err("client did not connect using TLS");
        }
        if self.proxy_certificate && !claim.proxy.is_some_and(|p| p.certificate) {
            return Err("client did not provide a certificate");
        }
        let name = match (self.name, claim.certificate) {
            (Name::Nowhere, _) | (Name::Subject, None) => None,
            (Name::Common, Some(certificate)) => common_name(certificate),
            (Name::Subject, Some(certificate)) => subject(certificate),
            (Name::Common, None) => {
                let proxy = claim.proxy.filter(|p| p.certificate);
                proxy.and_then(|p| p.common_name.as_deref()).map(Into::into)
            }
        };
        Ok(name.filter(|name| !name.is_empty() && !name.contains('\0')))
    }
}

fn common_name(certificate: &[u8]) -> Option<Box<str>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let all = certificate.tbs_certificate.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let value = &all.clone().find(|a| a.oid == COMMON_NAME)?.value;
    let text = core::str::from_utf8(value.value()).ok()?;
    Some(text.into())
}

/// In the form of RFC 2253, most specific part first.
fn subject(certificate: &[u8]) -> Option<Box<str>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.subject.to_string().into())
}

fn read_all(
    listeners: &[Option<Listener>],
    keys: Option<&Arc<KeyFile>>,
) -> Result<(Vec<Entry>, Complaints), Complaints> {
    let (mut entries, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for listener in listeners {
        match listener.as_ref().map(|l| entry(l, keys, &mut warnings)) {
            None => entries.push(Entry::default()),
            Some(Ok(entry)) => entries.push(entry),
            Some(Err(e)) => errors.push(e),
        }
    }
    if errors.is_empty() { Ok((entries, warnings)) } else { Err(errors) }
}

fn entry(
    listener: &Listener,
    keys: Option<&Arc<KeyFile>>,
    warnings: &mut Complaints,
) -> Result<Entry, String> {
    let websocket =
        (listener.protocol == Protocol::Websockets).then(|| listener.websockets_origins.clone().into());
    let proxy = listener.proxy.map(|version| match version {
        ProxyProtocol::V1 => proxy::Version::V1,
        ProxyProtocol::V2 => proxy::Version::V2,
    });
    let mut tls = server_config(listener, warnings)?;
    if let (Some(tls), Some(keys)) = (&mut tls, keys) {
        tls.key_log = keys.clone();
    }
    let tls = tls.map(Arc::new);
    Ok(Entry { proxy, tls, websocket })
}

fn server_config(listener: &Listener, warnings: &mut Complaints) -> Result<Option<ServerConfig>, String> {
    let tls = &listener.tls;
    let (certfile, keyfile) = match (&tls.certfile, &tls.keyfile) {
        (Some(certfile), Some(keyfile)) => (certfile, keyfile),
        (None, None) if listener.proxy.is_none() && (tls.require_certificate || tls.cafile.is_some()) => {
            return Err(wrong(
                listener,
                "TLS options without 'certfile' and 'keyfile' would leave it unencrypted.",
            ));
        }
        (None, None) => return Ok(None),
        _ => return Err(wrong(listener, "Both certfile and keyfile must be provided for TLS.")),
    };
    let versions = match tls.version.as_deref() {
        None | Some("tlsv1.2") => &[&TLS13, &TLS12][..],
        Some("tlsv1.3") => &[&TLS13][..],
        Some(other) => {
            let text = format!("Unsupported tls_version '{other}': use tlsv1.2 or tlsv1.3.");
            return Err(wrong(listener, &text));
        }
    };
    let provider = ciphers::provider(tls.ciphers.as_deref(), tls.ciphers_tls13.as_deref(), warnings);
    let provider = Arc::new(provider.map_err(|e| wrong(listener, &e))?);
    let chain = certificates(certfile).map_err(|e| {
        format!("Error: Unable to load server certificate \"{}\". Check certfile: {e}.", show(certfile))
    })?;
    let key = private_key(keyfile).map_err(|e| {
        format!("Error: Unable to load server key file \"{}\". Check keyfile: {e}.", show(keyfile))
    })?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| wrong(listener, &format!("Unable to set TLS ciphers: {e}.")))?;
    let builder = if tls.require_certificate {
        builder.with_client_cert_verifier(verifier(listener, provider)?)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| match e {
        Error::InconsistentKeys(_) => {
            let (certfile, keyfile) = (show(certfile), show(keyfile));
            format!("Error: Server certificate/key are inconsistent: {certfile}, {keyfile}.")
        }
        e => format!("Error: Unable to load server key file \"{}\". Check keyfile: {e}.", show(keyfile)),
    })?;
    config.ignore_client_order = true;
    // tickets of an earlier configuration are worthless: a certificate revoked since then is looked at again
    config.ticketer = ring::Ticketer::new().map_err(|e| wrong(listener, &format!("{e}.")))?;
    config.send_tls13_tickets = 1;
    Ok(Some(config))
}

fn verifier(
    listener: &Listener,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let tls = &listener.tls;
    let mut roots = RootCertStore::empty();
    if let Some(file) = &tls.cafile {
        let unable = |e: String| {
            format!("Error: Unable to load CA certificates. Check cafile \"{}\": {e}.", show(file))
        };
        for certificate in certificates(file).map_err(unable)? {
            roots.add(certificate).map_err(|e| unable(e.to_string()))?;
        }
    }
    if let Some(dir) = &tls.capath {
        let unable = |e: String| {
            format!("Error: Unable to load CA certificates. Check capath \"{}\": {e}.", show(dir))
        };
        for item in std::fs::read_dir(dir).map_err(|e| unable(e.to_string()))? {
            let path = item.map_err(|e| unable(e.to_string()))?.path();
            // the directory may hold other files, and each certificate under several names
            for certificate in certificates(&path).unwrap_or_default() {
                roots.add(certificate).map_err(|e| unable(format!("{}: {e}", show(&path))))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(wrong(listener, "'require_certificate' needs certificates in 'cafile' or 'capath'."));
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    if let Some(file) = &tls.crlfile {
        let unable = |e: String| {
            format!(
                "Error: Unable to load certificate revocation file \"{}\". Check crlfile: {e}.",
                show(file)
            )
        };
        let lists = pem_items::<CertificateRevocationListDer<'static>>(file).map_err(unable)?;
        // as the original: the client's own certificate, by a list that has not expired
        builder = builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
    }
    let verifier = builder.build().map_err(|e| wrong(listener, &format!("{e}.")))?;
    Ok(if tls.disable_client_cert_date_checks {
        Arc::new(crate::undated::Undated(verifier))
    } else {
        verifier
    })
}

/// Listeners' certificates that have ended, or will soon.
pub(crate) fn ending(config: &Config, now: SystemTime) -> Complaints {
    let files: BTreeSet<&Path> = config.listeners.iter().filter_map(|l| l.tls.certfile.as_deref()).collect();
    let mut complaints = Vec::new();
    for file in files {
        for certificate in certificates(file).unwrap_or_default() {
            let Ok(certificate) = Certificate::from_der(&certificate) else { continue };
            let tbs = certificate.tbs_certificate;
            let end = tbs.validity.not_after;
            let when = match end.to_system_time().duration_since(now) {
                Err(_) => "has ended",
                Ok(left) if left < ENDING_SOON => "ends soon",
                Ok(_) => continue,
            };
            complaints.push(format!("The certificate of {} in {} {when}: {end}.", tbs.subject, show(file)));
        }
    }
    complaints
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    pem_items(file)
}

fn pem_items<T: PemObject>(file: &Path) -> Result<Vec<T>, String> {
    let bytes = read(file)?;
    let items = T::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(pem_text)?;
    if items.is_empty() { Err("nothing of that kind in it".into()) } else { Ok(items) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(file)?;
    if bytes.windows(9).any(|w| w == b"ENCRYPTED") {
        return Err("it is encrypted; 'openssl pkey -in FILE -out NEW' takes the password off".into());
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(pem_text)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err("no file of certificates or keys".into());
    }
    std::fs::read(file).map_err(|e| e.to_string())
}

fn pem_text(e: pem::Error) -> String {
    match e {
        pem::Error::NoItemsFound => "nothing of that kind in it".into(),
        e => e.to_string(),
    }
}

fn wrong(listener: &Listener, what: &str) -> String {
    match &listener.place {
        Some(place) => format!("{place}: Error: {what}"),
        None => format!("Error: {what}"),
    }
}

fn show(path: &Path) -> std::path::Display<'_> {
    path.display()
}
