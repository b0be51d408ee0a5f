//! The client's side of TLS.

use crate::{Error, transport::Stream};
use grovemq_net::ciphers;
use rustls::{
    ClientConfig, DigitallySignedStruct, KeyLog, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
    version::{TLS12, TLS13},
};
use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::TlsConnector;

/// A PEM file above this is none.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Certificates taken from a directory.
const DIRECTORY_FILES_MAX: usize = 10_000;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Whom to trust and who we are, read and checked: cheap to clone. Files that change later are not read again.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Trusting the authorities the operating system trusts.
    pub fn system() -> Result<Self, Error> {
        Self::builder().build()
    }

    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Error> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            // a server without TLS has no better way to say so
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                Err(Error::Tls("the server closed the connection in the handshake".to_owned()))
            }
            Err(e) => Err(e.into()),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Collects what [`Tls`] is to be; [`Self::build`] reads the files.
#[derive(Clone, Debug, Default)]
pub struct TlsBuilder {
    ca_files: Vec<PathBuf>,
    ca_dirs: Vec<PathBuf>,
    system: bool,
    identity: Option<(PathBuf, PathBuf)>,
    any_name: bool,
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
    minimum: Option<TlsVersion>,
    maximum: Option<TlsVersion>,
    ciphers: Option<String>,
    ciphers_tls13: Option<String>,
    key_log: Option<PathBuf>,
}

impl TlsBuilder {
    /// Trust the authorities in this PEM file. May be given several times.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_files.push(path.into());
        self
    }

    /// Trust the authorities in the PEM files of this directory, at most 10,000; other files in it are passed over.
    #[must_use]
    pub fn ca_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_dirs.push(path.into());
        self
    }

    /// Trust those the operating system trusts as well; where no file and no directory is given, this is the default.
    #[must_use]
    pub fn system_certificates(mut self) -> Self {
        self.system = true;
        self
    }

    /// Our own certificate (with those between it and the authority) and its key, both PEM.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Take any certificate that a trusted authority has signed, whatever name is in it. Everybody who has such a
    /// certificate can then pose as the server.
    #[must_use]
    pub fn without_host_name_check(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// The name that is asked for and has to be in the certificate, instead of the host's.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Offer this protocol (ALPN), such as `mqtt`. May be given several times, the best first.
    #[must_use]
    pub fn alpn(mut self, protocol: impl Into<Vec<u8>>) -> Self {
        self.alpn.push(protocol.into());
        self
    }

    /// TLS 1.2 if not given.
    #[must_use]
    pub fn minimum_version(mut self, version: TlsVersion) -> Self {
        self.minimum = Some(version);
        self
    }

    /// TLS 1.3 if not given.
    #[must_use]
    pub fn maximum_version(mut self, version: TlsVersion) -> Self {
        self.maximum = Some(version);
        self
    }

    /// The cipher suites of TLS 1.2 to offer, in OpenSSL's notation, the best first. Those that are not known here are
    /// passed over, but one has to be left.
    #[must_use]
    pub fn ciphers(mut self, list: impl Into<String>) -> Self {
        self.ciphers = Some(list.into());
        self
    }

    /// The same for TLS 1.3.
    #[must_use]
    pub fn ciphers_tls13(mut self, list: impl Into<String>) -> Self {
        self.ciphers_tls13 = Some(list.into());
        self
    }

    /// Append the keys of each connection to this file, for programs that decrypt captures. Whoever can read it can
    /// read everything.
    #[must_use]
    pub fn key_log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_log = Some(path.into());
        self
    }

    /// Reads and checks everything. What is wrong is [`Error::Setup`], which names the file; a file has at most
    /// 64 MiB.
    pub fn build(self) -> Result<Tls, Error> {
        let ciphers = {
            let (old, new) = (self.ciphers.as_deref(), self.ciphers_tls13.as_deref());
            ciphers::provider(old, new, &mut Vec::new())
        };
        let provider = Arc::new(ciphers.map_err(Error::Setup)?);
        let wanted = self.minimum.unwrap_or(TlsVersion::V1_2)..=self.maximum.unwrap_or(TlsVersion::V1_3);
        let versions: Vec<_> = [(TlsVersion::V1_3, &TLS13), (TlsVersion::V1_2, &TLS12)]
            .into_iter()
            .filter_map(|(version, known)| wanted.contains(&version).then_some(known))
            .collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|e| Error::Setup(format!("TLS versions: {e}")))?;
        let roots = self.roots()?;
        let builder = if self.any_name {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { roots, provider }))
        } else {
            builder.with_root_certificates(roots)
        };
        let mut config = match &self.identity {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(|e| Error::Setup(format!("{}, {}: {e}", certificate.display(), key.display())))?
            }
            None => builder.with_no_client_auth(),
        };
        if let Some(wrong) = self.alpn.iter().find(|protocol| !(1..=255).contains(&protocol.len())) {
            return Err(Error::Setup(format!("an ALPN protocol has 1 to 255 bytes, not {}", wrong.len())));
        }
        config.alpn_protocols = self.alpn;
        if let Some(path) = &self.key_log {
            config.key_log = Arc::new(KeyLogFile::open(path)?);
        }
        let server_name = self.server_name.as_deref().map(server_name).transpose()?;
        Ok(Tls { config: Arc::new(config), server_name })
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for file in &self.ca_files {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|e| setup(file, &e))?;
            }
        }
        for dir in &self.ca_dirs {
            for entry in std::fs::read_dir(dir).map_err(|e| setup(dir, &e))?.take(DIRECTORY_FILES_MAX) {
                let path = entry.map_err(|e| setup(dir, &e))?.path();
                // the directory may hold other files, and each certificate under several names
                let (_added, _passed_over) =
                    roots.add_parsable_certificates(certificates(&path).unwrap_or_default());
            }
        }
        if self.system || (self.ca_files.is_empty() && self.ca_dirs.is_empty()) {
            let found = rustls_native_certs::load_native_certs();
            let (_added, _passed_over) = roots.add_parsable_certificates(found.certs);
        }
        if roots.is_empty() {
            let place = self.ca_dirs.first().map_or_else(|| "system".into(), |dir| dir.to_string_lossy());
            return Err(Error::Setup(format!("{place}: no trusted certificate found")));
        }
        Ok(roots)
    }
}

fn setup(path: &Path, error: &dyn fmt::Display) -> Error {
    Error::Setup(format!("{}: {error}", path.display()))
}

fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| Error::Setup(format!("'{host}' cannot be the name in a certificate")))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    check_size(path)?;
    let items = CertificateDer::pem_file_iter(path).map_err(|e| unreadable(path, e))?;
    let all: Vec<_> = items.collect::<Result<_, _>>().map_err(|e| unreadable(path, e))?;
    if all.is_empty() { Err(setup(path, &"no certificate in it")) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    check_size(path)?;
    let text = std::fs::read(path).map_err(|e| setup(path, &e))?;
    let encrypted = b"ENCRYPTED";
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| match e {
        pem::Error::NoItemsFound if text.windows(encrypted.len()).any(|part| part == encrypted) => {
            setup(path, &"the key is encrypted; decrypt it first")
        }
        pem::Error::NoItemsFound => setup(path, &"no private key in it"),
        e => unreadable(path, e),
    })
}

fn check_size(path: &Path) -> Result<(), Error> {
    let found = path.metadata().map_err(|e| setup(path, &e))?;
    if found.len() > FILE_BYTES_MAX { Err(setup(path, &"too large")) } else { Ok(()) }
}

fn unreadable(path: &Path, error: pem::Error) -> Error {
    match error {
        pem::Error::Io(e) => setup(path, &e),
        e => setup(path, &e),
    }
}

/// Checks all of a certificate but the name in it.
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Writes keys in the format that Wireshark reads.
#[derive(Debug)]
struct KeyLogFile {
    file: Mutex<File>,
}

impl KeyLogFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.append(true).create(true).open(path).map_err(|e| setup(path, &e))?;
        Ok(Self { file: Mutex::new(file) })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = label.to_owned();
        for bytes in [client_random, secret] {
            line.push(' ');
            for byte in bytes {
                let _infallible = write!(line, "{byte:02x}");
            }
        }
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // a full disk is no reason to lose the connection
        drop(file.write_all(line.as_bytes()));
    }
}
