//! One stored password: its formats, making one and checking against one.

use std::fmt;
use std::io;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

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
const LONG_SALT: usize = 64;
const SALT_BYTES_MAX: usize = 64;
const DIGEST_BYTES: usize = 64;
const ITERATIONS_2_0: u32 = 101;
const ITERATIONS_2_1: u32 = 1000;

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
}

impl Format {
    fn salt_bytes(self) -> usize {
        match self {
            Format::Portable | Format::V2_0 | Format::Sha512 => SHORT_SALT,
            Format::V2_1 | Format::Argon2id => LONG_SALT,
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
    Pbkdf2 { iterations: u32 },
    Argon2id { version: u32, memory_kib: u32, passes: u32, lanes: u32 },
}

impl Hash {
    /// Hashes a password. `iterations` replaces the format's own number and counts for the `$7$` formats only;
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
        if let HashAlgorithm::Pbkdf2 { iterations } = algorithm {
            check_iterations(iterations)?;
        }
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
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        let fields = text.strip_prefix('$').ok_or(HashError::NotAHash)?;
        let (kind, rest) = fields.split_once('$').ok_or(HashError::NotAHash)?;
        match kind {
            "6" => Hash::from_crypt(HashAlgorithm::Sha512, rest),
            "7" => {
                let (number, rest) = rest.split_once('$').ok_or(HashError::NotAHash)?;
                let iterations = parse_decimal(number).ok_or(HashError::Iterations)?;
                check_iterations(iterations)?;
                Hash::from_crypt(HashAlgorithm::Pbkdf2 { iterations }, rest)
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
    /// A `$format$` other than `$6$`, `$7$` and `$argon2id$`.
    UnknownFormat,
    /// The number of iterations is none, or not within 1 and [`ITERATIONS_MAX`].
    Iterations,
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
            HashError::NotAHash => f.write_str("this is not a password hash ($6$…, $7$… or $argon2id$…)"),
            HashError::UnknownFormat => f.write_str("unknown hash format (known: $6$, $7$, $argon2id$)"),
            HashError::Iterations => write!(f, "the number of iterations must be 1 to {ITERATIONS_MAX}"),
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
            HashAlgorithm::Argon2id { .. } => self
                .argon2(digest.len())?
                .hash_password_into(password, salt, digest)
                .map_err(|_| HashError::Parameters)?,
        }
        Ok(())
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

fn check_iterations(iterations: u32) -> Result<(), HashError> {
    if (1..=ITERATIONS_MAX).contains(&iterations) { Ok(()) } else { Err(HashError::Iterations) }
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
    const VECTORS: [(&str, &str); 7] = [
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
        let mut broken = |_: &mut [u8]| Err(io::ErrorKind::Unsupported.into());
        let made = Hash::create(b"x", Format::V2_0, None, &mut broken);
        assert_eq!(made, Err(HashError::Random(io::ErrorKind::Unsupported)));
    }

    #[test]
    fn debug_output_hides_the_digest() {
        let (_, text) = VECTORS[0];
        let shown = format!("{:?}", text.parse::<Hash>().unwrap());
        assert!(shown.contains("101") && !shown.contains("iM+9"), "{shown}");
    }
}
