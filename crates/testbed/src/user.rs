//! The user that runs the tests.

/// Whether this process is root, which may mount disks and to which permissions do not apply.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
