//! The keys of signatures, in the files that `openssl` writes.

use std::path::{Path, PathBuf};

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use sha2::{Digest, Sha256};

use super::{KEY_ID_DIGITS, SignatureMode, Signatures, Signer, Verifier};
use crate::config::{UsageError, read_private, read_trusted};

/// The settings of signatures.
#[derive(Clone, Debug, Default)]
pub struct SignatureSettings {
    /// `bus_signing_key_file`: the service's own private key.
    pub signing_key: Option<PathBuf>,
    /// `bus_verify_keys_file`: the public keys of the other service.
    pub verify_keys: Option<PathBuf>,
    /// `bus_signatures`: what happens to messages that no such key has signed.
    pub mode: Option<SignatureMode>,
}

impl SignatureSettings {
    /// Reads the keys, and checks that they and the mode fit together.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or a setting lacks another: one line that says what to do.
    pub fn read(self) -> Result<Signatures, UsageError> {
        let Self { signing_key, verify_keys, mode } = self;
        let mode = mode.unwrap_or_default();
        let lacks = |name: &str, what: &str| {
            UsageError(format!("bus_signatures = \"{}\" needs {name}, {what}", mode.as_str()))
        };
        if mode != SignatureMode::Off && verify_keys.is_none() {
            return Err(lacks("bus_verify_keys_file", "the public keys of the other service"));
        }
        if mode == SignatureMode::Require && signing_key.is_none() {
            return Err(lacks("bus_signing_key_file", "the private key of this service"));
        }
        let signer = signing_key.as_deref().map(read_signing_key).transpose()?;
        let verifier = match &verify_keys {
            Some(path) => read_verify_keys(path)?,
            None => Verifier::default(),
        };
        if let (Some(signer), Some(path)) = (&signer, &verify_keys)
            && verifier.knows(&signer.key_id)
        {
            let id = &signer.key_id;
            return Err(unusable(
                "bus_verify_keys_file",
                path,
                &format!(
                    "the key {id} is this service's own, which would accept what it has sent itself; name the keys of the other service"
                ),
            ));
        }
        Ok(Signatures::new(signer, verifier, mode))
    }

    /// Checks that nothing is given, since one program with both services has no use for it.
    ///
    /// # Errors
    ///
    /// The line names the setting that is given.
    pub(in super::super) fn check_unused(&self) -> Result<(), UsageError> {
        let Self { signing_key, verify_keys, mode } = self;
        let given = [
            ("bus_signing_key_file", signing_key.is_some()),
            ("bus_verify_keys_file", verify_keys.is_some()),
            ("bus_signatures", mode.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(UsageError(format!(
                "{name} keeps two programs apart, and lastro is both services in one; leave it out, or start order-service and inventory-service"
            ))),
            None => Ok(()),
        }
    }
}

/// The name of a public key: the beginning of the SHA-256 of its DER, in hexadecimal. Whoever has
/// the key can compute it with `openssl`, so nobody has to choose a name.
fn key_id(der: &[u8]) -> String {
    let hash = Sha256::digest(der);
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    format!("{:0KEY_ID_DIGITS$x}", u64::from_be_bytes(*first))
}

pub(super) fn signer(key: Ed25519KeyPair) -> Signer {
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a key has a form");
    Signer { key_id: key_id(public.as_ref()), key }
}

fn read_signing_key(path: &Path) -> Result<Signer, UsageError> {
    let text = read_private(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok();
    let key =
        der.and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok());
    let reason =
        "the file has no Ed25519 private key in PEM; make one: openssl genpkey -algorithm ed25519";
    key.map(signer).ok_or_else(|| unusable("bus_signing_key_file", path, reason))
}

fn read_verify_keys(path: &Path) -> Result<Verifier, UsageError> {
    let refused = |reason: &str| unusable("bus_verify_keys_file", path, reason);
    let text = read_trusted(path)?;
    let found: Result<Vec<_>, _> =
        SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()).collect();
    let mut keys = Vec::new();
    for der in found.map_err(|_| refused("the file is not PEM"))? {
        let key = ParsedPublicKey::new(&ED25519, der.as_ref())
            .map_err(|_| refused("a public key in the file is not one of Ed25519"))?;
        keys.push((key_id(der.as_ref()), key));
    }
    if keys.is_empty() {
        return Err(refused(
            "the file has no public key in PEM; make it from the private one: openssl pkey -pubout",
        ));
    }
    Ok(Verifier { keys })
}

fn unusable(name: &str, path: &Path, reason: &str) -> UsageError {
    UsageError(format!("{name}={}: {reason}", path.display()))
}
