//! `lastro bench --suite`.
mod loader;
pub(crate) mod null_server;
