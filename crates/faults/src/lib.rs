//! Named crash points, at which a test makes the process die or panic, to prove that no data is
//! lost.
//!
//! They exist only with the feature `fault-points`, which only development dependencies enable: a
//! released program contains none of them.
#![forbid(unsafe_code)]

/// Marks a crash point.
///
/// `fault_point!("orders.committed")` counts every pass. With `when condition`, only passes with a
/// true condition count. With `during` before the name, the code after it runs on while the process
/// dies.
#[cfg(feature = "fault-points")]
#[macro_export]
macro_rules! fault_point {
    ($name:literal $(, when $condition:expr)?) => {
        if true $(&& $condition)? { $crate::reached($name); }
    };
    (during $name:literal $(, when $condition:expr)?) => {
        if true $(&& $condition)? { $crate::begun($name); }
    };
}

/// Expands to nothing in a released program.
#[cfg(not(feature = "fault-points"))]
#[macro_export]
macro_rules! fault_point {
    ($name:literal $(, when $condition:expr)?) => {};
    (during $name:literal $(, when $condition:expr)?) => {};
}

#[cfg(feature = "fault-points")]
mod armed;
#[cfg(feature = "fault-points")]
pub use armed::{begun, reached};

/// The auditors' share of the time, as one part in the returned number. A test that waits for the
/// auditors requests a larger share with `LASTRO_AUDIT_SHARE`.
#[cfg(feature = "fault-points")]
pub fn audit_share(usual: u32) -> u32 {
    static SHARE: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let requested =
        || std::env::var("LASTRO_AUDIT_SHARE").ok().map(|text| text.parse().expect("a number"));
    SHARE.get_or_init(requested).unwrap_or(usual)
}

/// Returns the usual share in a released program.
#[cfg(not(feature = "fault-points"))]
pub fn audit_share(usual: u32) -> u32 {
    usual
}
