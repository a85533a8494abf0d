//! What tests and benchmarks stand on: deadlines instead of sleeps, and programs that are gone when their test is.
#![forbid(unsafe_code)]

use std::time::Duration;

pub use clock::Clock;
pub use commits::{Commits, Cut};
pub use disk::Disk;
pub use interleavings::Race;
pub use launch::{Ended, Launch};
pub use nats::{Nats, nats_url};
pub use postgres::{Postgres, fresh_database, postgres, postgres_url};
pub use program::Program;
pub use proxy::Proxy;
pub use tampering::write_past;
pub use tool::Tool;

mod clock;
mod commits;
mod disk;
mod interleavings;
mod launch;
mod nats;
mod ports;
mod postgres;
mod program;
mod proxy;
mod tampering;
mod tool;

/// How long a test waits for what must happen, also on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `condition` again and again until it gives a value, or panics with `what` when `deadline` has passed.
pub async fn eventually<T, R>(deadline: Duration, what: &str, mut condition: impl FnMut() -> R) -> T
where
    R: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(deadline, asking).await {
        Ok(value) => value,
        Err(_) => panic!("not within {deadline:?}: {what}"),
    }
}
