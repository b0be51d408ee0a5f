//! The grammar of SCRAM's messages (RFC 5802, section 7), within bounds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Error, ITERATIONS_MAX, ITERATIONS_MIN, KEY_BYTES, MESSAGE_BYTES_MAX, NONCE_BYTES_MAX, SALT_BYTES_MAX,
    prepare,
};

/// `n,,n=user,r=nonce`
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    /// `n,,` or `y,,`.
    pub(super) header: &'static str,
    /// What follows it.
    pub(super) bare: &'a str,
    /// Unescaped and prepared.
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

/// `r=nonce,s=salt,i=iterations`
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) text: &'a str,
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// `c=header,r=nonce,p=proof`
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) without_proof: &'a str,
    /// The header again, in Base64.
    pub(super) binding: &'a str,
    pub(super) nonce: &'a str,
    pub(super) proof: [u8; KEY_BYTES],
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Error> {
        let text = text_of(message)?;
        let (flag, rest) = text.split_once(',').ok_or(Error::Malformed("no header"))?;
        let header = match flag {
            "n" => "n,,",
            "y" => "y,,",
            _ if flag.starts_with("p=") => return Err(Error::Unsupported("channel binding")),
            _ => return Err(Error::Malformed("neither n nor y nor p=")),
        };
        let (identity, bare) = rest.split_once(',').ok_or(Error::Malformed("no header"))?;
        if !identity.is_empty() {
            return Err(Error::Unsupported("to act as somebody else"));
        }
        let mut fields = bare.split(',');
        let user = user_of(field(fields.next(), "n=")?)?;
        let nonce = nonce_of(field(fields.next(), "r=")?)?;
        Ok(Self { header, bare, user, nonce })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Error> {
        let text = text_of(message)?;
        let mut fields = text.split(',');
        let nonce = nonce_of(field(fields.next(), "r=")?)?;
        let salt = field(fields.next(), "s=")?;
        if salt.len() > SALT_BYTES_MAX * 2 {
            return Err(Error::Malformed("too long a salt"));
        }
        let salt = STANDARD.decode(salt).map_err(|_| Error::Malformed("the salt is not Base64"))?;
        if !(1..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(Error::Malformed("the length of the salt"));
        }
        let number = field(fields.next(), "i=")?;
        let is_number = number.starts_with(|c: char| ('1'..='9').contains(&c))
            && number.bytes().all(|b| b.is_ascii_digit());
        let iterations = number.parse().ok().filter(|_| is_number);
        let iterations = iterations.ok_or(Error::Malformed("the number of iterations"))?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Error::Unsupported("so few or so many iterations"));
        }
        Ok(Self { text, nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Error> {
        let text = text_of(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Error::Malformed("no proof"))?;
        let mut fields = without_proof.split(',');
        let binding = field(fields.next(), "c=")?;
        let nonce = nonce_of(field(fields.next(), "r=")?)?;
        if proof.len() > KEY_BYTES * 2 {
            return Err(Error::Malformed("too long a proof"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok());
        let proof = proof.ok_or(Error::Malformed("the proof is not Base64 of 32 bytes"))?;
        Ok(Self { without_proof, binding, nonce, proof })
    }
}

/// A user name as it stands in a message.
pub(super) fn escape(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

/// Printable characters but the comma.
pub(super) fn nonce_of(nonce: &str) -> Result<&str, Error> {
    let is_sound = nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if is_sound && (1..=NONCE_BYTES_MAX).contains(&nonce.len()) {
        Ok(nonce)
    } else {
        Err(Error::Malformed("the nonce"))
    }
}

fn text_of(message: &[u8]) -> Result<&str, Error> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Error::Malformed("too long"));
    }
    let text = std::str::from_utf8(message).map_err(|_| Error::Malformed("not UTF-8"))?;
    if text.contains('\0') { Err(Error::Malformed("a null character")) } else { Ok(text) }
}

fn field<'a>(field: Option<&'a str>, name: &'static str) -> Result<&'a str, Error> {
    match field {
        Some(field) if field.starts_with("m=") => Err(Error::Unsupported("a mandatory extension")),
        Some(field) => field.strip_prefix(name).ok_or(Error::Malformed(name)),
        None => Err(Error::Malformed(name)),
    }
}

fn user_of(escaped: &str) -> Result<String, Error> {
    let mut parts = escaped.split('=');
    let mut user = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Error::Malformed("n=")),
        };
        user.push(sign);
        user.push_str(rest);
    }
    Ok(prepare(&user)?.into_owned())
}
