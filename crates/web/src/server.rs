//! The accept loop. `axum::serve` has no timeout for headers, so a client could hold a connection
//! for ever.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use platform::clock::Ids;
use platform::config::ListenAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::arriving::Arriving;
use super::limits::Limits;
use super::requester::Origin;
use super::sending;
use super::silence::{Heard, Silence};
use super::slots::{Slot, Slots};
use super::unreadable::Answers;

/// The most memory for the headers of a request, and for what is read and sent at a time.
const BUFFER_BYTES: usize = 48 * 1024;
/// How long requests in flight may take to finish after the shutdown begins (R19).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause after an error of the listener, such as no free file descriptors: an immediate retry
/// would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server cannot listen on an address. The message is one line with the reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; choose another address with --listen")]
pub struct CannotListen {
    address: ListenAddr,
    reason: String,
}

/// Binds a listener to the address.
///
/// # Errors
///
/// The address is in use, is not one of this machine, or is not permitted.
pub async fn bind(address: &ListenAddr) -> Result<TcpListener, CannotListen> {
    TcpListener::bind(address.as_str()).await.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "address already in use".to_owned(),
            ErrorKind::AddrNotAvailable => "not an address of this machine".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        CannotListen { address: address.clone(), reason }
    })
}

/// How a listener is served.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) slots: Arc<Slots>,
    /// How many connections an address may hold.
    pub(crate) limits: Arc<Limits>,
    /// Makes the request ids of requests that cannot be read.
    pub(crate) ids: Arc<dyn Ids>,
    /// How long a connection without a request is kept.
    pub(crate) idle_timeout: Duration,
}

/// Serves probes as [`serve`] serves an API, with a quarter of its connections.
///
/// # Errors
///
/// None at present: after an error of the listener, the server retries.
pub async fn serve_probes(
    listener: TcpListener,
    router: Router,
    ids: Arc<dyn Ids>,
    idle_timeout: Duration,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let slots = Slots::for_probes();
    let serving = Serving { slots, limits: Arc::default(), ids, idle_timeout };
    serve(listener, router, serving, shutdown).await
}

/// Serves HTTP/1.1 until `shutdown`, then stops accepting connections, lets requests in flight
/// finish, and returns.
///
/// Connections that are still open after 20 s of the shutdown, or when the future is dropped, are
/// closed. At the limit of connections, each new connection closes the one that has been idle for
/// longest, or has sent nothing of a long answer for longest; one whose client still sends a body
/// counts as idle, and those without a key go first (R17).
///
/// # Errors
///
/// None at present: after an error of the listener, the server retries.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    serving: Serving,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let _cut_when_done = cut.clone().drop_guard();
    loop {
        let (stream, peer, slot) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &serving) => accepted,
        };
        let watcher = connections.watcher();
        let silence = Silence::new(serving.idle_timeout);
        let stream = Answers::on(Heard { stream, silence }, serving.ids.clone());
        tokio::spawn(serve_connection(stream, peer, slot, router.clone(), watcher, cut.clone()));
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        warn!(
            timeout_s = DRAIN_TIMEOUT.as_secs(),
            "requests in flight did not finish in time, closing their connections"
        );
    }
    Ok(())
}

/// Serves one connection until it ends, until another connection needs its slot, or until `cut`.
async fn serve_connection(
    stream: Answers<Heard>,
    peer: IpAddr,
    slot: Slot,
    router: Router,
    watcher: Watcher,
    cut: CancellationToken,
) {
    let evicted = slot.evicted();
    let silence = stream.stream.silence.clone();
    let slot = Arc::new(slot);
    let (counted, silent) = (slot.clone(), silence.clone());
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Origin { address: peer, slot: Some(slot.clone()) });
        silence.becomes_busy();
        let request = request.map(|body| Arriving::on(&slot, &silence, body));
        let (slot, silence) = (slot.clone(), silence.clone());
        let answer = service.call(request);
        async move {
            let mut answer = answer.await;
            if let (true, Ok(response)) = (slot.is_spare(), &mut answer) {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            slot.becomes_idle();
            silence.becomes_idle();
            answer.map(|answer| sending::watched(answer, &slot))
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = watcher.watch(connection) => if let Err(error) = ended { debug!(%error, "connection failed") },
        () = silent.is_over() => debug!("closed a connection that was silent for too long"),
        () = evicted.cancelled() => debug!("closed an idle connection to make room for a new one"),
        () = counted.counts_after_grace() => {}
        () = cut.cancelled() => {}
    }
}

async fn accept(listener: &TcpListener, serving: &Serving) -> (TcpStream, IpAddr, Slot) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = peer.ip().to_canonical();
                let Some(slot) = serving.slots.take(serving.limits.holder(peer)).await else {
                    debug!(%peer, "closed a connection of an address that has too many requests in flight");
                    continue;
                };
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "cannot set TCP_NODELAY, responses on this connection may be delayed");
                }
                return (stream, peer, slot);
            }
            Err(error) if is_of_one_connection(&error) => {
                debug!(%error, "client disconnected before its connection was accepted");
            }
            Err(error) => {
                warn!(%error, "accepting a connection failed, retrying");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests;
