//! The options of every command that talks to the services.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use platform::config::{UsageError, client_tls, trusted_authorities};
use rustls::RootCertStore;

use super::{BaseUrl, Client};
use crate::output::note;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: shorter than the services do.
const IDLE: Duration = Duration::from_secs(5);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// The variable with the key itself.
const KEY_VARIABLE: &str = "LASTRO_KEY";
const KEY_FILE_VARIABLE: &str = "LASTRO_KEY_FILE";

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Where the services are: a gateway, `lastro`, or the Order Service
    #[arg(
        long,
        env = "LASTRO_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        global = true
    )]
    url: BaseUrl,
    /// Where the Inventory Service is, if no gateway joins the two [default: as --url]
    #[arg(long, env = "LASTRO_INVENTORY_URL", value_name = "URL", global = true)]
    inventory_url: Option<BaseUrl>,
    /// A file with the API key or access token [default: the key in the variable LASTRO_KEY, if it
    /// is set]
    #[arg(long, env = KEY_FILE_VARIABLE, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// Trust the authorities of this PEM file alone [default: those of the system]
    #[arg(long, env = "LASTRO_CA_FILE", value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// How long a request may take in all, its repeats included
    #[arg(
        long,
        env = "LASTRO_TIMEOUT",
        value_name = "TIME",
        default_value = "60s",
        value_parser = timeout,
        global = true
    )]
    timeout: Duration,
    /// As JSON, as the API answers it; lists as one line per item
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

fn timeout(text: &str) -> Result<Duration, String> {
    time_up_to(text, LONGEST_TIMEOUT)
}

/// A time that a user has written, and that is no longer than this.
///
/// # Errors
///
/// It is no time, or it is longer.
pub(crate) fn time_up_to(text: &str, longest: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > longest {
        return Err(format!("it is {} at most", humantime::format_duration(longest)));
    }
    Ok(time)
}

impl ConnectArgs {
    /// The client that the options describe. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub(crate) fn client(&self) -> Result<Client, UsageError> {
        let inventory = self.inventory_url.as_ref().unwrap_or(&self.url);
        let credential = self.credential()?;
        if credential.is_some() {
            for url in [&self.url, inventory].iter().filter(|it| it.is_readable_on_the_way()) {
                note(format_args!("warning: the key is sent to {url} unencrypted; use https://"));
            }
        }
        let mut client = Client::of(self.url.clone(), inventory.clone(), self.ca_file.as_deref())?;
        client.credential = credential;
        client.timeout = self.timeout;
        Ok(client)
    }

    fn credential(&self) -> Result<Option<HeaderValue>, UsageError> {
        let variable = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        let key = match (&self.key_file, variable) {
            (Some(file), Some(_)) if is_variable(file) => {
                let line = "LASTRO_KEY and LASTRO_KEY_FILE exclude each other";
                return Err(UsageError(line.to_owned()));
            }
            (Some(file), _) => read_key(file)?,
            (None, Some(key)) => key,
            (None, None) => return Ok(None),
        };
        let value = HeaderValue::from_str(&format!("Bearer {}", key.trim()));
        let mut value =
            value.map_err(|_| UsageError("the key is not a line of ASCII".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Whether the file is named by the variable, and not by the flag.
fn is_variable(file: &Path) -> bool {
    std::env::var_os(KEY_FILE_VARIABLE).is_some_and(|value| value == file)
}

fn read_key(file: &Path) -> Result<String, UsageError> {
    let unusable = |error: &dyn std::fmt::Display| {
        UsageError(format!("the file of the key, {}: {error}", file.display()))
    };
    let key = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    if key.trim().is_empty() {
        return Err(unusable(&"it is empty"));
    }
    let mode = fs::metadata(file).map(|file| file.permissions().mode()).unwrap_or_default();
    if mode & 0o004 != 0 {
        let file = file.display();
        note(format_args!(
            "warning: every user of this machine can read the key: chmod o-r {file}"
        ));
    }
    Ok(key)
}

impl Client {
    /// A client of both services at one address, without a key.
    ///
    /// # Errors
    ///
    /// There is no TLS.
    pub(crate) fn at(url: BaseUrl) -> Result<Self, UsageError> {
        Self::of(url.clone(), url, None)
    }

    /// A client without a key.
    ///
    /// # Errors
    ///
    /// The file of authorities cannot be used.
    fn of(
        orders: BaseUrl,
        inventory: BaseUrl,
        authorities: Option<&Path>,
    ) -> Result<Self, UsageError> {
        // Those of the system are read only if they are needed.
        let encrypts = [&orders, &inventory].iter().any(|url| url.is_encrypted());
        let roots = match authorities {
            None if !encrypts => RootCertStore::empty(),
            file => trusted_authorities("ca_file", file)?,
        };
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECTING));
        plain.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(client_tls(roots)?).https_or_http();
        let connector = connector.enable_http1().wrap_connector(plain);
        let mut building = HttpClient::builder(TokioExecutor::new());
        building.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let (credential, timeout) = (None, Duration::from_secs(60));
        Ok(Self { http: building.build(connector), orders, inventory, credential, timeout })
    }
}
