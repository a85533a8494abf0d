//! What a URL says about the hosts of a database, and how connections to them are encrypted.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::chain;

/// The hosts of a database.
pub(super) struct Address {
    /// The same database on each of the hosts, in the order in which they are named.
    pub(super) hosts: Vec<Config>,
    pub(super) tls: MakeRustlsConnect,
}

impl Address {
    /// Parses a URL in libpq's syntax. The error says what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        let mut mode = "disable".to_owned();
        let mut root = None;
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let value = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            match parameter.split_once('=') {
                Some(("sslmode", text)) => mode = value(text),
                Some(("sslrootcert", text)) => root = Some(PathBuf::from(value(text))),
                _ => rest.push(parameter),
            }
        }
        let plain =
            if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let ssl_mode = match mode.as_str() {
            "disable" => SslMode::Disable,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            other => {
                return Err(format!(
                    "sslmode={other} may send in the clear; use verify-full or disable"
                ));
            }
        };
        let mut hosts = Vec::new();
        for url in one_by_one(&plain) {
            let mut config: Config =
                url.parse().map_err(|error: tokio_postgres::Error| chain(&error))?;
            config.ssl_mode(ssl_mode);
            hosts.push(config);
        }
        let tls = tls(ssl_mode != SslMode::Disable, root)?;
        Ok(Self { hosts, tls })
    }
}

/// A URL of several hosts as one of each: `scheme://user@a:1,b:2/database`.
fn one_by_one(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// The way to encrypted connections. Nothing is read from the disk unless they are wanted.
fn tls(encrypts: bool, root: Option<PathBuf>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    match root {
        _ if !encrypts => {}
        Some(path) => {
            let failed =
                |error: &dyn std::fmt::Display| format!("sslrootcert={}: {error}", path.display());
            for certificate in
                CertificateDer::pem_file_iter(&path).map_err(|error| failed(&error))?
            {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
