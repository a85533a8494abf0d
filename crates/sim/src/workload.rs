//! What clients ask of the services.

pub(crate) mod orders;
pub(crate) mod stock;

/// How often a client repeats a request by itself.
const MAX_ATTEMPTS: usize = 4;
