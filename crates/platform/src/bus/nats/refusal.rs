//! Why no server of a broker lets the client in, in a line for an operator.

use std::sync::Mutex;

use async_nats::{ConnectErrorKind, Server};

use super::access::Access;

/// What every server has answered lately: none of them will do otherwise until somebody changes a
/// setting.
#[derive(Debug)]
pub(super) struct Refusal {
    access: Access,
    line: Mutex<Option<String>>,
}

impl Refusal {
    pub(super) fn new(access: Access) -> Self {
        Self { access, line: Mutex::default() }
    }

    /// The line, if all servers were tried and one has refused.
    pub(super) fn line(&self) -> Option<String> {
        self.line.lock().expect("nothing panics under this lock").clone()
    }

    /// Takes note of how the last attempts ended. A server that was reached has no error.
    pub(super) fn note(&self, servers: &[Server]) {
        let were_tried = servers.iter().all(|server| server.last_error.is_some());
        let refused = servers.iter().find_map(|server| self.of(server));
        *self.line.lock().expect("nothing panics under this lock") = refused.filter(|_| were_tried);
    }

    fn of(&self, server: &Server) -> Option<String> {
        let error = server.last_error.as_deref()?;
        let place = server.addr.as_url_str();
        if error.starts_with(&ConnectErrorKind::AuthorizationViolation.to_string()) {
            return Some(format!("the broker at {place} {}", self.access.refused()));
        }
        if error.contains("InvalidContentType") {
            return Some(format!("the broker at {place} does not encrypt (TLS)"));
        }
        // The error of rustls, about the server's certificate or from the server about the client's.
        let is_of_tls = error.starts_with(&ConnectErrorKind::Tls.to_string())
            || error.contains("certificate")
            || error.contains("fatal alert");
        is_of_tls.then(|| {
            let error = error.rsplit_once("error: ").map_or(error, |(_, error)| error);
            format!("no encrypted connection to the broker at {place}: {error}")
        })
    }
}
