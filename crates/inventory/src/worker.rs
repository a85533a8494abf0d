//! The workers of the Inventory Service: they execute the Order Service's commands and check the
//! service's dependencies.

pub mod execute;
pub mod health_check;

#[cfg(test)]
mod tests;
