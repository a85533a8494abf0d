//! A disk that fills up: orders are refused while the disk is full, and no accepted order is lost.
//!
//! The databases lie on a small disk: SQLite files directly, PostgreSQL's in a tablespace.

use std::sync::Arc;

use serde_json::json;
use testbed::{
    Content, Databases, Deployment, Disk, Environment, Form, JSON, Load, PATIENCE, Postgres,
    Random, Record, Response, data_in, eventually, nothing_in_flight, stocked,
};

use crate::log::Log;

tried_on!(every form:
    a_full_disk_refuses_orders_and_takes_them_again_when_there_is_room
);

tried_on!(forms with files:
    a_file_that_cannot_grow_leaves_its_orders_in_the_log
);

const STOCK: u32 = 1_000_000;
/// The number of consecutive requests that are refused each time.
const REFUSALS: u32 = 20;

/// A shop whose data lies on a small disk.
struct Cramped {
    shop: Arc<Deployment>,
    random: Random,
    record: Record,
    _server: Option<Postgres>,
}

impl Cramped {
    /// Opens a shop on a disk of this size, written as mount(8) expects it.
    async fn open(form: Form, size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(data_in(folder.path())).expect("a folder");
        let disk = Disk::at(&data_in(folder.path()), &format!("size={size}")).await;
        let (mut environment, mut server) = (Environment::default(), None);
        if form.has_files() {
            environment = Environment::of(form).await;
        } else {
            let its = Postgres::start_with_small_disk(&disk).await;
            let (orders, inventory) = (
                its.fresh_database_on_small_disk().await,
                its.fresh_database_on_small_disk().await,
            );
            environment.databases = Some(Databases { orders, inventory });
            environment.broker = Some(testbed::Nats::start().await);
            server = Some(its);
        }
        environment.disk = Some(disk);
        let shop =
            Arc::new(stocked(Deployment::open_in(folder, form, environment).await, STOCK).await);
        Self {
            shop,
            random: Random::seeded("a full disk"),
            record: Record::default(),
            _server: server,
        }
    }

    fn disk(&self) -> &Disk {
        self.shop.environment.disk.as_ref().expect("it has one")
    }

    async fn place(&mut self) -> Response {
        let content = Content::random(&mut self.random);
        let answer = self.shop.send("POST", "/api/orders", &[JSON], content.body()).await;
        if answer.status == 200 {
            self.record.accepted.insert(answer.text_at("/order_id"), content);
        }
        answer
    }

    /// Places orders until one is refused: the free space from before the disk was full still holds
    /// a few.
    async fn place_until_refused(&mut self) -> Response {
        for _ in 0..10_000 {
            let answer = self.place().await;
            if answer.status != 200 {
                return answer;
            }
        }
        panic!("a full disk takes orders without end");
    }

    /// Receives units one by one until a receipt is refused. Returns how many were received.
    async fn receive_until_refused(&self) -> (i64, Response) {
        for taken in 0..10_000 {
            let answer =
                self.shop.move_stock("MUG", &json!({"kind": "receive", "quantity": 1})).await;
            if answer.status != 201 {
                return (taken, answer);
            }
        }
        panic!("a full disk takes deliveries without end");
    }

    /// Checks that the listed orders are exactly the accepted ones.
    async fn check_listed(&self) {
        let mut listed = self.shop.column("/api/orders?limit=200", "order_id").await;
        listed.sort_unstable();
        let accepted: Vec<_> = self.record.accepted.keys().cloned().collect();
        assert_eq!(listed, accepted, "what was refused is not there, and what was accepted is");
    }

    async fn accepts_again(&mut self) {
        let (content, shop) = (Content::random(&mut self.random), self.shop.clone());
        let id = eventually(PATIENCE, "orders are accepted again", || async {
            let answer = shop.send("POST", "/api/orders", &[JSON], content.body()).await;
            (answer.status == 200).then(|| answer.text_at("/order_id"))
        })
        .await;
        self.record.accepted.insert(id, content);
    }
}

async fn a_full_disk_refuses_orders_and_takes_them_again_when_there_is_room(form: Form) {
    let mut cramped = Cramped::open(form, if form.has_files() { "8m" } else { "40m" }).await;
    let mut received = i64::from(STOCK);
    for round in 1..=2 {
        cramped.disk().fill();
        for _ in 0..REFUSALS {
            let refused = cramped.place_until_refused().await;
            assert_eq!(refused.verdict(), "503 storage_full", "round {round}");
            let (taken, refused) = cramped.receive_until_refused().await;
            assert_eq!(refused.verdict(), "503 storage_full", "round {round}");
            received += taken;
        }
        cramped.check_listed().await;
        assert_eq!(
            cramped.shop.levels("MUG").await[0],
            received,
            "what was refused did not arrive"
        );
        assert!(!cramped.shop.programs.one_has_ended());
        cramped.disk().free();
        cramped.accepts_again().await;
        cramped.record.check(&cramped.shop).await;
        cramped.check_listed().await;
    }
}

/// The database file and its log lie on different disks. While only the file cannot grow, orders
/// are accepted into the log. A starting program copies the log into the file before it serves
/// (R1), and reports why it cannot. PostgreSQL's log is not tested here.
async fn a_file_that_cannot_grow_leaves_its_orders_in_the_log(form: Form) {
    for file in ["orders.db", "inventory.db"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(data_in(folder.path())).expect("a folder");
        let disk = Disk::at(&data_in(folder.path()), "size=64m").await;
        let of_file = disk.for_file(file, "size=4m").await;
        let log = Log::of(disk.seen_from_outside(file));
        let environment = Environment { disk: Some(disk), ..Environment::of(form).await };
        let mut shop =
            Arc::new(stocked(Deployment::open_in(folder, form, environment).await, STOCK).await);
        of_file.fill();
        let length = log.file_length();
        let load = Load::on(&shop, &mut Random::seeded(file));
        load.has_accepted(500).await;
        let mut record = load.end_with_nothing_refused().await;
        nothing_in_flight(PATIENCE, &shop).await;
        shop.programs.kill();
        Arc::get_mut(&mut shop).expect("no client is left").programs.ended(PATIENCE).await;
        assert!(log.file_length() == length && log.length() > 0, "everything is in the log");
        // The first program keeps the orders, and the last one keeps the stock.
        let again =
            shop.launches().swap_remove(if file == "orders.db" { 0 } else { form.programs() - 1 });
        let refused = again.to_end().await;
        // Log lines about the broker come before the error.
        let line = refused.stderr.lines().last().unwrap_or_default();
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(
            line.starts_with("error: cannot use ") && line.contains(file) && line.contains("full"),
            "{line}"
        );
        of_file.free();
        Arc::get_mut(&mut shop).expect("no client is left").reopen().await;
        record.check(&shop).await;
    }
}
