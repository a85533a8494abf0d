//! HTTP as both services speak it: a server with limits, one middleware around everything ([`edge`]), strict readers
//! of bodies, query strings and headers, and the paths that every service has ([`probes`], [`docs`]).

pub use edge::{Edge, RequestId, TraceParent};
pub use headers::{IDEMPOTENT_REPLAYED, Wait, idempotency_key, preferred_wait};
pub use json::{Json, MAX_BODY_BYTES, OptionalJson, read_json, read_optional_json};
pub use places::raise_open_files;
pub use query::Query;
pub use server::{CannotListen, bind, serve};

pub mod cursor;
pub mod docs;
pub mod edge;
pub mod page;
pub mod probes;

mod headers;
mod json;
mod places;
mod query;
mod server;
