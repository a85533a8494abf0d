//! Fetches the keys of an issuer.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;

use super::jwk::{self, KeysById};
use super::settings::{TokenSettings, secure_url};
use crate::config::UsageError;
use crate::failure::Chain;
use crate::outbound;

/// How long one answer of the issuer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// An issuer's documents have a few KiB.
const MAX_BYTES: usize = 256 * 1024;

/// Where the keys of an issuer come from. Redirects are not followed.
#[derive(Debug)]
pub(super) struct Source {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    issuer: String,
    /// `oidc_jwks_url`: where the keys are, whatever the issuer says.
    jwks_url: Option<Uri>,
    /// Where they are as the issuer says. It is asked again after a fetch from there has failed.
    discovered: Mutex<Option<Uri>>,
}

impl Source {
    /// The source that the settings name. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// The file of authorities cannot be used.
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, UsageError> {
        // `secure_url` has let plain HTTP through for this machine only.
        let connector = outbound::connector("oidc_ca", settings.ca.as_deref())?;
        let mut building = Client::builder(TokioExecutor::new());
        // No connection is kept for ten minutes.
        building.pool_max_idle_per_host(0);
        let client = building.build(connector);
        let (issuer, jwks_url) = (settings.issuer.clone(), settings.jwks_url.clone());
        Ok(Self { client, issuer, jwks_url, discovered: Mutex::default() })
    }

    /// Fetches the keys, and where they are if that is not known.
    ///
    /// # Errors
    ///
    /// What went wrong, in one line.
    pub(super) async fn fetch(&self) -> Result<KeysById, String> {
        if let Some(url) = &self.jwks_url {
            return self.fetch_from(url).await;
        }
        let known = self.discovered().take();
        let url = match known {
            Some(url) => url,
            None => self.discover().await?,
        };
        let keys = self.fetch_from(&url).await?;
        *self.discovered() = Some(url);
        Ok(keys)
    }

    async fn fetch_from(&self, url: &Uri) -> Result<KeysById, String> {
        let document = self.get(url).await?;
        jwk::read(&document).map_err(|reason| format!("{url}: {reason}"))
    }

    fn discovered(&self) -> MutexGuard<'_, Option<Uri>> {
        self.discovered.lock().expect("nothing panics under this lock")
    }

    /// Asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self) -> Result<Uri, String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let url: Uri = url.parse().map_err(|_| format!("{url}: not a URL"))?;
        let document = self.get(&url).await?;
        let found: Discovery = serde_json::from_slice(&document)
            .map_err(|error| format!("{url}: not a discovery document: {error}"))?;
        if found.issuer != self.issuer {
            let (its, ours) = (found.issuer, &self.issuer);
            return Err(format!("{url}: the issuer there is {its:?}, and oidc_issuer is {ours:?}"));
        }
        secure_url("jwks_uri", &found.jwks_uri).map_err(|error| format!("{url}: {error}"))
    }

    async fn get(&self, url: &Uri) -> Result<Bytes, String> {
        let getting = async {
            let request = Request::get(url).header(header::ACCEPT, "application/json");
            let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
            let response = self.client.request(request).await;
            let response = response.map_err(|error| Chain(&error).to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("the answer is {}", response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
            body.map(|body| body.to_bytes()).map_err(|error| Chain(&*error).to_string())
        };
        match timeout(PATIENCE, getting).await {
            Ok(got) => got.map_err(|reason| format!("{url}: {reason}")),
            Err(_) => Err(format!("{url}: no answer within {PATIENCE:?}")),
        }
    }
}
