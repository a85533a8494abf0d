//! SIGKILL during an SQLite checkpoint: under load, and when a program starts on the log of a
//! killed one.
//!
//! PostgreSQL's checkpoints are not tested here.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use testbed::{Deployment, Form, Load, PATIENCE, Random, Record, data_in, stocked};
use tokio::time::Instant;

use crate::log::{Log, TakenOver};

tried_on!(forms with files, on several threads:
    a_kill_while_the_log_of_orders_is_taken_over_costs_no_order
    a_kill_while_the_log_of_stock_is_taken_over_costs_no_order
);

/// Kills may come too late on a busy machine, so the test repeats them this long, with longer and
/// longer logs.
const TRIED: Duration = Duration::from_secs(1200);
/// The pages that are added to the first log, so that orders need not fill it, and the most pages.
const PAGES: RangeInclusive<u32> = 7_500..=60_000;
/// How long it may take until a checkpoint begins.
const GROWTH: Duration = Duration::from_secs(120);
const STOCK: u32 = 1_000_000;

async fn a_kill_while_the_log_of_orders_is_taken_over_costs_no_order(form: Form) {
    check(form, "orders.db").await;
}

async fn a_kill_while_the_log_of_stock_is_taken_over_costs_no_order(form: Form) {
    check(form, "inventory.db").await;
}

async fn check(form: Form, file: &str) {
    let mut random = Random::seeded(file);
    let mut shop = Arc::new(stocked(Deployment::in_form(form).await, STOCK).await);
    let log = Log::of(data_in(shop.folder()).join(file));
    let mut record = Record::default();
    let (mut under_load, mut at_the_start) = (None, None);
    let (first, mut round, mut pages) = (Instant::now(), 1, *PAGES.start());
    while under_load.is_none() || at_the_start.is_none() {
        let begun = Instant::now();
        assert!(begun - first < TRIED, "no kill fell into a checkpoint within {TRIED:?}");
        let (clients, killed) = killed_under_load(&mut shop, &log, pages, &mut random).await;
        record.append(clients);
        println!(
            "{file}, round {round}: killed under load at {killed:?}, log of {} bytes",
            log.length()
        );
        under_load = under_load.or(killed);
        must_be_sound(&log);
        let killed = killed_at_the_start(&shop, &log).await;
        println!("{file}, round {round}: killed at the start at {killed:?}");
        at_the_start = at_the_start.or(killed);
        must_be_sound(&log);
        Arc::get_mut(&mut shop).expect("no client is left").reopen().await;
        println!("  the round took {:?}", begun.elapsed());
        // A longer log takes longer to copy, which gives the killer more time.
        (round, pages) = (round + 1, (2 * pages).min(*PAGES.end()));
    }
    record.check(&shop).await;
    shop.programs.kill();
    Arc::get_mut(&mut shop).expect("no client is left").programs.ended(PATIENCE).await;
    must_be_sound(&log);
}

/// The file together with its log must be sound, wherever a checkpoint was interrupted. The state
/// of the file without its log is only printed: the file may be half of one state and half of
/// another.
fn must_be_sound(log: &Log) {
    let (whole, alone) = log.damage();
    println!("  complaints about the file with its log: {}, without: {}", whole.len(), alone.len());
    assert_eq!(whole, [""; 0]);
}

/// Kills the shop under load when the next checkpoint has begun to write. Returns the clients'
/// record, and how far the checkpoint was, unless the kill came too late.
async fn killed_under_load(
    shop: &mut Arc<Deployment>,
    log: &Log,
    pages: u32,
    random: &mut Random,
) -> (Record, Option<TakenOver>) {
    // Even the next commit may start a checkpoint of a long log, before any client has ordered.
    let before = log.file_written();
    log.grow(pages);
    let load = Load::on(shop, random);
    let (watched, killing) = (log.clone(), shop.clone());
    let watching = tokio::task::spawn_blocking(move || {
        kill_once(
            || watched.file_written() != before,
            "the file is written",
            || killing.programs.kill(),
        );
    });
    watching.await.expect("the file is written");
    let record = load.end().await;
    Arc::get_mut(shop).expect("no client is left").programs.ended(PATIENCE).await;
    (record, Some(log.taken_over()).filter(|taken_over| taken_over.is_partial()))
}

/// Starts the shop on its files and kills it when its first checkpoint has begun to write. Returns
/// how far the checkpoint was, unless the kill came too late.
async fn killed_at_the_start(shop: &Deployment, log: &Log) -> Option<TakenOver> {
    let (before, length) = (log.file_written(), log.length());
    let mut programs: Vec<_> = shop.launches().into_iter().map(testbed::Launch::begun).collect();
    let watched = log.clone();
    let watching = tokio::task::spawn_blocking(move || {
        kill_once(
            || watched.file_written() != before,
            "the file is written",
            || {
                programs.iter_mut().for_each(|program| program.start_kill().expect("it runs"));
            },
        );
        programs
    });
    for program in &mut watching.await.expect("the file is written") {
        program.wait().await.expect("a child can be waited for");
    }
    // A starting program assumes that no page of the log was copied; it truncates the log once all
    // pages were.
    let taken_over = log.taken_over();
    (taken_over.done == 0 && length > 0 && log.length() == length).then_some(taken_over)
}

/// Polls without a pause, because a checkpoint takes only milliseconds.
fn kill_once(condition: impl Fn() -> bool, what: &str, kill: impl FnOnce()) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < GROWTH, "not within {GROWTH:?}: {what}");
        std::thread::yield_now();
    }
    kill();
}
