//! Ctrl-C: once for the result so far, twice for the end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The first token is cancelled by the first SIGTERM or Ctrl-C, the second one by another.
///
/// **Shape:** the second does not end the process at once, as it does for a service: a shop of its own is running, in
/// processes that must not be left behind.
pub(super) fn listen() -> std::io::Result<(CancellationToken, CancellationToken)> {
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tokens = [stop.clone(), abort.clone()];
    tokio::spawn(async move {
        for token in tokens {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            token.cancel();
        }
    });
    Ok((stop, abort))
}
