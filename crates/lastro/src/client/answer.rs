//! The answer of a service.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::Failed;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The JSON as the service wrote it, on one line: amounts keep their decimals.
    ///
    /// # Errors
    ///
    /// The body is not JSON: something else than the service has answered.
    pub(crate) fn raw(&self) -> Result<String, Failed> {
        self.json()?;
        Ok(String::from_utf8_lossy(&self.body).trim_end().to_owned())
    }

    /// The body.
    ///
    /// # Errors
    ///
    /// The body is not JSON: something else than the service has answered.
    pub(crate) fn json(&self) -> Result<Value, Failed> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failed::line(format!(
                "the answer ({}) is not JSON: {error}\nhint: does --url name Lastro?",
                self.status
            ))
        })
    }

    /// The problem's code; empty if the answer has none.
    pub(crate) fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// How long the service asks the client to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}
