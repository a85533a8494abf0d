//! SIGKILL at each crash point, under random load.

use std::sync::Arc;

use testbed::{Deployment, Form, Random, killed_at, stocked, with_crash_points};

/// Makes a test for each crash point and form, named after the crash point.
macro_rules! tests {
    ($($name:ident: $point:literal,)+) => {
        $(async fn $name(form: Form) {
            check(form, $point).await;
        })+

        tried_on!(every form: $($name)+);
    };
}

with_crash_points!(tests);

/// The crash happens in one of this many first passes.
const MAX_PASSES: u64 = 30;

async fn check(form: Form, point: &str) {
    let shop = stocked(Deployment::in_form(form).await, 500).await;
    let random = &mut Random::seeded(point);
    let (shop, mut record) = killed_at(point, MAX_PASSES, shop, random).await;
    record.check(&Arc::new(shop)).await;
}
