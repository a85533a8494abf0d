//! Clocks of the replicas and of their database jump, stand still and differ: only delays change.

use testbed::{Clock, PATIENCE, Postgres, eventually, postgres};

use crate::clocks::{STATES, clocks, set};
use crate::form::{Form, Setting};
use crate::{Busy, setting_on};

#[tokio::test]
async fn clocks_that_jump_stand_still_and_differ_cost_no_order() {
    let server = Postgres::start(&[]).await;
    let setting = Setting { clocks: clocks(Form::Replicas), ..setting_on(&server).await };
    let busy = Busy::at(setting, "clocks").await;
    for state in STATES {
        set(&busy.shop, state).await;
        busy.accepts_more().await;
    }
    busy.check().await;
}

/// What is due is the database's to say, and it is wrong.
#[tokio::test]
async fn a_clock_of_the_database_that_jumps_and_stands_still_costs_no_order() {
    let clock = Clock::right();
    let server = Postgres::start_by(&clock).await;
    let busy = Busy::at(setting_on(&server).await, "the clock of the database").await;
    let operator = postgres(&server.url("postgres")).await;
    for goes in STATES.map(|[first, _]| first) {
        goes.set(&clock);
        eventually(PATIENCE, &format!("PostgreSQL sees {goes:?}"), async || {
            let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
            let reported: i64 = operator.query_one(now, &[]).await.expect("a time").get(0);
            goes.explains(platform::clock::Timestamp(reported)).then_some(())
        })
        .await;
        busy.accepts_more().await;
    }
    busy.check().await;
}
