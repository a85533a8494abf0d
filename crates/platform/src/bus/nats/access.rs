//! How a service proves to a broker who it is, and how it knows the broker.

use std::path::{Path, PathBuf};

use async_nats::ConnectOptions;
use async_nats::rustls::pki_types::PrivateKeyDer;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::{ClientConfig, RootCertStore};
use nkeys::{KeyPair, KeyPairType};

use super::address::{Address, Login};
use crate::config::{Secret, UsageError, authorities, certificates, read_trusted, warn_of_readers};

/// The files that secure the connection to a broker, beside its URL.
#[derive(Clone, Debug, Default)]
pub struct AccessFiles {
    /// `bus_ca`: the certificates of the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// `bus_credentials`: a `.creds` file, or the seed of an nkey.
    pub credentials: Option<PathBuf>,
    /// `bus_cert`: the client's certificate, and those that lead to its authority.
    pub certificate: Option<PathBuf>,
    /// `bus_key`: the private key of the client's certificate.
    pub key: Option<PathBuf>,
}

/// What a service connects with.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Read again for each connection, so that a new one needs no restart.
    ca: Option<PathBuf>,
    /// The certificate and its key, read again for each connection.
    certificate: Option<(PathBuf, PathBuf)>,
    proof: Proof,
}

/// How the service says who it is, beside a certificate.
#[derive(Clone, Debug)]
enum Proof {
    None,
    /// The URL.
    Login(Login),
    /// A `.creds` file: a JWT and the seed of its key.
    Credentials(PathBuf, Secret),
    /// The seed of an nkey.
    Nkey(PathBuf, Secret),
}

impl AccessFiles {
    /// Checks that everything can be used with this address.
    ///
    /// # Errors
    ///
    /// Something contradicts the URL, or cannot be read: one line that says what.
    pub(super) fn check(self, address: &Address) -> Result<Access, UsageError> {
        let Self { ca, credentials, certificate, key } = self;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(usage("bus_cert needs bus_key, its private key")),
            (None, Some(_)) => return Err(usage("bus_key needs bus_cert, its certificate")),
        };
        if !address.is_encrypted {
            let needs_tls = [("bus_ca", ca.is_some()), ("bus_cert", certificate.is_some())];
            if let Some((name, _)) = needs_tls.iter().find(|(_, is_given)| *is_given) {
                let reason = format!("{name} needs encryption: begin the bus URL with tls://");
                return Err(UsageError(reason));
            }
        }
        if let Some(path) = &ca {
            authorities("bus_ca", path)?;
        }
        if let Some((certificate, key)) = &certificate {
            check_certificate(certificate, key)?;
        }
        let proof = match (address.login.clone(), credentials) {
            (Some(_), Some(_)) => {
                return Err(usage(
                    "the bus URL has a user or a token, and bus_credentials names another; leave one of both out",
                ));
            }
            (Some(login), None) => Proof::Login(login),
            (None, Some(path)) => Proof::in_file(path)?,
            (None, None) => Proof::None,
        };
        Ok(Access { ca, certificate, proof })
    }

    /// Checks that nothing is given, since queues in memory have no use for it.
    ///
    /// # Errors
    ///
    /// The line names the setting that is given.
    pub(super) fn check_unused(&self) -> Result<(), UsageError> {
        let Self { ca, credentials, certificate, key } = self;
        let given = [
            ("bus_ca", ca),
            ("bus_credentials", credentials),
            ("bus_cert", certificate),
            ("bus_key", key),
        ];
        match given.iter().find(|(_, path)| path.is_some()) {
            Some((name, _)) => Err(UsageError(format!(
                "{name} is for a broker, and embedded: has none; leave it out, or set bus_url to tls://host:4222"
            ))),
            None => Ok(()),
        }
    }
}

impl Access {
    /// Adds what the client needs to its options.
    ///
    /// # Errors
    ///
    /// The `.creds` file is not one.
    pub(super) fn apply(
        &self,
        options: ConnectOptions,
        is_encrypted: bool,
    ) -> Result<ConnectOptions, UsageError> {
        let mut options = options.require_tls(is_encrypted);
        if is_encrypted {
            // A server tells of others before the connection is encrypted, so anybody on the way
            // could name one of theirs, with a valid certificate.
            options = options.ignore_discovered_servers();
        }
        if let Some(path) = &self.ca {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        self.proof.apply(options)
    }

    /// What a broker refuses that answers with an authorization violation, and what to do.
    pub(super) fn refused(&self) -> String {
        let certificate = self.certificate.as_ref().map(|(path, _)| path.display());
        match (&self.proof, certificate) {
            (Proof::Login(Login::Password { .. }), _) => {
                "refuses the user or the password of the bus URL".to_owned()
            }
            (Proof::Login(Login::Token(_)), _) => "refuses the token of the bus URL".to_owned(),
            (Proof::Credentials(path, _) | Proof::Nkey(path, _), _) => {
                format!(
                    "refuses the credentials in {} (bus_credentials); have new ones made for a user that the broker knows",
                    path.display()
                )
            }
            (Proof::None, Some(path)) => format!("knows no user for the certificate {path} (bus_cert)"),
            (Proof::None, None) => {
                "wants to know who connects; put a user and a password into the bus URL, or set bus_credentials".to_owned()
            }
        }
    }
}

impl Proof {
    fn in_file(path: PathBuf) -> Result<Self, UsageError> {
        let text = Secret::from(read_trusted(&path)?);
        let credentials = path.clone();
        let proof = match text.reveal().contains("-----BEGIN") {
            true => Self::Credentials(path, text),
            false => Self::Nkey(path, text),
        };
        proof.apply(ConnectOptions::new())?;
        warn_of_readers(&credentials);
        Ok(proof)
    }

    fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions, UsageError> {
        let not_one = |path: &Path| {
            let reason = "is neither a .creds file nor the seed of a user's nkey, which begins with SU (bus_credentials)";
            UsageError(format!("{} {reason}", path.display()))
        };
        match self {
            Self::None => Ok(options),
            Self::Login(Login::Password { user, password }) => {
                let (user, password) = (user.reveal().to_owned(), password.reveal().to_owned());
                Ok(options.user_and_password(user, password))
            }
            Self::Login(Login::Token(token)) => Ok(options.token(token.reveal().to_owned())),
            Self::Credentials(path, text) => {
                // The client wants the last line to end.
                let text = format!("{}\n", text.reveal());
                options.credentials(&text).map_err(|_| not_one(path))
            }
            Self::Nkey(path, seed) => match KeyPair::from_seed(seed.reveal().trim()) {
                Ok(key) if key.key_pair_type() == KeyPairType::User => {
                    Ok(options.nkey(seed.reveal().trim().to_owned()))
                }
                _ => Err(not_one(path)),
            },
        }
    }
}

/// Checks that there is a certificate, a key that is not encrypted, and that they belong together.
fn check_certificate(certificate: &Path, key: &Path) -> Result<(), UsageError> {
    let chain = certificates("bus_cert", certificate)?;
    let text = read_trusted(key)?;
    let its = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        UsageError(format!("bus_key={}: the file has no unencrypted key in PEM", key.display()))
    })?;
    let building = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    building.with_client_auth_cert(chain, its).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        UsageError(format!("bus_cert={certificate} cannot be used with bus_key={key}: {error}"))
    })?;
    warn_of_readers(key);
    Ok(())
}

fn usage(reason: &str) -> UsageError {
    UsageError(reason.to_owned())
}

#[cfg(test)]
mod tests;
