//! What runs beside the requests: re-sending what was not answered, and taking the answers in.

pub mod listen;
pub mod settle;
pub mod sweep;

#[cfg(test)]
mod tests;
