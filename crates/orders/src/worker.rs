//! The workers of the Order Service: they settle orders by Inventory's answers and resend
//! unanswered commands.

pub mod listen;
pub mod settle;
pub mod sweep;

#[cfg(test)]
mod tests;
