//! A service that is asked to end leaves its data in the database file alone: a copy of that file
//! is complete.

use std::path::Path;
use std::sync::Arc;

use testbed::{Deployment, Environment, Form, Load, PATIENCE, Random, Record, data_in, stocked};

tried_on!(forms with files:
    a_stop_under_load_leaves_a_database_file_that_is_complete
);

/// How often the services are stopped under load. Before the shutdown waited for the files to be
/// closed, half of the stops left a log.
const STOPS: usize = 10;
const STOCK: u32 = 1_000_000;

/// The files in the data folder that SQLite keeps beside a database.
fn beside_the_databases(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(data_in(folder)).expect("the files");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with("-wal") || name.ends_with("-shm")).collect()
}

/// A deployment on a copy of the two database files alone.
async fn on_a_copy(folder: &Path) -> Arc<Deployment> {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(data_in(copy.path())).expect("a folder");
    for file in ["orders.db", "inventory.db"] {
        std::fs::copy(data_in(folder).join(file), data_in(copy.path()).join(file)).expect("a copy");
    }
    Arc::new(Deployment::open_in(copy, Form::Embedded, Environment::default()).await)
}

async fn a_stop_under_load_leaves_a_database_file_that_is_complete(form: Form) {
    let mut random = Random::seeded("clean stops");
    let mut shop = Arc::new(stocked(Deployment::in_form(form).await, STOCK).await);
    let mut record = Record::default();
    for stop in 1..=STOPS {
        let load = Load::on(&shop, &mut random);
        load.has_accepted(50).await;
        shop.programs.terminate();
        record.append(load.end().await);
        let ended = Arc::get_mut(&mut shop).expect("no client is left").programs.ended(PATIENCE);
        assert_eq!(ended.await, Some(0), "{}", shop.programs.log());
        let left = beside_the_databases(shop.folder());
        assert!(left.is_empty(), "stop {stop} of {STOPS} left {left:?}");
        let lost = record.lost(&on_a_copy(shop.folder()).await).await;
        assert!(lost.is_empty(), "of {} orders: {lost:?}", record.accepted.len());
        Arc::get_mut(&mut shop).expect("no client is left").reopen().await;
    }
    record.check(&shop).await;
}
