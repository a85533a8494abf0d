//! SIGKILL at each named place, under random load.

use std::sync::Arc;

use crate::crashing::{killed_at, with_crash_points};
use crate::load::stocked;
use crate::random::Random;
use crate::shop::Shop;

/// A test for every place, named after it.
macro_rules! tests {
    ($($name:ident: $point:literal,)+) => {
        $(#[tokio::test]
        async fn $name() {
            check($point).await;
        })+
    };
}

with_crash_points!(tests);

/// Passes of the place before the one that kills, at most.
const MAX_PASSES: u64 = 30;

async fn check(point: &str) {
    let shop = stocked(Shop::open().await, 500).await;
    let (shop, mut reported) = killed_at(point, MAX_PASSES, shop, &mut Random::seeded(point)).await;
    reported.check(&Arc::new(shop)).await;
}
