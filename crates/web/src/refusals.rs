//! Requests of clients with a key that only an administrator may make: who tried, and what.

use std::net::IpAddr;
use std::sync::Arc;

use platform::keys::{Principal, Scope};
use tokio::sync::mpsc;

use crate::edge::RequestId;
use crate::requester::Requester;

/// The most refused requests that wait to be recorded. Others are not recorded.
const MAX_QUEUE: usize = 100;
/// The longest text of a request that is recorded, in characters.
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

/// Where the edge of a service tells which administrative requests it refused. No request waits for
/// whoever records them.
#[derive(Clone, Debug)]
pub struct Refusals(mpsc::Sender<RefusedRequest>);

impl Refusals {
    /// Where to tell them, and where to take them.
    pub fn new() -> (Self, mpsc::Receiver<RefusedRequest>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUE);
        (Self(sender), receiver)
    }

    pub(crate) fn tell(
        &self,
        (principal, address): (&Arc<Principal>, Option<IpAddr>),
        request_id: &RequestId,
        request: &str,
        required_scope: Option<Scope>,
    ) {
        let requester = Requester {
            actor: principal.actor.as_deref().map(str::to_owned),
            request_id: Some(request_id.as_str().to_owned()),
            address: address.map(|address| address.to_string()),
        };
        let request = request.chars().take(MAX_REQUEST).collect();
        // Whoever sends more than can be recorded is in the log already.
        let _ = self.0.try_send(RefusedRequest { requester, request, required_scope });
    }
}
