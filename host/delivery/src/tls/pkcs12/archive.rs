//! Opens a PKCS#12 file within a bound on the work that it asks for.
//!
//! Each entry of such a file says itself how often a password is to be hashed until it is a key, and may be
//! locked again within what is locked already. Readers bound each of these, to a million rounds or a
//! gigabyte, but a file of 4 MiB has room for ten thousand entries, and would keep a processor busy for
//! hours. So here all of a file draws on one account, before anything is computed.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::encrypted_data::EncryptedData;
use der::asn1::{Any, ContextSpecific, ObjectIdentifier, OctetString};
use der::{AnyRef, Decode, Encode};
use hmac::{Mac, SimpleHmac};
use pkcs5::pbes2::{self, Kdf};
use pkcs12::kdf::{Pkcs12KeyType, derive_key_utf8};
use pkcs12::pbe_params::{EncryptedPrivateKeyInfo, Pkcs12PbeParams};
use pkcs12::pfx::Pfx;
use pkcs12::safe_bag::{SafeBag, SafeContents};
use pkcs12::{AuthenticatedSafe, CertBag, MacData};
use secrecy::zeroize::Zeroizing;
use sha1::Sha1;
use sha2::digest::block_api::BlockSizeUser;
use sha2::digest::{Digest, FixedOutputReset};
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");

/// Most memory that one key may be derived in. OpenSSL's own limit for scrypt is half of it.
const MOST_MEMORY_IN_BYTES: u64 = 64 * 1024 * 1024;

/// What is in a file, in the order in which it is there.
#[derive(Debug, Default)]
pub(super) struct Archive {
    pub(super) keys: Vec<Entry>,
    pub(super) certificates: Vec<Entry>,
}

/// A key in PKCS#8, or a certificate.
pub(super) struct Entry {
    pub(super) der: Zeroizing<Vec<u8>>,
    /// What a key and its certificate have in common.
    pub(super) id: Option<Vec<u8>>,
}

/// Why a file can't be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged,
    Password,
    TooMuchWork,
    Unsupported(&'static str),
}

/// Opens a file. `rounds` is how often all of it together may have the password hashed.
pub(super) fn open(content: &[u8], password: &str, rounds: u64) -> Result<Archive, Fault> {
    let file = Pfx::from_der(content)?;
    if file.auth_safe.content_type != DATA {
        return Err(Fault::Unsupported("it is locked with a certificate instead of a password"));
    }
    let mut lock = Lock { password, rounds };
    let content = file.auth_safe.content.decode_as::<OctetString>()?;
    if let Some(mac) = &file.mac_data {
        lock.check(mac, content.as_bytes())?;
    }
    let mut archive = Archive::default();
    for safe in AuthenticatedSafe::from_der(content.as_bytes())? {
        let bags = match safe.content_type {
            DATA => safe.content.decode_as::<OctetString>()?.as_bytes().to_vec().into(),
            ENCRYPTED_DATA => {
                let safe = safe.content.decode_as::<EncryptedData>()?.enc_content_info;
                let Some(content) = safe.encrypted_content else { continue };
                lock.open(&safe.content_enc_alg, content.as_bytes())?
            }
            _ => return Err(Fault::Unsupported("it is locked with a certificate instead of a password")),
        };
        for bag in SafeContents::from_der(&bags)? {
            archive.add(&bag, &mut lock)?;
        }
    }
    Ok(archive)
}

impl Archive {
    fn add(&mut self, bag: &SafeBag, lock: &mut Lock<'_>) -> Result<(), Fault> {
        match bag.bag_id {
            pkcs12::PKCS_12_KEY_BAG_OID => {
                let key = ContextSpecific::<Any>::from_der(&bag.bag_value)?.value.to_der()?;
                self.keys.push(Entry { der: key.into(), id: id(bag) });
            }
            pkcs12::PKCS_12_PKCS8_KEY_BAG_OID => {
                let key = ContextSpecific::<EncryptedPrivateKeyInfo>::from_der(&bag.bag_value)?.value;
                let der = lock.open(&key.encryption_algorithm, key.encrypted_data.as_bytes())?;
                // What a wrong password makes of it; whether it is a key is seen when it is used.
                AnyRef::from_der(&der)?;
                self.keys.push(Entry { der, id: id(bag) });
            }
            pkcs12::PKCS_12_CERT_BAG_OID => {
                let certificate = ContextSpecific::<CertBag>::from_der(&bag.bag_value)?.value;
                if certificate.cert_id != pkcs12::PKCS_12_X509_CERT_OID {
                    return Err(Fault::Damaged);
                }
                let der = certificate.cert_value.as_bytes().to_vec().into();
                self.certificates.push(Entry { der, id: id(bag) });
            }
            // Lists of revoked certificates, secrets of other kinds.
            _ => {}
        }
        Ok(())
    }
}

fn id(bag: &SafeBag) -> Option<Vec<u8>> {
    let mut attributes = bag.bag_attributes.iter().flat_map(|attributes| attributes.iter());
    let values = &attributes.find(|attribute| attribute.oid == LOCAL_KEY_ID)?.values;
    Some(values.iter().next()?.decode_as::<OctetString>().ok()?.as_bytes().to_vec())
}

/// The password, and what is left of the work that may be done with it.
struct Lock<'a> {
    password: &'a str,
    rounds: u64,
}

impl Lock<'_> {
    fn spend(&mut self, rounds: u64) -> Result<(), Fault> {
        self.rounds = self.rounds.checked_sub(rounds).ok_or(Fault::TooMuchWork)?;
        Ok(())
    }

    fn check(&mut self, mac: &MacData, content: &[u8]) -> Result<(), Fault> {
        self.spend(times(mac.iterations))?;
        let check = match mac.mac.algorithm.oid.to_string().as_str() {
            "1.3.14.3.2.26" => check::<Sha1>,
            "2.16.840.1.101.3.4.2.4" => check::<Sha224>,
            "2.16.840.1.101.3.4.2.1" => check::<Sha256>,
            "2.16.840.1.101.3.4.2.2" => check::<Sha384>,
            "2.16.840.1.101.3.4.2.3" => check::<Sha512>,
            "2.16.840.1.101.3.4.2.5" => check::<Sha512_224>,
            "2.16.840.1.101.3.4.2.6" => check::<Sha512_256>,
            _ => return Err(Fault::Unsupported("its password is checked in a way that is not known here")),
        };
        check(mac, self.password, content)
    }

    fn open(&mut self, algorithm: &AlgorithmIdentifierOwned, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let parameters = algorithm.parameters.as_ref().ok_or(Fault::Damaged);
        let content = match algorithm.oid {
            pbes2::PBES2_OID => {
                let parameters = pbes2::Parameters::from_der(&parameters?.to_der()?)?;
                self.spend(rounds(&parameters.kdf)?)?;
                parameters.decrypt(self.password, content)?
            }
            pkcs12::PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC => {
                self.open_as_before::<des::TdesEde3>(&parameters?.decode_as()?, content, 24)?
            }
            pkcs12::PKCS_12_PBEWITH_SHAAND40_BIT_RC2_CBC => {
                self.open_as_before::<rc2::Rc2>(&parameters?.decode_as()?, content, 5)?
            }
            _ => return Err(Fault::Unsupported("it is locked with a cipher that is not known here")),
        };
        Ok(content.into())
    }

    /// As it was done before there was PBES2.
    fn open_as_before<C: KeyInit + BlockCipherDecrypt>(
        &mut self,
        parameters: &Pkcs12PbeParams,
        content: &[u8],
        key_length: usize,
    ) -> Result<Vec<u8>, Fault> {
        const IV_LENGTH: usize = 8;
        // Two for the longer key, one for the vector.
        self.spend(3 * times(parameters.iterations))?;
        let derive = |kind, length| {
            let (salt, iterations) = (parameters.salt.as_bytes(), parameters.iterations);
            derive_key_utf8::<Sha1>(self.password, salt, kind, iterations, length).map(Zeroizing::new)
        };
        let (key, iv) = (derive(Pkcs12KeyType::EncryptionKey, key_length)?, derive(Pkcs12KeyType::Iv, IV_LENGTH)?);
        let decryptor = cbc::Decryptor::<C>::new_from_slices(&key, &iv).map_err(|_| Fault::Damaged)?;
        decryptor.decrypt_padded_vec::<Pkcs7>(content).map_err(|_| Fault::Password)
    }
}

fn check<D>(mac: &MacData, password: &str, content: &[u8]) -> Result<(), Fault>
where
    D: Digest + FixedOutputReset + BlockSizeUser,
{
    let (salt, length) = (mac.mac_salt.as_bytes(), <D as Digest>::output_size());
    let key = derive_key_utf8::<D>(password, salt, Pkcs12KeyType::Mac, mac.iterations, length).map(Zeroizing::new)?;
    let mut expected = <SimpleHmac<D> as KeyInit>::new_from_slice(&key).map_err(|_| Fault::Damaged)?;
    expected.update(content);
    expected.verify_slice(mac.mac.digest.as_bytes()).map_err(|_| Fault::Password)
}

fn times(iterations: i32) -> u64 {
    iterations.max(1).unsigned_abs().into()
}

/// What a key costs, measured in rounds of the usual kind.
fn rounds(kdf: &Kdf) -> Result<u64, Fault> {
    match kdf {
        Kdf::Pbkdf2(parameters) => Ok(parameters.iteration_count.into()),
        Kdf::Scrypt(parameters) => {
            // The library panics at others.
            if parameters.cost_parameter < 2 || !parameters.cost_parameter.is_power_of_two() {
                return Err(Fault::Damaged);
            }
            let blocks = parameters.cost_parameter.checked_mul(parameters.block_size.into());
            let blocks = blocks.filter(|blocks| *blocks <= MOST_MEMORY_IN_BYTES / 128).ok_or(Fault::TooMuchWork)?;
            Ok(blocks * u64::from(parameters.parallelization))
        }
        _ => Err(Fault::Unsupported("its keys are derived in a way that is not known here")),
    }
}

impl From<der::Error> for Fault {
    fn from(_: der::Error) -> Self {
        Self::Damaged
    }
}

impl From<pkcs5::Error> for Fault {
    fn from(error: pkcs5::Error) -> Self {
        match error {
            pkcs5::Error::UnsupportedAlgorithm { .. } => {
                Self::Unsupported("its keys are derived in a way that is not known here")
            }
            pkcs5::Error::AlgorithmParametersInvalid { .. } => Self::Damaged,
            _ => Self::Password,
        }
    }
}

/// Shows nothing of a key.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.der.len())
    }
}
