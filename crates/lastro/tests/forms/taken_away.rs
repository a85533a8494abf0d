//! Files of a database that are deleted, moved or replaced while the service runs, and what the next
//! start does then.

use std::fs;
use std::path::Path;
use std::time::Duration;

use testbed::{Deployment, Form, JSON, PATIENCE, data_in, order};

tried_on!(forms with files:
    a_service_whose_files_are_taken_away_ends_and_accepts_nothing_more
    a_service_without_requests_notices_that_its_files_are_taken_away
    a_database_that_was_taken_away_is_not_made_again
);

/// How soon a service without requests must notice.
const SOON: Duration = Duration::from_secs(15);

/// A way to take files away, and to put them back if that is possible.
struct Way {
    name: &'static str,
    take: fn(&Path),
    put_back: Option<fn(&Path)>,
}

fn rename(folder: &Path, from: &str, to: &str) {
    fs::rename(folder.join(from), folder.join(to)).expect("moved");
}

/// Puts a copy of a file in its place, as an editor or `cp` of a backup would.
fn replace(folder: &Path, file: &str) {
    fs::copy(folder.join(file), folder.join("copy")).expect("a copy");
    fs::rename(folder.join("copy"), folder.join(file)).expect("replaced");
}

const WAYS: [Way; 7] = [
    Way {
        name: "the database is moved",
        take: |folder| rename(folder, "data/orders.db", "away.db"),
        put_back: Some(|folder| rename(folder, "away.db", "data/orders.db")),
    },
    Way {
        name: "the log is moved",
        take: |folder| rename(folder, "data/orders.db-wal", "away"),
        put_back: Some(|folder| rename(folder, "away", "data/orders.db-wal")),
    },
    Way {
        name: "the folder is moved",
        take: |folder| rename(folder, "data", "away"),
        put_back: Some(|folder| rename(folder, "away", "data")),
    },
    Way {
        name: "the database is replaced",
        take: |folder| replace(folder, "data/orders.db"),
        put_back: None,
    },
    Way {
        name: "the log is replaced",
        take: |folder| replace(folder, "data/orders.db-wal"),
        put_back: None,
    },
    Way {
        name: "the database is deleted",
        take: |folder| fs::remove_file(folder.join("data/orders.db")).expect("deleted"),
        put_back: None,
    },
    Way {
        name: "the folder is deleted",
        take: |folder| fs::remove_dir_all(folder.join("data")).expect("deleted"),
        put_back: None,
    },
];

/// The program that takes orders ends with code 1 and says why.
async fn must_end(shop: &mut Deployment, way: &Way, deadline: Duration) {
    let program = &mut shop.programs.orders[0];
    assert_eq!(program.ended(deadline).await, Some(1), "{}: {}", way.name, program.log());
}

/// The last line of a program is its error.
async fn a_service_whose_files_are_taken_away_ends_and_accepts_nothing_more(form: Form) {
    for way in &WAYS {
        let mut shop = Deployment::in_form(form).await;
        shop.stock("MUG", 10).await;
        let kept = shop.confirmed(&[("MUG", 1)]).await;
        (way.take)(shop.folder());
        let body = order(&[("MUG", 1)]).to_string();
        let answer = shop.try_send("POST", "/api/orders", &[JSON], body).await;
        let refused = answer.as_ref().map_or(true, |answer| answer.status >= 500);
        assert!(refused, "{}: {answer:?}", way.name);
        must_end(&mut shop, way, PATIENCE).await;
        let log = shop.programs.log();
        assert!(log.contains("was deleted, moved or replaced while the service used it"), "{log}");
        if let Some(put_back) = way.put_back {
            put_back(shop.folder());
            shop.reopen().await;
            assert_eq!(
                shop.get(&format!("/api/orders/{kept}")).await.verdict(),
                "200",
                "{}",
                way.name
            );
            shop.confirmed(&[("MUG", 1)]).await;
        }
    }
}

async fn a_service_without_requests_notices_that_its_files_are_taken_away(form: Form) {
    for way in &WAYS {
        let mut shop = Deployment::in_form(form).await;
        (way.take)(shop.folder());
        must_end(&mut shop, way, SOON).await;
    }
}

async fn a_database_that_was_taken_away_is_not_made_again(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let database = data_in(shop.folder()).join("orders.db");
    fs::remove_file(&database).expect("deleted");
    must_end(&mut shop, &WAYS[5], SOON).await;
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    let start = || shop.launches().swap_remove(0);
    for lines in [["orders.db is missing", "orders.db.lock shows", "restore"]; 2] {
        start().to_end().await.must_be_refused(1, &lines);
        // An empty file is no database either.
        fs::write(&database, "").expect("a file");
    }
    fs::remove_file(database.with_extension("db.lock")).expect("the lock file");
    fs::remove_file(database.with_extension("db-wal")).ok();
    let begun_anew = start().to_end().await;
    assert!(begun_anew.stderr.contains("made a new database"), "{}", begun_anew.stderr);
    begun_anew.must_be_refused(1, &["--replace-peer"]);
    let mut program = start().env("LASTRO_REPLACE_PEER", "true").serving().await;
    program.terminate();
    assert_eq!(program.ended(PATIENCE).await, Some(0));
}
