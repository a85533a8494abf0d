//! The health check of a container: the program, started with `--health-check`, asks the running
//! one, so that the image needs neither a shell nor curl.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use platform::process::{HttpSettings, ProgramError};

/// How long the running program may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the program that serves like this whether it is ready. A degraded program is
/// ready.
///
/// # Errors
///
/// The program is not ready or does not answer.
pub async fn check_health(http: &HttpSettings) -> Result<(), ProgramError> {
    let address = http.metrics_listen.as_ref().unwrap_or(&http.listen).from_this_machine();
    let failed = |reason: String| ProgramError::Failed(format!("{address} is not ready: {reason}"));
    let asked = tokio::time::timeout(PATIENCE, readiness(address.as_str())).await;
    match asked.map_err(|_| failed(format!("no answer within {PATIENCE:?}")))? {
        Ok(StatusCode::OK) => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

async fn readiness(address: &str) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut requests, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/readyz").header("host", address).body(Empty::<Bytes>::new())?;
    let status = requests.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
