//! Who sends a request, for what a service records about it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use platform::keys::Principal;

use crate::edge::RequestId;
use crate::slots::Slot;

/// Where a request comes from, as an extension of the request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The address of the client: that of the connection, until the edge has asked what trusted
    /// proxies say.
    pub(crate) address: IpAddr,
    /// The connection; `None` for a request from within the process.
    pub(crate) slot: Option<Arc<Slot>>,
}

/// Who sends a request, as far as the edge knows.
#[derive(Clone, Debug)]
pub struct Requester {
    /// Who it is; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from; behind trusted proxies, what they say.
    pub address: Option<String>,
}

impl From<Requester> for platform::admin::Requester {
    fn from(requester: Requester) -> Self {
        let Requester { actor, request_id, address } = requester;
        Self { actor, request_id, address }
    }
}

impl<S: Sync> FromRequestParts<S> for Requester {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let found = &parts.extensions;
        let principal = found.get::<Arc<Principal>>();
        Ok(Self {
            actor: principal.and_then(|it| it.actor.as_deref()).map(str::to_owned),
            request_id: found.get::<RequestId>().map(|id| id.as_str().to_owned()),
            address: found.get::<Origin>().map(|origin| origin.address.to_string()),
        })
    }
}
