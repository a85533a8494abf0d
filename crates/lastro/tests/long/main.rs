//! The faults of `tests/forms` for realistic lengths of time: `scripts/test-long` runs them on
//! every form, and prints a line of figures for each.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use testbed::{
    Deployment, Form, Load, Operator, PATIENCE, Program, Random, Record, StormAtBroker, killed_at,
    stocked, with_crash_points,
};
use tokio::time::{Instant, sleep};

mod deadlines;
mod import;
mod overload;

/// How long each fault lasts.
const MINUTE: Duration = Duration::from_secs(60);
/// How long the services may take to settle after a fault.
const AFTERMATH: Duration = Duration::from_secs(300);
/// How long a program may take to end after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(30);
/// Units of each product: more than is ever ordered.
const STOCK: u32 = 1_000_000;
/// The number of kills at each crash point.
const KILLS: u32 = 5;

/// Checks all that must hold in the end, and returns the time until everything had settled, as
/// text.
async fn settled(record: &mut Record, shop: &Arc<Deployment>) -> String {
    record.ask_again(shop).await;
    let begun = Instant::now();
    let settled = record.settle_within(AFTERMATH, shop).await;
    let took = begun.elapsed();
    let lost = record.lost(shop).await;
    let verified = shop.verify_with(AFTERMATH, &["--settled"]).await;
    assert_eq!((settled, lost.len()), (record.accepted.len(), 0), "{lost:?}");
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    format!(
        "accepted={} settled={settled} within={:.1}s lost=0 verify=ok",
        record.accepted.len(),
        took.as_secs_f32()
    )
}

fn tell(row: &str, shop: &Deployment, line: &str) {
    println!("{row:<32} {:<10} {line}", format!("{:?}", shop.form).to_lowercase());
}

#[tokio::test(flavor = "multi_thread")]
async fn row_01_to_13_a_sigkill_at_every_crash_point() {
    macro_rules! points {
        ($($name:ident: $point:literal,)+) => { [$($point),+] };
    }
    for point in with_crash_points!(points) {
        let mut random = Random::seeded(point);
        let mut shop = stocked(Deployment::open().await, STOCK).await;
        let mut everything = Record::default();
        for _ in 0..KILLS {
            let mut record;
            (shop, record) = killed_at(point, 300, shop, &mut random).await;
            record.ask_again(&shop).await;
            everything.append(record);
        }
        let shop = Arc::new(shop);
        let line = settled(&mut everything, &shop).await;
        tell(point, &shop, &format!("kills={KILLS} {line}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_and_15_a_crash_loop() {
    let mut random = Random::seeded("crash loop");
    let mut shop = stocked(Deployment::open().await, STOCK).await;
    let (mut everything, mut kills, begun) = (Record::default(), 0, Instant::now());
    while begun.elapsed() < MINUTE {
        let shared = Arc::new(shop);
        let load = Load::on(&shared, &mut random);
        sleep(Duration::from_millis(200 + random.below(1800))).await;
        // All programs at the same instant, or one of them.
        match random.below(3) {
            1 if shared.programs.kill_inventory() => {}
            2 => shared.programs.orders.iter().for_each(Program::kill),
            _ => shared.programs.kill(),
        }
        kills += 1;
        let mut record = load.end().await;
        shop = Arc::into_inner(shared).expect("no client is left");
        testbed::eventually(PATIENCE, "it is gone", || async {
            shop.programs.one_has_ended().then_some(())
        })
        .await;
        shop.restart_ended().await;
        record.ask_again(&shop).await;
        everything.append(record);
    }
    let shop = Arc::new(shop);
    let line = settled(&mut everything, &shop).await;
    tell("14-15 crash loop", &shop, &format!("kills={kills} {line}"));
}

/// A deployment with a broker that the test may break.
async fn with_broker() -> Deployment {
    let form = Form::under_test();
    assert!(form.has_broker(), "{form:?} has no broker; scripts/test-long leaves this row out");
    Deployment::in_form(form).await
}

/// Breaks the broker for a minute under load; no order is refused.
async fn minute_of(
    row: &str,
    mut shop: Deployment,
    fault: impl AsyncFnOnce(&mut testbed::Nats, &Deployment),
) {
    let mut broker = shop.environment.broker.take().expect("a broker");
    let shop = Arc::new(stocked(shop, STOCK).await);
    let load = Load::on(&shop, &mut Random::seeded(row));
    load.has_accepted(500).await;
    let before = load.accepted();
    let resending = tokio::spawn(resends_each_second(shop.clone()));
    fault(&mut broker, &shop).await;
    let meanwhile = load.accepted() - before;
    let mut record = load.end_with_nothing_refused().await;
    let line = settled(&mut record, &shop).await;
    resending.abort();
    let _ = resending.await;
    let resends = RESENDS.lock().expect("nothing panics under this lock").split_off(0);
    let memory = shop.programs.resident_bytes() >> 20;
    tell(
        row,
        &shop,
        &format!(
            "accepted_meanwhile={meanwhile} refused=0 {line} memory={memory}MiB resends/s={resends:?}"
        ),
    );
}

/// The counts of [`resends_each_second`].
static RESENDS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Counts the commands that are sent again in each second, before, during and after the fault, by
/// the service's metrics.
async fn resends_each_second(shop: Arc<Deployment>) {
    let mut last = number(&shop, "commands_resent_total").await;
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = number(&shop, "commands_resent_total").await;
        RESENDS.lock().expect("nothing panics under this lock").push(now - last);
        last = now;
    }
}

async fn number(shop: &Deployment, name: &str) -> u64 {
    let metrics = shop.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a number");
    line.trim().parse().expect("a whole number")
}

#[tokio::test(flavor = "multi_thread")]
async fn row_27_a_broker_that_is_away_for_a_minute() {
    minute_of("27 broker stopped", with_broker().await, async |broker, _| {
        broker.kill().await;
        sleep(MINUTE).await;
        broker.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_a_broker_that_is_wiped_again_and_again() {
    minute_of("28 broker wiped", with_broker().await, async |broker, _| {
        for _ in 0..12 {
            sleep(MINUTE / 12).await;
            broker.wipe().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_streams_and_consumers_deleted_again_and_again() {
    minute_of("28 streams, consumers deleted", with_broker().await, async |broker, _| {
        let operator = Operator::of(broker).await;
        for round in 0..30 {
            sleep(MINUTE / 30).await;
            if round % 2 == 0 {
                operator.delete_consumers().await
            } else {
                operator.delete_streams().await
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_29_a_broker_that_stands_still() {
    minute_of("29 broker paused", with_broker().await, async |broker, _| {
        for _ in 0..2 {
            broker.pause().await;
            sleep(MINUTE / 2).await;
            broker.resume();
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_29_an_inventory_that_is_cut_off() {
    minute_of(
        "29 inventory cut off",
        Deployment::in_form_with_link(Form::under_test()).await,
        async |_, shop| {
            let link = shop.environment.link.as_ref().expect("a link");
            link.cut();
            sleep(MINUTE / 2).await;
            link.mend();
            sleep(Duration::from_secs(1)).await;
            link.hold_up();
            sleep(MINUTE / 2).await;
            link.mend();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_30_a_minute_of_messages_that_come_five_times() {
    let mut random = Random::seeded("storm");
    let shop = Arc::new(stocked(with_broker().await, STOCK).await);
    let storm = StormAtBroker::on(shop.environment.broker(), &mut random).await;
    let load = Load::on(&shop, &mut random);
    sleep(MINUTE).await;
    let mut record = load.end_with_nothing_refused().await;
    settled(&mut record, &shop).await;
    storm.end().await;
    let line = settled(&mut record, &shop).await;
    tell("30 messages five times, shuffled", &shop, &line);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_34_a_sigterm_under_load() {
    let mut random = Random::seeded("closing");
    let mut shop = stocked(Deployment::open().await, STOCK).await;
    let (mut everything, mut slowest) = (Record::default(), Duration::ZERO);
    for _ in 0..10 {
        let shared = Arc::new(shop);
        let load = Load::on(&shared, &mut random);
        load.has_accepted(500 + random.below(1000)).await;
        shared.programs.terminate();
        let begun = Instant::now();
        let mut record = load.end().await;
        shop = Arc::into_inner(shared).expect("no client is left");
        assert_eq!(shop.programs.ended(SHUTDOWN).await, Some(0), "{}", shop.programs.log());
        slowest = slowest.max(begun.elapsed());
        shop.reopen().await;
        record.ask_again(&shop).await;
        everything.append(record);
    }
    let shop = Arc::new(shop);
    let line = settled(&mut everything, &shop).await;
    tell(
        "34 SIGTERM under load",
        &shop,
        &format!("closings=10 slowest={:.1}s {line}", slowest.as_secs_f32()),
    );
}
