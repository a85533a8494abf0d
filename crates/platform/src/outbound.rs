//! Connections to servers elsewhere over HTTP.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{UsageError, authorities};

/// Connects over HTTP/1.1, with TLS where the URL asks for it. Servers are trusted whose certificate
/// is of an authority in the file that `setting` names, or without a file of one of the system.
///
/// # Errors
///
/// The file cannot be used.
pub(crate) fn connector(
    setting: &str,
    file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, UsageError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UsageError(error.to_string()))?
        .with_root_certificates(trusted(setting, file)?)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(connector.enable_http1().build())
}

fn trusted(setting: &str, file: Option<&Path>) -> Result<RootCertStore, UsageError> {
    if let Some(path) = file {
        return authorities(setting, path);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(roots)
}
