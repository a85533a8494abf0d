//! Clocks of the replicas and of their database jump, stand still and differ: only delays change.

use std::time::{Duration, SystemTime};

use testbed::{
    CLOCK_STATES, Clock, Environment, Form, PATIENCE, Postgres, clocks_for, eventually, postgres,
    set_clocks,
};

use crate::{Busy, environment_on};

#[tokio::test]
async fn clocks_that_jump_stand_still_and_differ_cost_no_order() {
    let server = Postgres::start(&[]).await;
    let environment =
        Environment { clocks: clocks_for(Form::Replicas), ..environment_on(&server).await };
    let busy = Busy::at(environment, "clocks").await;
    for state in CLOCK_STATES {
        set_clocks(&busy.shop, state).await;
        busy.accepts_more().await;
    }
    busy.check().await;
}

/// The database's clock decides what is due, and this clock is wrong.
#[tokio::test]
async fn a_clock_of_the_database_that_jumps_and_stands_still_costs_no_order() {
    let clock = Clock::right();
    let server = Postgres::start_by(&clock).await;
    let busy = Busy::at(environment_on(&server).await, "the clock of the database").await;
    let operator = postgres(&server.url("postgres")).await;
    for state in CLOCK_STATES.map(|[first, _]| first) {
        state.set(&clock);
        eventually(PATIENCE, &format!("PostgreSQL sees {state:?}"), async || {
            let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
            let micros: i64 = operator.query_one(now, &[]).await.expect("a time").get("now");
            let shown = SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs());
            state.explains(shown.into()).then_some(())
        })
        .await;
        busy.accepts_more().await;
    }
    busy.check().await;
}
