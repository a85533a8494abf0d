//! What does not hold.

/// A promise that a state, or the step into it, has broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// `INV-1` to `INV-8`, or the rule of the protocol that the invariants rest on.
    pub(super) promise: &'static str,
    pub(super) what: String,
}

pub(super) fn broken<T>(promise: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { promise, what: what.into() })
}
