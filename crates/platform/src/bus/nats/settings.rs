//! The settings that say where the broker is and how the connection to it is secured.

use std::path::PathBuf;

use super::{AccessFiles, Broker, SignatureMode, SignatureSettings};
use crate::config::{BusUrl, File, Secret, UsageError};

/// The broker that a service connects to if none is configured.
const DEFAULT_BROKER: &str = "nats://127.0.0.1:4222";

/// The options of a program that connects to a broker. Flag > environment > file > default.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BusArgs {
    /// Message bus between the services
    #[arg(long, env = "LASTRO_BUS_URL", value_name = "URL", hide_env_values = true)]
    pub bus_url: Option<Secret>,
    /// A file that holds the URL of the bus, so that its password is in no list of processes
    #[arg(long, env = "LASTRO_BUS_URL_FILE", value_name = "FILE")]
    pub bus_url_file: Option<PathBuf>,
    /// Authorities to trust with tls://, in PEM [default: those of the system]
    #[arg(long, env = "LASTRO_BUS_CA", value_name = "FILE")]
    pub bus_ca: Option<PathBuf>,
    /// Who connects: a .creds file of NATS, or the seed of an nkey
    #[arg(long, env = "LASTRO_BUS_CREDENTIALS", value_name = "FILE")]
    pub bus_credentials: Option<PathBuf>,
    /// A client certificate for tls://, in PEM
    #[arg(long, env = "LASTRO_BUS_CERT", value_name = "FILE")]
    pub bus_cert: Option<PathBuf>,
    /// The private key of the client certificate, in PEM
    #[arg(long, env = "LASTRO_BUS_KEY", value_name = "FILE")]
    pub bus_key: Option<PathBuf>,
    /// Sign what this service sends with this Ed25519 key, in PEM
    #[arg(long, env = "LASTRO_BUS_SIGNING_KEY_FILE", value_name = "FILE")]
    pub bus_signing_key_file: Option<PathBuf>,
    /// The public keys of the other service, in PEM
    #[arg(long, env = "LASTRO_BUS_VERIFY_KEYS_FILE", value_name = "FILE")]
    pub bus_verify_keys_file: Option<PathBuf>,
    /// What happens to messages that no such key has signed [default: off]
    #[arg(long, env = "LASTRO_BUS_SIGNATURES", value_name = "MODE")]
    pub bus_signatures: Option<SignatureMode>,
}

/// Returns the help text of `--bus-url` for a program with this default.
pub fn bus_url_help(default: &str) -> String {
    format!("Message bus between the services [default: {default}]")
}

impl BusArgs {
    /// Resolves the broker of a program with both services; `None` for `embedded:`, which is the
    /// default.
    ///
    /// # Errors
    ///
    /// The URL or a file cannot be used, one setting contradicts another, or one is about
    /// signatures.
    pub fn broker(&self, file: &File) -> Result<Option<Broker>, UsageError> {
        self.signatures(file)?.check_unused()?;
        self.broker_of_any(file)
    }

    fn broker_of_any(&self, file: &File) -> Result<Option<Broker>, UsageError> {
        let files = AccessFiles {
            ca: file.or(self.bus_ca.clone(), "bus_ca")?,
            credentials: file.or(self.bus_credentials.clone(), "bus_credentials")?,
            certificate: file.or(self.bus_cert.clone(), "bus_cert")?,
            key: file.or(self.bus_key.clone(), "bus_key")?,
        };
        match self.url(file)?.unwrap_or(BusUrl::Embedded) {
            BusUrl::Nats(url) => Broker::at(&url, files).map(Some),
            BusUrl::Embedded => files.check_unused().map(|()| None),
        }
    }

    /// Resolves the broker between the services of two processes; NATS on this machine unless
    /// configured.
    ///
    /// # Errors
    ///
    /// The URL or a file cannot be used, one setting contradicts another, or the URL is `embedded:`,
    /// which connects only services in one process.
    pub fn broker_between_processes(&self, file: &File) -> Result<Broker, UsageError> {
        let default = Self { bus_url: Some(DEFAULT_BROKER.to_owned().into()), ..self.clone() };
        let args = if self.url(file)?.is_some() { self } else { &default };
        let signatures = self.signatures(file)?.read()?;
        let broker = args.broker_of_any(file)?.map(|broker| broker.signing(signatures));
        broker.ok_or_else(|| {
            UsageError(
                "embedded: connects only services in one process; use nats:, or run both as `lastro`"
                    .to_owned(),
            )
        })
    }

    fn signatures(&self, file: &File) -> Result<SignatureSettings, UsageError> {
        let signing_key = self.bus_signing_key_file.clone();
        let verify_keys = self.bus_verify_keys_file.clone();
        Ok(SignatureSettings {
            signing_key: file.or(signing_key, "bus_signing_key_file")?,
            verify_keys: file.or(verify_keys, "bus_verify_keys_file")?,
            mode: file.or(self.bus_signatures, "bus_signatures")?,
        })
    }

    fn url(&self, file: &File) -> Result<Option<BusUrl>, UsageError> {
        file.secret("bus_url", self.bus_url.clone(), self.bus_url_file.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        File::load(Some(file.path().to_owned()), &crate::process::COMMON_KEYS).unwrap()
    }

    #[test]
    fn services_apart_need_a_broker_which_is_on_this_machine_unless_configured() {
        let none = BusArgs::default();
        let broker = none.broker_between_processes(&File::default()).unwrap();
        assert_eq!(broker.address.servers[0].port(), 4222);
        let embedded = file("bus_url = \"embedded:\"");
        assert!(none.broker_between_processes(&embedded).is_err());
        let with_ca = BusArgs { bus_ca: Some("ca.pem".into()), ..none };
        let UsageError(line) = with_ca.broker_between_processes(&File::default()).unwrap_err();
        assert!(line.starts_with("bus_ca needs encryption"), "{line}");
        let UsageError(line) = with_ca.broker(&File::default()).unwrap_err();
        assert!(line.starts_with("bus_ca is for a broker"), "{line}");
    }

    /// Both services are one program there, so neither could be told from the other.
    #[test]
    fn a_program_with_both_services_has_no_signatures() {
        for (setting, line) in [
            ("bus_signing_key_file", "bus_signing_key_file = \"key.pem\""),
            ("bus_verify_keys_file", "bus_verify_keys_file = \"keys.pub\""),
            ("bus_signatures", "bus_signatures = \"off\""),
        ] {
            for bus in ["embedded:", "nats://h"] {
                let file = file(&format!("bus_url = \"{bus}\"\n{line}"));
                let UsageError(line) = BusArgs::default().broker(&file).unwrap_err();
                assert!(
                    line.starts_with(setting) && line.contains("start order-service"),
                    "{line}"
                );
            }
        }
        let wrong = file("bus_signatures = \"on\"");
        let UsageError(line) = BusArgs::default().broker_between_processes(&wrong).unwrap_err();
        assert!(line.contains("line 1: unknown variant `on`, expected one of `off`"), "{line}");
    }
}
