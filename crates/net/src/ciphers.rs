//! OpenSSL's cipher lists, as far as they speak of suites that are offered here.

use crate::openssl_name;
use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};

/// Classes that hold no suite of ours, so that taking them out, or in, changes nothing.
const ABSENT: &[&str] = &[
    "aNULL",
    "eNULL",
    "NULL",
    "COMPLEMENTOFDEFAULT",
    "EXP",
    "EXPORT",
    "LOW",
    "MEDIUM",
    "MD5",
    "RC4",
    "DES",
    "3DES",
    "RC2",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "ARIA",
    "PSK",
    "SRP",
    "DSS",
    "aDSS",
    "DH",
    "DHE",
    "EDH",
    "ADH",
    "AECDH",
    "kRSA",
    "kDHE",
    "kEDH",
    "kPSK",
    "SHA",
    "SHA1",
    "SSLv2",
    "SSLv3",
    "TLSv1",
    "CBC",
    "AESCCM",
    "AESCCM8",
    "GOST",
];

/// The cryptography of `ring`, with the suites that the lists of TLS 1.2 and 1.3 leave; `None` leaves all. A suite that
/// is asked for and not offered here is a line in `warnings`.
///
/// # Errors
/// A list that leaves nothing, or holds a word of unknown meaning.
pub fn provider(
    tls12: Option<&str>,
    tls13: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    let (new, old): (Vec<_>, Vec<_>) = provider.cipher_suites.iter().copied().partition(is_tls13);
    let mut suites = match tls13 {
        Some(list) => select(list, "ciphers_tls1.3", &new, warnings)?,
        None => new,
    };
    suites.extend(match tls12 {
        Some(list) => select(list, "ciphers", &old, warnings)?,
        None => old,
    });
    provider.cipher_suites = suites;
    Ok(provider)
}

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

fn name(suite: SupportedCipherSuite) -> &'static str {
    openssl_name(suite.suite()).unwrap_or_default()
}

/// The suites of `known` in the order that the list gives them.
fn select(
    list: &str,
    option: &str,
    known: &[SupportedCipherSuite],
    warnings: &mut Vec<String>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    let bad = |why: &str| {
        let all: Vec<_> = known.iter().map(|s| name(*s)).collect();
        format!(
            "Unable to set TLS ciphers. Check cipher list \"{list}\" of '{option}': {why}. There are {}.",
            all.join(":")
        )
    };
    for word in list.split([':', ',', ' ']).filter(|w| !w.is_empty()) {
        if word.starts_with('@') {
            continue;
        }
        let (sign, word) = match word.strip_prefix(['!', '-', '+']) {
            Some(rest) => (word.chars().next(), rest),
            None => (None, word),
        };
        let Some(meant) = meaning(word, known) else { return Err(bad(&format!("'{word}' is not known"))) };
        if meant.is_empty() && sign.is_none() && word.contains('-') {
            warnings.push(format!("Warning: Cipher suite '{word}' of '{option}' is not offered here."));
        }
        match sign {
            Some('!') => banned.extend(meant),
            Some('-') => chosen.retain(|s| !meant.contains(s)),
            // only moves suites to the end
            Some(_) => {}
            None => {
                let fresh: Vec<_> = meant.into_iter().filter(|s| !chosen.contains(s)).collect();
                chosen.extend(fresh);
            }
        }
    }
    chosen.retain(|s| !banned.contains(s));
    if chosen.is_empty() { Err(bad("it leaves none")) } else { Ok(chosen) }
}

/// The suites a word stands for: a name, a class, or several classes joined by `+`.
fn meaning(word: &str, known: &[SupportedCipherSuite]) -> Option<Vec<SupportedCipherSuite>> {
    if word.contains('-') || word.starts_with("TLS_") {
        // OpenSSL has many more; whether a name is one of them makes no difference
        let plausible = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        return plausible.then(|| known.iter().copied().filter(|s| name(*s) == word).collect());
    }
    let mut meant = known.to_vec();
    for class in word.split('+') {
        let matches: fn(&str) -> bool = match class {
            "DEFAULT" | "COMPLEMENTOFALL" | "ALL" | "HIGH" | "TLSv1.2" | "TLSv1.3" => |_| true,
            "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "ECDH" => |_| true,
            "AESGCM" => |n| n.contains("GCM"),
            "AES" => |n| n.contains("AES"),
            "AES128" => |n| n.contains("AES128"),
            "AES256" => |n| n.contains("AES256"),
            "CHACHA20" => |n| n.contains("CHACHA20"),
            "RSA" | "aRSA" => |n| n.contains("-RSA-"),
            "ECDSA" | "aECDSA" => |n| n.contains("-ECDSA-"),
            "SHA256" => |n| n.ends_with("SHA256"),
            "SHA384" => |n| n.ends_with("SHA384"),
            absent if ABSENT.contains(&absent) => |_| false,
            _ => return None,
        };
        meant.retain(|s| matches(name(*s)));
    }
    Some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Result<Vec<&'static str>, String> {
        let provider = provider(Some(list), None, &mut Vec::new())?;
        Ok(provider.cipher_suites.iter().filter(|s| !is_tls13(s)).map(|s| name(*s)).collect())
    }

    #[test]
    fn lists_mean_what_they_mean_to_openssl() {
        let table: &[(&str, &[&str])] = &[
            ("ECDHE-RSA-AES128-GCM-SHA256", &["ECDHE-RSA-AES128-GCM-SHA256"]),
            (
                "ECDHE-RSA-CHACHA20-POLY1305:AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384",
                &["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384"],
            ),
            ("ECDHE+AESGCM:!AES128:!aNULL:@STRENGTH:!ECDSA", &["ECDHE-RSA-AES256-GCM-SHA384"]),
            ("HIGH:!AES:!ECDSA:!MD5", &["ECDHE-RSA-CHACHA20-POLY1305"]),
        ];
        for (list, expected) in table {
            assert_eq!(names(list).unwrap(), *expected, "{list}");
        }
        assert_eq!(names("DEFAULT").unwrap().len(), 6);
    }

    #[test]
    fn a_list_that_leaves_nothing_or_cannot_be_understood_is_refused() {
        for list in ["AES256-SHA", "WRONG", "ALL:!ECDHE", ""] {
            let text = names(list).unwrap_err();
            assert!(text.contains(&format!("Check cipher list \"{list}\"")), "{text}");
        }
        assert!(provider(None, Some("TLS_AES_128_CCM_SHA256"), &mut Vec::new()).is_err());
    }
}
