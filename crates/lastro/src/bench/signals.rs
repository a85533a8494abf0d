//! Signals: the first one ends the load and prints the report, the second one aborts the run.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns two tokens: the first SIGTERM or Ctrl-C cancels the first, the next signal the second.
///
/// The second signal does not end the process at once, as it does for a service: the bench must
/// first kill the services that it started.
///
/// # Errors
///
/// The operating system refuses the signal handlers.
pub(super) fn listen() -> std::io::Result<(CancellationToken, CancellationToken)> {
    let stop = CancellationToken::new();
    let abort = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
