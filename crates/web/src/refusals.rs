//! Requests that only an administrator may make, from clients that may not: who tried, and what.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::keys::{Principal, Scope};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::edge::RequestId;
use crate::requester::Requester;

/// The most refused requests of one client that are reported in a [`PERIOD`]: whoever records them
/// may keep them for ever, and a client may try for days.
const MAX_OF_A_CLIENT: u32 = 10;
/// The most refused requests of all clients that are reported in a [`PERIOD`].
const MAX_OF_ALL: usize = 100;
/// How long refused requests are counted together.
const PERIOD: Duration = Duration::from_secs(60);
/// The longest text of a request that is reported, in characters.
const MAX_REQUEST: usize = 200;

/// A request that its client may not make.
#[derive(Debug)]
pub struct RefusedRequest {
    /// Who made it.
    pub requester: Requester,
    /// Its method and its path.
    pub request: String,
    /// A scope that the client lacks; `None` if no scope would have been enough.
    pub required_scope: Option<Scope>,
}

/// Where the edge of a service reports which administrative requests it refused. No request waits for
/// whoever records them.
#[derive(Clone, Debug)]
pub struct Refusals {
    sender: mpsc::Sender<RefusedRequest>,
    recent: Arc<Mutex<Recent>>,
}

impl Refusals {
    /// Where to report them, and where to receive them.
    pub fn new() -> (Self, mpsc::Receiver<RefusedRequest>) {
        let (sender, receiver) = mpsc::channel(MAX_OF_ALL);
        (Self { sender, recent: Arc::default() }, receiver)
    }

    pub(crate) fn report(
        &self,
        (principal, address): (&Arc<Principal>, Option<IpAddr>),
        request_id: &RequestId,
        request: &str,
        required_scope: Option<Scope>,
    ) {
        let actor = principal.actor.as_deref();
        if !self.recent.lock().expect("nothing panics under this lock").has_room_for(actor) {
            return;
        }
        let requester = Requester {
            actor: actor.map(str::to_owned),
            request_id: Some(request_id.as_str().to_owned()),
            address: address.map(|address| address.to_string()),
        };
        let request = request.chars().take(MAX_REQUEST).collect();
        if self.sender.try_send(RefusedRequest { requester, request, required_scope }).is_err() {
            warn!("a refused administrative request is not recorded: earlier ones still wait");
        }
    }
}

/// How many requests of each client were reported in this period.
#[derive(Debug, Default)]
struct Recent {
    began: Option<Instant>,
    reported: HashMap<String, u32>,
    of_all: usize,
}

impl Recent {
    fn has_room_for(&mut self, actor: Option<&str>) -> bool {
        if self.began.is_none_or(|began| began.elapsed() >= PERIOD) {
            *self = Self { began: Some(Instant::now()), ..Self::default() };
        }
        if self.of_all == MAX_OF_ALL {
            return false;
        }
        let reported = self.reported.entry(actor.unwrap_or_default().to_owned()).or_default();
        if *reported == MAX_OF_A_CLIENT {
            return false;
        }
        *reported += 1;
        self.of_all += 1;
        if self.of_all == MAX_OF_ALL {
            warn!("more administrative requests are refused than are recorded in a minute");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_client_cannot_fill_the_log_and_all_together_can_fill_little_of_it() {
        let mut recent = Recent::default();
        let mut reported =
            |actor: &str| (0..50).filter(|_| recent.has_room_for(Some(actor))).count();
        assert_eq!((reported("key:a"), reported("key:b"), reported("key:a")), (10, 10, 0));
        tokio::time::advance(PERIOD).await;
        assert_eq!(reported("key:a"), 10);
        let users = (0..50).map(|user| format!("user:{user}"));
        let of_all: usize = users.map(|user| reported(&user)).sum();
        assert_eq!(of_all, MAX_OF_ALL - 10);
        assert!(recent.reported.len() <= MAX_OF_ALL);
    }
}
