//! The course of a world: clients send requests and read events while faults happen. Then the
//! faults stop, and everything must settle and stay settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::CHANNELS;

use crate::broker::Wipe;
use crate::config::Fault;
use crate::random::Random;
use crate::states::broken;
use crate::verdict;
use crate::workload::{changes, feed, orders, stock};
use crate::world::World;

/// The virtual time within which everything must settle once faults have stopped.
const SETTLING: Duration = Duration::from_secs(2 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The virtual time within which all messages must be acknowledged once all have arrived.
const DRAINING: Duration = Duration::from_secs(1800);

/// Plays to the end, or to the first violation.
pub(crate) async fn play(world: Arc<World>) {
    world.nodes().into_iter().for_each(|node| world.boot(node));
    let injected = world.clone();
    world.executor.spawn(None, async move { inject_until_stopped(&injected).await });
    let readers = feed::begin(&world);
    stock::set_up(&world).await;
    people(&world).await;
    readers.rest();
    world.stop_faults();
    settle(&world).await;
    if world.monitor.violation().is_some() {
        return;
    }
    orders::browse(&world).await;
    replay_yesterday(&world).await;
    drain(&world).await;
    readers.finish(&world).await;
    world.monitor.require(verdict::on(&world));
}

/// Runs customers and the warehouse concurrently, until each has sent its requests.
async fn people(world: &Arc<World>) {
    let busy = Arc::new(AtomicU64::new(0));
    let begin = |at_stock: bool| {
        busy.fetch_add(1, Ordering::Relaxed);
        let world = world.clone();
        let busy = busy.clone();
        world.clone().executor.spawn(None, async move {
            for _ in 0..world.config.requests {
                let longest = *world.random.pick(&[5, 100, world.config.rest_ms]);
                tokio::time::sleep(world.random.millis(0..=longest)).await;
                if at_stock { stock::request(&world).await } else { orders::request(&world).await }
            }
            busy.fetch_sub(1, Ordering::Relaxed);
        });
    };
    (0..world.config.customers).for_each(|_| begin(false));
    begin(true);
    let is_busy = || busy.load(Ordering::Relaxed) > 0 || world.history().payers > 0;
    while is_busy() && world.monitor.violation().is_none() {
        tokio::time::sleep(world.trace.stretch(Duration::from_millis(100))).await;
    }
}

async fn inject_until_stopped(world: &Arc<World>) {
    let random = Random::of(world.config.seed, "mischief");
    let longest = (world.config.rest_ms / 20).max(4_000);
    while !world.faults.have_stopped() {
        tokio::time::sleep(world.trace.stretch(random.millis(50..=longest))).await;
        for fault in [Fault::Wipes, Fault::Outages, Fault::Replays, Fault::Clocks] {
            // Drawn every few seconds, and so with a higher chance than for a single message.
            if !world.faults.have_stopped()
                && world.config.has(fault)
                && random.below(600) < 100 + world.config.per_mille(fault)
            {
                inject(world, fault, &random);
            }
        }
    }
}

fn inject(world: &Arc<World>, fault: Fault, random: &Random) {
    let channel = *random.pick(&CHANNELS);
    match fault {
        Fault::Wipes => {
            let what = *random.pick(&[Wipe::Everything, Wipe::Stream, Wipe::Consumer]);
            world.trace.note(|| format!("{what:?} of {channel} is gone"));
            world.broker.wipe(channel, what);
        }
        Fault::Outages => {
            let from = random.chance(500).then(|| *random.pick(&world.nodes()));
            let lasts = random.millis(100..=*random.pick(&[2_000, 30_000, 1_200_000]));
            let who = from.map_or("all nodes".to_owned(), |node| node.to_string());
            world.trace.note(|| format!("the broker is away for {who} for {lasts:?}"));
            world.network.cut(from);
            world.broker.stirred.notify_waiters();
            let mending = world.clone();
            world.executor.spawn(None, async move {
                tokio::time::sleep(lasts).await;
                mending.network.mend(from);
            });
        }
        Fault::Replays => {
            let count = world.broker.replay(channel, random.index(8) + 1);
            world.trace.note(|| format!("{count} old messages come again on {channel}"));
        }
        _ => {
            let (whose, error) = world.clocks.disturb();
            world.trace.note(|| format!("the clock of {whose}: {error:?}"));
        }
    }
}

/// Clients repeat requests until they know the outcome. Then no command may be in flight (INV-7), and
/// no order may wait for its payment.
async fn settle(world: &Arc<World>) {
    let began = world.trace.age();
    loop {
        let purchases = world.history().open_purchases();
        let stockings = world.history().open_stockings();
        for purchase in &purchases {
            orders::settle(world, *purchase, 1).await;
        }
        for stocking in &stockings {
            stock::settle(world, *stocking, 1).await;
        }
        let changes = world.history().open_changes();
        for change in &changes {
            changes::settle(world, *change, 1).await;
        }
        let pending = world.monitor.databases().pending();
        let deadlines = world.monitor.databases().deadlines();
        if world.monitor.violation().is_some()
            || pending + deadlines == 0
                && purchases.is_empty()
                && stockings.is_empty()
                && changes.is_empty()
        {
            return;
        }
        if world.trace.age() > began + SETTLING {
            let open = purchases.len() + stockings.len() + changes.len();
            world.monitor.require(broken(
                "INV-7",
                format!("{pending} commands, {deadlines} deadlines, {open} requests never settle"),
            ));
            return;
        }
        tokio::time::sleep(world.trace.stretch(Duration::from_millis(500))).await;
    }
}

/// A day later all delayed messages have arrived. Then old messages are delivered again, and
/// nothing may change.
async fn replay_yesterday(world: &Arc<World>) {
    world.trace.event(|| "a day passes".to_owned());
    tokio::time::sleep(DAY).await;
    let before = verdict::snapshot(world);
    for channel in CHANNELS {
        let count = world.broker.log(channel).len().min(60);
        world.broker.replay(channel, count);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = verdict::snapshot(world);
    if before != after {
        world.monitor.require(broken("INV-5", "yesterday's messages changed something"));
    }
}

/// R16: every message is acknowledged in the end, whatever its content.
async fn drain(world: &Arc<World>) {
    let began = world.trace.age();
    while CHANNELS.iter().any(|channel| world.broker.held(channel) > 0) {
        if world.trace.age() > began + DRAINING {
            let held = CHANNELS.map(|channel| world.broker.held(channel));
            world
                .monitor
                .require(broken("R16", format!("{held:?} messages are never acknowledged")));
            return;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}
