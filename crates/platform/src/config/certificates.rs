//! Certificates in files. Whoever may add an authority can be whom it vouches for, so only their
//! owner may write them.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::UsageError;
use super::trusted::{Unusable, read_owned_bytes};

/// The authorities in the PEM file that a setting names.
///
/// # Errors
///
/// The file cannot be read, others than its owner may write it, or it has no certificates, or one
/// that cannot be used.
pub fn authorities(setting: &str, path: &Path) -> Result<RootCertStore, UsageError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        roots.add(certificate).map_err(|error| unusable(setting, path, &error.to_string()))?;
    }
    Ok(roots)
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
