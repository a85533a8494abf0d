//! For tests: throwaway servers, proxies and clocks, the two services in each of their forms, and
//! clients that record the answers that they get.
//!
//! A test waits for a condition with [`eventually`] and never for a fixed time.
#![forbid(unsafe_code)]

use std::time::Duration;

pub use clock::Clock;
pub use clock_states::{CLOCK_STATES, ClockState, YEAR, clocks_for, parse_time, set_clocks};
pub use collector::{CollectedSpan, Collector};
pub use commits::{Commits, Cut};
pub use content::{Content, PRODUCTS};
pub use crashing::killed_at;
pub use deployment::client::{Headers, JSON, WAIT, operations, order, with_payment};
pub use deployment::environment::{Databases, Environment};
pub use deployment::form::Form;
pub use deployment::programs::Programs;
pub use deployment::{
    Deployment, Held, copy_of_data, data_in, lastro, launch, launches, program_under_test, verify,
    with_busy_auditors,
};
pub use disk::Disk;
pub use event_stream::{EventMessage, EventStream};
pub use interleavings::Race;
pub use issuer::{AUDIENCE, Behaviour, Issuer, IssuerKey, base64url};
pub use jwt_operator::{Credentials, JwtOperator};
pub use launch::{Ended, Launch};
pub use load::{Load, stocked};
pub use nats::{Nats, nats_url};
pub use operator::{ANSWERS, COMMANDS, Message, Operator, Recording};
pub use ports::Port;
pub use postgres::{
    Postgres, as_role, copy_of_database, fresh_database, must_be_ready_for_publication, postgres,
    postgres_url,
};
pub use program::Program;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use random::Random;
pub use raw_connection::{RawConnection, ResponseReader, max_connections, order_request};
pub use record::{Record, nothing_in_flight};
pub use response::{Response, members};
pub use storm::{Storm, StormAtBroker};
pub use tampering::{quarantined, write_past};
pub use tool::Tool;

mod clock;
mod clock_states;
mod collector;
mod commits;
mod content;
mod crashing;
mod deployment;
mod disk;
mod event_stream;
pub mod golden;
mod interleavings;
mod issuer;
mod jwt_operator;
mod launch;
mod load;
mod nats;
mod operator;
mod ports;
mod postgres;
mod program;
mod prometheus;
mod proxy;
mod random;
mod raw_connection;
mod record;
mod response;
mod storm;
mod tampering;
mod tool;
mod user;

/// How long a test waits for what must happen, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `condition` again and again until it returns a value.
///
/// # Panics
///
/// Panics with `what` if there is no value within `deadline`.
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
