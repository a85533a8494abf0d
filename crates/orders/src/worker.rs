//! The workers of the Order Service: they settle orders by Inventory's answers, resend unanswered
//! commands, let orders expire, and check the service's dependencies.

pub mod deadlines;
pub mod deferred;
pub mod health_check;
pub mod listen;
pub mod settle;
pub mod sweep;

#[cfg(test)]
mod tests;
