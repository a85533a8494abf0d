//! A storm on the bus, for tests.
//!
//! It exists only with the feature `fault-points`, which only development dependencies switch on: a released program
//! contains no trace of it.

#[cfg(feature = "fault-points")]
pub use storm::around;

/// The bus as it is.
#[cfg(not(feature = "fault-points"))]
pub fn around(bus: std::sync::Arc<dyn crate::bus::Bus>) -> std::sync::Arc<dyn crate::bus::Bus> {
    bus
}

#[cfg(feature = "fault-points")]
mod storm;
