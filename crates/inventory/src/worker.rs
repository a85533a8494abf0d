//! What runs beside the requests: executing the Order Service's commands, and watching what the service stands on.

pub mod execute;
pub mod lookout;

#[cfg(test)]
mod tests;
