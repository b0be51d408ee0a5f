//! One stored password: its formats, making one and checking against one.

use std::fmt;
use std::io;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use crate::scram;

/// The longest user name and the longest password, in bytes: what an MQTT CONNECT packet can carry.
pub const FIELD_BYTES_MAX: usize = 65_535;
/// The most PBKDF2 iterations accepted, about ten seconds of one core: a mistyped file must not stop logins for hours.
pub const ITERATIONS_MAX: u32 = 10_000_000;
/// The most memory accepted for one Argon2 check, in KiB (1 GiB).
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most passes accepted for one Argon2 check.
pub const ARGON2_PASSES_MAX: u32 = 64;
/// The most lanes accepted for one Argon2 check.
pub const ARGON2_LANES_MAX: u32 = 64;

const SHORT_SALT: usize = 12;
const SCRAM_SALT: usize = 16;
const LONG_SALT: usize = 64;
const SALT_BYTES_MAX: usize = 64;
const DIGEST_BYTES: usize = 64;
const ITERATIONS_2_0: u32 = 101;
const ITERATIONS_2_1: u32 = 1000;
/// The kind in front of an entry for SCRAM: as RFC 5803 has it, without a `$` before.
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";

/// How a new password is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `$7$`, 1000 iterations, 12-byte salt: the work of Mosquitto 2.1's default in a form that 2.0 reads too.
    #[default]
    Portable,
    /// `$7$`, 101 iterations, 12-byte salt: exactly what Mosquitto 2.0 writes.
    V2_0,
    /// `$7$`, 1000 iterations, 64-byte salt: exactly what Mosquitto 2.1 writes. A 2.0 broker drops such users.
    V2_1,
    /// `$6$`, one round of SHA-512, 12-byte salt: what Mosquitto 1.6 wrote. Cheap to guess; for old brokers only.
    Sha512,
    /// `$argon2id$`, 46 MiB and one pass, 64-byte salt: strong, and read by Mosquitto 2.1 where built with Argon2.
    Argon2id,
    /// `SCRAM-SHA-256$`, 4096 iterations, 16-byte salt: what serves SCRAM, and a plain password as well. For this broker
    /// only; it is also how `PostgreSQL` stores passwords.
    ScramSha256,
}

impl Format {
    fn salt_bytes(self) -> usize {
        match self {
            Format::Portable | Format::V2_0 | Format::Sha512 => SHORT_SALT,
            Format::V2_1 | Format::Argon2id => LONG_SALT,
            Format::ScramSha256 => SCRAM_SALT,
        }
    }

    pub(super) fn algorithm(self, iterations: Option<u32>) -> HashAlgorithm {
        let pbkdf2 = |default| HashAlgorithm::Pbkdf2 { iterations: iterations.unwrap_or(default) };
        match self {
            Format::Portable | Format::V2_1 => pbkdf2(ITERATIONS_2_1),
            Format::V2_0 => pbkdf2(ITERATIONS_2_0),
            Format::Sha512 => HashAlgorithm::Sha512,
            Format::Argon2id => {
                HashAlgorithm::Argon2id { version: 0x13, memory_kib: 47_104, passes: 1, lanes: 1 }
            }
            Format::ScramSha256 => {
                HashAlgorithm::ScramSha256 { iterations: iterations.unwrap_or(scram::ITERATIONS_MIN) }
            }
        }
    }
}

/// A stored password. Printed, it is the text that follows `user:` in a password file.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    algorithm: HashAlgorithm,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

/// The computation behind a [`Hash`], with its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum HashAlgorithm {
    Sha512,
    Pbkdf2 {
        iterations: u32,
    },
    /// Its digest is the `StoredKey` and, behind it, the `ServerKey`.
    ScramSha256 {
        iterations: u32,
    },
    Argon2id {
        version: u32,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
}

impl Hash {
    /// Hashes a password. `iterations` replaces the format's own number and counts for the `$7$` formats and for SCRAM;
    /// `random` fills the salt and is [`os_random`] outside of tests.
    pub fn create(
        password: &[u8],
        format: Format,
        iterations: Option<u32>,
        random: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<Hash, HashError> {
        if password.len() > FIELD_BYTES_MAX {
            return Err(HashError::PasswordTooLong);
        }
        let algorithm = format.algorithm(iterations);
        algorithm.check_iterations()?;
        let mut salt = vec![0; format.salt_bytes()].into_boxed_slice();
        random(&mut salt).map_err(|e| HashError::Random(e.kind()))?;
        let mut digest = vec![0; DIGEST_BYTES].into_boxed_slice();
        algorithm.digest(password, &salt, &mut digest)?;
        Ok(Hash { algorithm, salt, digest })
    }

    /// Whether this is the password. Costs what the format costs (up to seconds) and takes the same time wherever
    /// a wrong one differs.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        if password.len() > FIELD_BYTES_MAX {
            return false;
        }
        let mut digest = vec![0; self.digest.len()];
        self.algorithm.digest(password, &self.salt, &mut digest).is_ok()
            && bool::from(digest.ct_eq(&self.digest))
    }

    /// A hash of the same cost that no password fits, to be checked in place of an unknown user's.
    pub(super) fn decoy(algorithm: HashAlgorithm) -> Hash {
        Hash { algorithm, salt: [0; SHORT_SALT].into(), digest: [0; DIGEST_BYTES].into() }
    }

    pub(super) fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// What SCRAM needs; `None` for the kinds of which it cannot be told.
    pub(super) fn scram(&self) -> Option<scram::Entry> {
        let HashAlgorithm::ScramSha256 { iterations } = self.algorithm else { return None };
        let (stored, server) = self.digest.split_at_checked(scram::KEY_BYTES)?;
        Some(scram::Entry {
            salt: self.salt.to_vec(),
            iterations,
            stored_key: stored.try_into().ok()?,
            server_key: server.try_into().ok()?,
            exists: true,
        })
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        if let Some(rest) = text.strip_prefix(SCRAM_PREFIX) {
            return Hash::from_scram(rest);
        }
        let fields = text.strip_prefix('$').ok_or(HashError::NotAHash)?;
        let (kind, rest) = fields.split_once('$').ok_or(HashError::NotAHash)?;
        match kind {
            "6" => Hash::from_crypt(HashAlgorithm::Sha512, rest),
            "7" => {
                let (number, rest) = rest.split_once('$').ok_or(HashError::NotAHash)?;
                let iterations = parse_decimal(number).ok_or(HashError::Iterations)?;
                let algorithm = HashAlgorithm::Pbkdf2 { iterations };
                algorithm.check_iterations()?;
                Hash::from_crypt(algorithm, rest)
            }
            "argon2id" => Hash::from_phc(rest),
            _ => Err(HashError::UnknownFormat),
        }
    }
}

impl Hash {
    /// The rest of `$6$` and `$7$`: salt and digest in padded Base64.
    fn from_crypt(algorithm: HashAlgorithm, rest: &str) -> Result<Hash, HashError> {
        let (salt, digest) = rest.split_once('$').ok_or(HashError::NotAHash)?;
        let salt = STANDARD.decode(salt).map_err(|_| HashError::Salt)?;
        let digest = STANDARD.decode(digest).map_err(|_| HashError::Digest)?;
        if salt.len() != SHORT_SALT && salt.len() != LONG_SALT {
            return Err(HashError::Salt);
        }
        if digest.len() != DIGEST_BYTES {
            return Err(HashError::Digest);
        }
        Ok(Hash { algorithm, salt: salt.into(), digest: digest.into() })
    }

    /// The rest of `SCRAM-SHA-256$`: `iterations:salt$StoredKey:ServerKey`, the latter three in padded Base64.
    fn from_scram(rest: &str) -> Result<Hash, HashError> {
        let (cost, keys) = rest.split_once('$').ok_or(HashError::NotAHash)?;
        let (iterations, salt) = cost.split_once(':').ok_or(HashError::NotAHash)?;
        let (stored, server) = keys.split_once(':').ok_or(HashError::NotAHash)?;
        let iterations = parse_decimal(iterations).ok_or(HashError::ScramIterations)?;
        let algorithm = HashAlgorithm::ScramSha256 { iterations };
        algorithm.check_iterations()?;
        let salt = STANDARD.decode(salt).map_err(|_| HashError::Salt)?;
        if !(1..=scram::SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(HashError::Salt);
        }
        let mut digest = Vec::with_capacity(DIGEST_BYTES);
        for key in [stored, server] {
            let key = STANDARD.decode(key).map_err(|_| HashError::Digest)?;
            if key.len() != scram::KEY_BYTES {
                return Err(HashError::Digest);
            }
            digest.extend(key);
        }
        Ok(Hash { algorithm, salt: salt.into(), digest: digest.into() })
    }

    /// The rest of `$argon2id$`: the PHC string's version (optional), parameters, salt and digest.
    fn from_phc(rest: &str) -> Result<Hash, HashError> {
        let (version, rest) = match rest.strip_prefix("v=").and_then(|r| r.split_once('$')) {
            Some((version, rest)) => (parse_decimal(version).ok_or(HashError::Parameters)?, rest),
            None => (0x10, rest),
        };
        let mut fields = rest.split('$');
        let (Some(parameters), Some(salt), Some(digest), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(HashError::NotAHash);
        };
        let algorithm = parse_argon2_parameters(version, parameters).ok_or(HashError::Parameters)?;
        let salt = STANDARD_NO_PAD.decode(salt).map_err(|_| HashError::Salt)?;
        let digest = STANDARD_NO_PAD.decode(digest).map_err(|_| HashError::Digest)?;
        if !(argon2::MIN_SALT_LEN..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(HashError::Salt);
        }
        // A digest of a few bytes would be met by many passwords.
        if !(SHORT_SALT..=DIGEST_BYTES).contains(&digest.len()) {
            return Err(HashError::Digest);
        }
        algorithm.argon2(digest.len())?;
        Ok(Hash { algorithm, salt: salt.into(), digest: digest.into() })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            HashAlgorithm::Sha512 => {
                write!(f, "$6${}${}", STANDARD.encode(&self.salt), STANDARD.encode(&self.digest))
            }
            HashAlgorithm::Pbkdf2 { iterations } => {
                write!(f, "$7${iterations}${}${}", STANDARD.encode(&self.salt), STANDARD.encode(&self.digest))
            }
            HashAlgorithm::ScramSha256 { iterations } => {
                let (stored, server) = self.digest.split_at_checked(scram::KEY_BYTES).unwrap_or_default();
                let [salt, stored, server] = [&self.salt, stored, server].map(|b| STANDARD.encode(b));
                write!(f, "{SCRAM_PREFIX}{iterations}:{salt}${stored}:{server}")
            }
            HashAlgorithm::Argon2id { version, memory_kib, passes, lanes } => write!(
                f,
                "$argon2id$v={version}$m={memory_kib},t={passes},p={lanes}${}${}",
                STANDARD_NO_PAD.encode(&self.salt),
                STANDARD_NO_PAD.encode(&self.digest)
            ),
        }
    }
}

/// Shows the computation only: what can be guessed from stays out of logs.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Fills `bytes` from the operating system's random source.
pub fn os_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::from)
}

/// Why a text is no stored password, or why none could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashError {
    /// Not of the shape `$format$…$salt$hash`: perhaps a password in plain text.
    NotAHash,
    /// Another kind than `$6$`, `$7$`, `$argon2id$` and `SCRAM-SHA-256$`.
    UnknownFormat,
    /// The number of iterations is none, or not within 1 and [`ITERATIONS_MAX`].
    Iterations,
    /// The same for SCRAM: from [`scram::ITERATIONS_MIN`] to [`scram::ITERATIONS_MAX`].
    ScramIterations,
    /// The password has a character that SCRAM cannot take, or is empty or longer than [`scram::NAME_BYTES_MAX`].
    NotForScram,
    /// The Argon2 parameters are unreadable or beyond this module's bounds.
    Parameters,
    /// The salt is not Base64 or not of a length the format allows.
    Salt,
    /// The hash is not Base64 or not of a length the format allows.
    Digest,
    /// The password is longer than [`FIELD_BYTES_MAX`].
    PasswordTooLong,
    /// The system gave no random bytes.
    Random(io::ErrorKind),
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashError::NotAHash => {
                f.write_str("this is not a password hash ($6$…, $7$…, $argon2id$… or SCRAM-SHA-256$…)")
            }
            HashError::UnknownFormat => {
                f.write_str("unknown hash format (known: $6$, $7$, $argon2id$, SCRAM-SHA-256$)")
            }
            HashError::Iterations => write!(f, "the number of iterations must be 1 to {ITERATIONS_MAX}"),
            HashError::ScramIterations => write!(
                f,
                "the number of iterations of SCRAM-SHA-256 must be {} to {}",
                scram::ITERATIONS_MIN,
                scram::ITERATIONS_MAX
            ),
            HashError::NotForScram => write!(
                f,
                "Password for SCRAM must be 1 to {} bytes of UTF-8 without control characters",
                scram::NAME_BYTES_MAX
            ),
            HashError::Parameters => write!(
                f,
                "Argon2 parameters must be m=8…{ARGON2_MEMORY_KIB_MAX},t=1…{ARGON2_PASSES_MAX},p=1…{ARGON2_LANES_MAX}"
            ),
            HashError::Salt => f.write_str("the salt is not Base64 of the right length"),
            HashError::Digest => f.write_str("the hash is not Base64 of the right length"),
            HashError::PasswordTooLong => f.write_str("Password must be less than 65536 characters long"),
            HashError::Random(kind) => write!(f, "no random bytes from the system: {kind}"),
        }
    }
}

impl std::error::Error for HashError {}

impl HashAlgorithm {
    fn digest(self, password: &[u8], salt: &[u8], digest: &mut [u8]) -> Result<(), HashError> {
        match self {
            HashAlgorithm::Sha512 => {
                let sum = Sha512::new().chain_update(password).chain_update(salt).finalize();
                if digest.len() != sum.len() {
                    return Err(HashError::Digest);
                }
                digest.copy_from_slice(&sum);
            }
            HashAlgorithm::Pbkdf2 { iterations } => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, digest);
            }
            HashAlgorithm::ScramSha256 { iterations } => {
                let text = std::str::from_utf8(password).ok();
                let prepared = text.and_then(|text| scram::prepare(text).ok());
                // for what cannot be prepared as much work is done, so that time does not tell who exists
                let (stored, server) =
                    scram::stored_keys(prepared.as_deref().unwrap_or("none"), salt, iterations)
                        .map_err(|_| HashError::NotForScram)?;
                let whole = stored.into_iter().chain(server);
                for (to, from) in digest.iter_mut().zip(whole) {
                    *to = from;
                }
                prepared.ok_or(HashError::NotForScram)?;
            }
            HashAlgorithm::Argon2id { .. } => self
                .argon2(digest.len())?
                .hash_password_into(password, salt, digest)
                .map_err(|_| HashError::Parameters)?,
        }
        Ok(())
    }

    fn check_iterations(self) -> Result<(), HashError> {
        let scram = scram::ITERATIONS_MIN..=scram::ITERATIONS_MAX;
        match self {
            HashAlgorithm::Pbkdf2 { iterations } if !(1..=ITERATIONS_MAX).contains(&iterations) => {
                Err(HashError::Iterations)
            }
            HashAlgorithm::ScramSha256 { iterations } if !scram.contains(&iterations) => {
                Err(HashError::ScramIterations)
            }
            _ => Ok(()),
        }
    }

    fn argon2(self, digest_bytes: usize) -> Result<Argon2<'static>, HashError> {
        let HashAlgorithm::Argon2id { version, memory_kib, passes, lanes } = self else {
            return Err(HashError::UnknownFormat);
        };
        let version = Version::try_from(version).map_err(|_| HashError::Parameters)?;
        let params =
            Params::new(memory_kib, passes, lanes, Some(digest_bytes)).map_err(|_| HashError::Parameters)?;
        Ok(Argon2::new(Algorithm::Argon2id, version, params))
    }
}

/// `m=…,t=…,p=…` in this order, as every writer puts them.
fn parse_argon2_parameters(version: u32, text: &str) -> Option<HashAlgorithm> {
    let mut fields = text.split(',');
    let mut next = |name: &str, max: u32| -> Option<u32> {
        let value = parse_decimal(fields.next()?.strip_prefix(name)?)?;
        (1..=max).contains(&value).then_some(value)
    };
    let memory_kib = next("m=", ARGON2_MEMORY_KIB_MAX)?;
    let passes = next("t=", ARGON2_PASSES_MAX)?;
    let lanes = next("p=", ARGON2_LANES_MAX)?;
    fields.next().is_none().then_some(HashAlgorithm::Argon2id { version, memory_kib, passes, lanes })
}

/// Digits only: `str::parse` would take a sign as well.
fn parse_decimal(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Debian's `mosquitto_passwd` 2.0.11 (the first three), by Python's `hashlib` in the form of 2.1,
    /// and by the reference implementation of Argon2.
    /// The last is made of the example in RFC 7677.
    const VECTORS: [(&str, &str); 8] = [
        (
            "iotlab",
            "$7$101$D9nJggqKYFc144CS$iM+9U9hY/0RVmmq1Id/ad3AJjBwZCG8WoICSO310x3oz4B5r6Vw8c41n9f2kRVF7A32C19ZbWF4AhJ5BJqXmHA==",
        ),
        (
            "iotlab",
            "$6$tdLGNMZ0kys5jit/$LSQoCV281po+tcw2IDUwZheW12JZiPsSXbzQLK36rVZchTENxdM/Ya4VBTNaMpEDeJ+QOBiKn6giG7fezq0C5w==",
        ),
        (
            "größe",
            "$7$7$6l+V77cTkkjDFcXp$JgmKfMngCew+uaUcYfMUOiYJ8dtqfcFoG517EEimusKUdDdXlI0hKL2P432DvGn6lI+q+650zlZhhdl0pzsOYg==",
        ),
        (
            "iotlab",
            "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$987B3qKXeUwPUDRcmFyCewoWpT3xiGAHg+Ehym1QN2stmUfgFagHCJonUTw/id7SxH9wCk5O/4SuU2twgIBBHg==",
        ),
        (
            "iotlab",
            "$argon2id$v=19$m=47104,t=1,p=1$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw$iHT1RNoJjPEVrCsPUMdxq5noSvPuwZzOJySHPtf+OEv2dKSCkR4Z9UZppVBBQqKYAdjrhsy1ibekvyIzjSBkxQ",
        ),
        (
            "iotlab",
            "$argon2id$v=19$m=1024,t=2,p=4$AAECAwQFBgcICQoLDA0ODw$Xa3/KVxgZeA2Dco6uDOwjxKqHjQibQqDWw2tKU2/DCo",
        ),
        (
            "iotlab",
            "$argon2id$v=16$m=64,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$/0/Y0zAIcoOw5tKnh4RtQxFPx4/orH5YHZlm9oJeNfQ",
        ),
        (
            "pencil",
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        ),
    ];

    #[test]
    fn reads_what_others_wrote() {
        for (password, text) in VECTORS {
            let hash: Hash = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(hash.verify(password.as_bytes()), "{text}");
            assert!(!hash.verify(b"iotlaB"), "{text}");
            assert!(!hash.verify(b""), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn writes_each_format_as_it_should_look() {
        let expected = [
            (Format::Portable, None, "$7$1000$", 16),
            (Format::V2_0, None, "$7$101$", 16),
            (Format::V2_1, None, "$7$1000$", 88),
            (Format::V2_0, Some(5), "$7$5$", 16),
            (Format::Sha512, None, "$6$", 16),
            (Format::Argon2id, None, "$argon2id$v=19$m=47104,t=1,p=1$", 86),
            (Format::ScramSha256, None, "SCRAM-SHA-256$4096:", 24),
            (Format::ScramSha256, Some(5000), "SCRAM-SHA-256$5000:", 24),
        ];
        for (format, iterations, start, salt_chars) in expected {
            let hash = Hash::create(b"geheim", format, iterations, &mut os_random).unwrap();
            let text = hash.to_string();
            let rest = text.strip_prefix(start).unwrap_or_else(|| panic!("{format:?}: {text}"));
            assert_eq!(rest.find('$'), Some(salt_chars), "{format:?}: {text}");
            let again: Hash = text.parse().unwrap();
            assert_eq!(again, hash);
            assert!(again.verify(b"geheim") && !again.verify(b"Geheim"), "{format:?}");
            assert_ne!(Hash::create(b"geheim", format, iterations, &mut os_random).unwrap(), hash);
        }
    }

    #[test]
    fn refuses_what_it_cannot_check() {
        let salt = "AAECAwQFBgcICQoL"; // 12 bytes
        let digest = "A".repeat(86) + "==";
        let short = "A".repeat(84);
        let key = "A".repeat(43) + "=";
        let long = "A".repeat(88);
        let table = [
            (String::new(), HashError::NotAHash),
            ("iotlab".into(), HashError::NotAHash),
            ("$".into(), HashError::NotAHash),
            ("$7$".into(), HashError::NotAHash),
            ("$7$101".into(), HashError::NotAHash),
            (format!("$7$101${salt}"), HashError::NotAHash),
            (format!("$5${salt}${digest}"), HashError::UnknownFormat),
            (format!("$argon2i$v=19$m=64,t=2,p=1${salt}${digest}"), HashError::UnknownFormat),
            (format!("$7$0${salt}${digest}"), HashError::Iterations),
            (format!("$7$-1${salt}${digest}"), HashError::Iterations),
            (format!("$7$+5${salt}${digest}"), HashError::Iterations),
            (format!("$7$10000001${salt}${digest}"), HashError::Iterations),
            (format!("$7$4294967297${salt}${digest}"), HashError::Iterations),
            (format!("$7$${salt}${digest}"), HashError::Iterations),
            (format!("$7$101$${digest}"), HashError::Salt),
            (format!("$7$101$AAAA${digest}"), HashError::Salt),
            (format!("$7$101$!AECAwQFBgcICQoL${digest}"), HashError::Salt),
            (format!("$7$101${salt}$"), HashError::Digest),
            (format!("$7$101${salt}${short}"), HashError::Digest),
            (format!("$7$101${salt}${digest}$"), HashError::Digest),
            (format!("$6${salt}${digest}:x"), HashError::Digest),
            (format!("$argon2id$v=18$m=64,t=2,p=1${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=1048577,t=1,p=1${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=64,t=65,p=1${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=64,t=1,p=65${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=8,t=1,p=2${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$t=1,m=64,p=1${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=64,t=1,p=1,x=1${salt}${short}"), HashError::Parameters),
            (format!("$argon2id$v=19$m=64,t=1,p=1$AAAA${short}"), HashError::Salt),
            (format!("$argon2id$v=19$m=64,t=1,p=1${salt}$AAAA"), HashError::Digest),
            (format!("$argon2id$v=19$m=64,t=1,p=1${salt}"), HashError::NotAHash),
            ("SCRAM-SHA-256$".into(), HashError::NotAHash),
            (format!("SCRAM-SHA-256$4096:{salt}${key}"), HashError::NotAHash),
            (format!("SCRAM-SHA-256$4095:{salt}${key}:{key}"), HashError::ScramIterations),
            (format!("SCRAM-SHA-256$1000001:{salt}${key}:{key}"), HashError::ScramIterations),
            (format!("SCRAM-SHA-256$+4096:{salt}${key}:{key}"), HashError::ScramIterations),
            (format!("SCRAM-SHA-256$4096:${key}:{key}"), HashError::Salt),
            (format!("SCRAM-SHA-256$4096:{long}${key}:{key}"), HashError::Salt),
            (format!("SCRAM-SHA-256$4096:{salt}${salt}:{key}"), HashError::Digest),
            (format!("SCRAM-SHA-256$4096:{salt}${key}:{key}:{key}"), HashError::Digest),
            (format!("SCRAM-SHA-1$4096:{salt}${key}:{key}"), HashError::NotAHash),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Hash>(), Err(error), "{text}");
        }
    }

    #[test]
    fn bounds_hold_when_hashing() {
        let create = |length: usize, iterations| {
            Hash::create(&vec![b'x'; length], Format::V2_0, iterations, &mut os_random).map(|_| ())
        };
        assert_eq!(create(FIELD_BYTES_MAX, Some(1)), Ok(()));
        assert_eq!(create(FIELD_BYTES_MAX + 1, Some(1)), Err(HashError::PasswordTooLong));
        assert_eq!(create(1, Some(0)), Err(HashError::Iterations));
        assert_eq!(create(1, Some(ITERATIONS_MAX + 1)), Err(HashError::Iterations));
        let scram = |password: &[u8], iterations| {
            Hash::create(password, Format::ScramSha256, iterations, &mut os_random).map(|_| ())
        };
        assert_eq!(scram(b"x", Some(4095)), Err(HashError::ScramIterations));
        for password in [&b""[..], b"\xff", b"a\x07", &[b'x'; 1025]] {
            assert_eq!(scram(password, None), Err(HashError::NotForScram), "{password:x?}");
        }
        let mut broken = |_: &mut [u8]| Err(io::ErrorKind::Unsupported.into());
        let made = Hash::create(b"x", Format::V2_0, None, &mut broken);
        assert_eq!(made, Err(HashError::Random(io::ErrorKind::Unsupported)));
    }

    #[test]
    fn a_password_for_scram_is_compared_in_its_prepared_form() {
        let hash =
            Hash::create("Gr\u{f6}\u{df}e\u{a0}IX".as_bytes(), Format::ScramSha256, None, &mut os_random);
        let hash = hash.unwrap();
        assert!(hash.verify("Gro\u{308}\u{df}e \u{2168}".as_bytes()));
        assert!(!hash.verify("Groesse IX".as_bytes()) && !hash.verify(b"\xff") && !hash.verify(b"none"));
        assert!(hash.scram().is_some_and(|entry| entry.exists && entry.iterations == 4096));
        assert!(VECTORS[0].1.parse::<Hash>().unwrap().scram().is_none());
    }

    #[test]
    fn debug_output_hides_the_digest() {
        let (_, text) = VECTORS[0];
        let shown = format!("{:?}", text.parse::<Hash>().unwrap());
        assert!(shown.contains("101") && !shown.contains("iM+9"), "{shown}");
    }
}
