//! Named crash points: places where a test lets the process die or panic, to show that nothing is lost wherever it happens.
//!
//! They exist only with the feature `fault-points`, which only development dependencies switch on: a released program
//! contains none of them.
#![forbid(unsafe_code)]

/// A place where the process may be made to fail.
///
/// `fault_point!("orders.committed")` counts every pass; with `when condition`, only a pass on which the condition holds
/// counts; with `during` before the name, what follows runs on while the process dies.
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

/// Nothing, in a released program.
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

/// The auditors' share of the time, one part in so many: a test that waits for them asks for a larger share in
/// `LASTRO_AUDIT_SHARE`.
#[cfg(feature = "fault-points")]
pub fn audit_share(usual: u32) -> u32 {
    static SHARE: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let asked = || std::env::var("LASTRO_AUDIT_SHARE").ok().map(|text| text.parse().expect("a number"));
    SHARE.get_or_init(asked).unwrap_or(usual)
}

/// The usual share, in a released program.
#[cfg(not(feature = "fault-points"))]
pub fn audit_share(usual: u32) -> u32 {
    usual
}
