//! What runs beside the requests: executing the Order Service's commands, and watching what the
//! service stands on.

pub mod execute;
pub mod health_check;

#[cfg(test)]
mod tests;
