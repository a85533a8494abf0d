//! The clients' requests to the services.

pub(crate) mod changes;
pub(crate) mod feed;
pub(crate) mod orders;
pub(crate) mod stock;

/// How often a client repeats a request on its own.
const MAX_ATTEMPTS: usize = 4;
