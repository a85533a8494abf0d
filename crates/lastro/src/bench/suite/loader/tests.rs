//! What the loader writes is what the services would have written: the audit accepts it. The row
//! `stored` audits it again after the services ran on it.

use platform::process::HttpSettings;
use web::program::Process;

use super::*;

/// More than a chunk would make the test slow; more than a round of the products is what matters.
const ORDERS: u64 = 333;

/// Migrates both databases, as services do when they start.
async fn migrated(databases: &Databases) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let http = HttpSettings::at(listen);
    let mut process = Process::begin(crate::serve::PROGRAM, &http).await.expect("a free port");
    let orders = orders::open_store(&databases.orders, &mut process).await.expect("new");
    let stock = inventory::open_store(&databases.inventory, &mut process).await.expect("new");
    crate::pair::pair([&orders.pairing, &stock.pairing], false).await.expect("both are new");
    drop((orders, stock));
    process.workers.close().await;
}

async fn filled(databases: &Databases, reached: Reached) -> crate::audit::Report {
    migrated(databases).await;
    let filling = Filling { orders: ORDERS, reached, products: 20, units: 1_000 };
    let stop = CancellationToken::new();
    fill(databases, filling, &stop).await.expect("filled");
    crate::verify::verify(databases).await.expect("both can be read")
}

async fn on_postgres() -> Databases {
    let fresh = async || DatabaseUrl::Postgres(testbed::fresh_database().await);
    Databases { orders: fresh().await, inventory: fresh().await }
}

fn check(report: &crate::audit::Report, pending: u64) {
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.backlog.commands, pending, "{report}");
    let text = report.to_string();
    assert!(text.contains(&format!("({ORDERS} orders)")), "{text}");
}

#[tokio::test]
async fn the_audit_accepts_loaded_orders_on_sqlite() {
    for (reached, pending) in [(Reached::Confirmed, 0), (Reached::Received, ORDERS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let report = filled(&Databases::in_folder(folder.path()), reached).await;
        check(&report, pending);
    }
}

#[tokio::test]
async fn the_audit_accepts_loaded_orders_on_postgres() {
    for (reached, pending) in [(Reached::Confirmed, 0), (Reached::Received, ORDERS)] {
        check(&filled(&on_postgres().await, reached).await, pending);
    }
}

#[tokio::test]
async fn a_loader_that_is_stopped_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let databases = Databases::in_folder(folder.path());
    migrated(&databases).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let filling =
        Filling { orders: ORDERS, reached: Reached::Confirmed, products: 20, units: 1_000 };
    let error = fill(&databases, filling, &stop).await.expect_err("it was stopped");
    assert_eq!(error.to_string(), "interrupted");
}
