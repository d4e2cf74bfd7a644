//! What a certificate says of itself, as far as it decides whether it is taken: when it is valid, and whether
//! it is too weak. For messages only: what is trusted is decided by the TLS library.

use std::fmt;

use chrono::{DateTime, Utc};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::error::excerpt;

/// The shortest RSA key that TLS takes.
const SHORTEST_RSA_KEY_IN_BITS: usize = 2048;

/// What one certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    subject: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    validity: Validity,
    weak_key: Option<Weakness>,
    weak_signature: Option<Weakness>,
}

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Why a certificate is not valid at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfDate {
    NotYet(DateTime<Utc>),
    Expired(DateTime<Utc>),
}

/// Why a certificate is too weak to prove anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    Key { of: String, bits: usize },
    Signature { of: String, hash: &'static str },
}

impl Certificate {
    /// None if it can't be read.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
        let subject = excerpt(&parsed.subject());
        let weak_key = match parsed.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()).filter(|&bits| bits < SHORTEST_RSA_KEY_IN_BITS),
            _ => None,
        };
        let weak_signature = weak_hash(&parsed.signature_algorithm.algorithm.to_id_string());
        Some(Self {
            weak_key: weak_key.map(|bits| Weakness::Key { of: subject.clone(), bits }),
            weak_signature: weak_signature.map(|hash| Weakness::Signature { of: subject.clone(), hash }),
            subject,
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            validity: Validity { from: time(parsed.validity().not_before)?, until: time(parsed.validity().not_after)? },
        })
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }

    pub(crate) fn has_weak_key(&self) -> bool {
        self.weak_key.is_some()
    }

    /// Whether `other` claims to be signed by this one.
    fn is_named_by(&self, other: &Self) -> bool {
        self.subject_der == other.issuer_der
    }
}

impl Validity {
    /// Why a certificate is not valid at this time, if it isn't.
    pub(crate) fn fault_at(&self, time: DateTime<Utc>) -> Option<OutOfDate> {
        if time < self.from {
            Some(OutOfDate::NotYet(self.from))
        } else {
            (time > self.until).then_some(OutOfDate::Expired(self.until))
        }
    }
}

/// What is too weak in a chain whose signatures can't be accepted: `presented` is the receiver's certificate
/// and what came with it, `trusted` the authorities of the chain file.
pub(crate) fn weakness(presented: &[Certificate], trusted: &[Certificate]) -> Option<Weakness> {
    // What an authority's own signature on itself is worth doesn't matter: it is not looked at.
    let signed_by_another = presented.iter().filter(|certificate| !certificate.is_named_by(certificate));
    let weak_signature = signed_by_another.filter_map(|certificate| certificate.weak_signature.clone()).next();
    let authorities = trusted.iter().filter(|authority| presented.iter().any(|other| authority.is_named_by(other)));
    weak_signature.or_else(|| presented.iter().chain(authorities).find_map(|certificate| certificate.weak_key.clone()))
}

fn weak_hash(algorithm: &str) -> Option<&'static str> {
    match algorithm {
        // With RSA (PKCS#1), RSA (OIW), ECDSA and DSA.
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        _ => None,
    }
}

impl fmt::Display for OutOfDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(from) => write!(f, "valid only from {}", from.format("%Y-%m-%d %H:%M:%S UTC")),
            Self::Expired(until) => write!(f, "expired on {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { of, bits } => write!(f, "the RSA key of {of:?} has {bits} bits"),
            Self::Signature { of, hash } => write!(f, "{of:?} is signed with {hash}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let validity = Validity { from: at(10), until: at(20) };
        assert_eq!(validity.fault_at(at(9)), Some(OutOfDate::NotYet(at(10))));
        assert_eq!(validity.fault_at(at(10)), None);
        assert_eq!(validity.fault_at(at(20)), None);
        let expired = validity.fault_at(at(21)).unwrap();
        assert_eq!(expired.to_string(), "expired on 1970-01-01 00:00:20 UTC");
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        assert!(Certificate::read(b"").is_none());
        assert!(Certificate::read(&[0x30, 3, 1, 2, 3]).is_none());
    }
}
