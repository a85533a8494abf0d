//! Certificates in files. Whoever may add an authority can be whom it vouches for, so only their
//! owner may write them.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::UsageError;
use super::trusted::{Unusable, read_owned_bytes};

/// The authorities in the PEM file that a setting names.
///
/// # Errors
///
/// The file cannot be read, others than its owner may write it, or it has no certificates, or one
/// that cannot be used.
pub(crate) fn authorities(setting: &str, path: &Path) -> Result<RootCertStore, UsageError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        roots.add(certificate).map_err(|error| unusable(setting, path, &error.to_string()))?;
    }
    Ok(roots)
}

/// The authorities to trust: those in the file that a setting names, or without a file those of the
/// system.
///
/// # Errors
///
/// As [`authorities`].
pub fn trusted_authorities(
    setting: &str,
    file: Option<&Path>,
) -> Result<RootCertStore, UsageError> {
    if let Some(path) = file {
        return authorities(setting, path);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(roots)
}

/// TLS to servers with a certificate of these authorities, without one of our own.
///
/// # Errors
///
/// The provider of cryptography has none of the protocol versions, which is never so.
pub fn client_tls(roots: RootCertStore) -> Result<ClientConfig, UsageError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UsageError(error.to_string()))?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates in the PEM file that a setting names, of which there must be some.
pub(crate) fn certificates(
    setting: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, UsageError> {
    let text = read_owned_bytes(path).map_err(|reason| match reason {
        Unusable::Unreadable(error) => unusable(setting, path, &error.to_string()),
        Unusable::Writable(line) => unusable(setting, path, &line),
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(setting, path, "the file has no certificates in PEM")),
    }
}

fn unusable(setting: &str, path: &Path, why: &str) -> UsageError {
    UsageError(format!("{setting}={}: {why}", path.display()))
}
