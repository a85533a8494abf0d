//! A decider that panics costs its transaction (R11). In the search it is a violation, with its
//! path.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What `decide` returns, or nothing if it panics. The panic is not printed.
pub(super) fn caught<T>(decide: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_EXPECTED.get() {
                usual(panic);
            }
        }));
    });
    IS_EXPECTED.set(true);
    let decided = catch_unwind(AssertUnwindSafe(decide)).ok();
    IS_EXPECTED.set(false);
    decided
}
