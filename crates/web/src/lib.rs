//! The HTTP edge of both services: a server with limits, one middleware around all routes
//! ([`edge`]), strict readers of bodies, query strings and headers, problem documents, the paths
//! that every service has ([`probes`], [`docs`]), and the frame of a serving program ([`program`]).
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::missing_errors_doc)]

pub use auth::{Access, Authenticator, Rule, require};
pub use edge::{Edge, RequestId, Site, TraceParent};
pub use headers::{
    Conditions, IDEMPOTENT_REPLAYED, Wait, conditions, idempotency_key, preferred_wait,
    required_idempotency_key,
};
pub use json::{Json, JsonBytes, MAX_BODY_BYTES, OptionalJson, read_json, read_optional_json};
pub use limits::count_search;
pub use lines::{Gone, Lines, NDJSON};
pub use query::Query;
pub use refusals::{Refusals, RefusedRequest};
pub use requester::Requester;
pub use server::{CannotListen, bind, serve_probes};
pub use upload::{Unreadable, Upload};

pub mod admin_log;
pub mod audit;
pub mod body;
pub mod cursor;
pub mod docs;
pub mod edge;
pub mod feed;
pub mod notes;
pub mod page;
pub mod probes;
pub mod problem;
pub mod program;
pub mod quarantine;
pub mod static_file;

mod anonymous;
mod arriving;
mod auth;
mod description;
mod headers;
mod index;
mod json;
mod limits;
mod lines;
mod query;
mod refusals;
mod requester;
mod sending;
mod server;
mod silence;
mod slots;
mod unreadable;
mod upload;
