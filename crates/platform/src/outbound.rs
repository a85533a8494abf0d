//! Connections to servers elsewhere over HTTP.

use std::path::Path;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;

use crate::config::{UsageError, client_tls, trusted_authorities};

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
    let tls = client_tls(trusted_authorities(setting, file)?)?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(connector.enable_http1().build())
}
