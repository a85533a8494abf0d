//! Clocks of the replicas jump, stand still and differ: only delays change.

use testbed::{Clock, Postgres};

use crate::form::Setting;
use crate::{Busy, setting_on};

#[tokio::test]
async fn clocks_that_jump_stand_still_and_differ_cost_no_order() {
    let server = Postgres::start(&[]).await;
    let clocks = vec![Clock::right(), Clock::right()];
    let busy = Busy::at(Setting { clocks, ..setting_on(&server).await }, "clocks").await;
    for [first, second] in [
        ["+1h", "+0"],
        ["-1h", "+1h"],
        ["+1y", "-1y"],
        ["2026-01-01 00:00:00", "+0"],
        ["-1y", "2027-01-01 00:00:00"],
        ["+0", "+0"],
    ] {
        let clocks = &busy.shop.setting.clocks;
        clocks[0].set(first);
        clocks[1].set(second);
        busy.accepts_more().await;
    }
    busy.check().await;
}
