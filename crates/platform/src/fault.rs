//! Mistakes that a test plants, and a storm on the bus.
//!
//! They exist only with the feature `fault-points`, which nothing but the simulator and the development dependencies of
//! `lastro` switch on: a program that is built to be used has no trace of them. It must not be built together with the
//! simulator (`--workspace`), which would switch it on for all.

/// A mistake that a test asks for, to show that it would be found: statements that take effect where they stand.
///
/// **Shape:** `planted!("release_twice" => statements)`. A `let` in them shadows.
#[cfg(feature = "fault-points")]
#[macro_export]
macro_rules! planted {
    ($name:literal => let $binding:ident = $wrong:expr) => {
        let $binding = if $crate::fault::is_planted($name) { $wrong } else { $binding };
    };
    ($name:literal => $wrong:expr) => {
        if $crate::fault::is_planted($name) {
            $wrong;
        }
    };
}

/// Nothing, in a program that is built to be used.
#[cfg(not(feature = "fault-points"))]
#[macro_export]
macro_rules! planted {
    ($($mistake:tt)*) => {};
}

#[cfg(feature = "fault-points")]
pub use mistake::{is_planted, plant, told_before};
#[cfg(feature = "fault-points")]
pub use storm::around;

/// The bus as it is.
#[cfg(not(feature = "fault-points"))]
pub fn around(bus: std::sync::Arc<dyn crate::bus::Bus>) -> std::sync::Arc<dyn crate::bus::Bus> {
    bus
}

#[cfg(feature = "fault-points")]
mod storm;

/// Which mistake is made. Each thread has its own: whoever plants one runs both services on its thread.
#[cfg(feature = "fault-points")]
mod mistake {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
        static TOLD: RefCell<HashMap<String, (i64, i64)>> = RefCell::default();
    }

    /// From now on this mistake is made on this thread, or none.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name);
        TOLD.take();
    }

    pub fn is_planted(name: &str) -> bool {
        PLANTED.get() == Some(name)
    }

    /// What this function was told about the same thing the time before: old news.
    pub fn told_before(about: String, news: (i64, i64)) -> (i64, i64) {
        TOLD.with_borrow_mut(|reported| reported.insert(about, news)).unwrap_or(news)
    }
}
