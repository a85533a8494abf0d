//! SQLite files are used by one service at a time, on a local disk. The audit does not disturb the
//! service.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use testbed::{
    Deployment, Form, Launch, Load, PATIENCE, Random, data_in, eventually, lastro, launch, stocked,
};

tried_on!(forms with files:
    a_second_service_on_the_same_files_is_refused_by_whatever_path
    the_audit_changes_nothing_in_files_that_a_dead_service_has_left
    the_audit_takes_no_lock_and_runs_beside_a_busy_service
);

/// The programs that would write these files, each alone.
fn writers(folder: &Path, data: &str) -> Vec<(&'static str, Launch)> {
    let service = |name: &str, file: &str| {
        let url = format!("sqlite:{data}/{file}");
        let launch = lastro(folder).args([name, "--listen", "127.0.0.1:0", "--database-url", &url]);
        // No broker listens there, and none is needed for the refusal.
        launch.args(["--bus-url", "nats://127.0.0.1:9"])
    };
    let both = lastro(folder).args(["--listen", "127.0.0.1:0", "--data-dir", data]);
    vec![
        (".db", both),
        ("orders.db", service("order-service", "orders.db")),
        ("inventory.db", service("inventory-service", "inventory.db")),
    ]
}

async fn a_second_service_on_the_same_files_is_refused_by_whatever_path(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 10).await;
    let folder = shop.folder();
    std::os::unix::fs::symlink("data", folder.join("other")).expect("a link to the folder");
    std::fs::create_dir(folder.join("links")).expect("a folder");
    for file in ["orders.db", "inventory.db"] {
        let link = folder.join("links").join(file);
        std::os::unix::fs::symlink(data_in(folder).join(file), link).expect("a link to the file");
    }
    let mut mounts = Vec::new();
    for (name, hard) in [("hard-links", true), ("mounts", false)] {
        std::fs::create_dir(folder.join(name)).expect("a folder");
        for file in ["orders.db", "inventory.db"] {
            let (from, to) = (data_in(folder).join(file), folder.join(name).join(file));
            if hard {
                std::fs::hard_link(from, to).expect("a link");
            } else {
                std::fs::write(&to, "").expect("a file to mount on");
                mounts.push((from, to));
            }
        }
    }
    let must_be_refused = async |data: &str| {
        for (file, writer) in writers(folder, data) {
            let ended = writer.with_bind_mounts(&mounts).to_end().await;
            ended.must_be_refused(1, &[data, file, "in use by another process"]);
        }
    };
    for data in ["data", "other", "links", "hard-links", "mounts"] {
        must_be_refused(data).await;
    }
    for lock in ["orders.db.lock", "inventory.db.lock"] {
        std::fs::remove_file(data_in(folder).join(lock)).expect("a lock file");
    }
    must_be_refused("data").await;
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;
}

#[tokio::test]
async fn a_network_file_system_is_refused_before_anything_is_made_there() {
    let folder = tempfile::tempdir().expect("a folder");
    // A network disk cannot be mounted here, so the test replaces the kernel's table of mounts.
    let table = folder.path().join("mounts");
    let share = folder.path().join("share");
    std::fs::create_dir(&share).expect("a folder");
    for kind in ["nfs4", "cifs", "9p", "fuse.sshfs"] {
        let mounts = format!("/dev/a / ext4 rw 0 0\nserver:/x {} {kind} rw 0 0\n", share.display());
        std::fs::write(&table, mounts).expect("a file");
        for (_, writer) in writers(folder.path(), "share/new") {
            let refused = writer.with_mounts(&table).to_end().await;
            refused.must_be_refused(1, &["share", "network file system", kind]);
        }
    }
    assert_eq!(std::fs::read_dir(&share).expect("the folder").count(), 0, "nothing is made");
    // The same table with a local disk mounted below.
    let below =
        format!("server:/x {0} nfs4 rw 0 0\n/dev/b {0}/disk ext4 rw 0 0\n", share.display());
    std::fs::create_dir(share.join("disk")).expect("a folder");
    std::fs::write(&table, below).expect("a file");
    let local =
        lastro(folder.path()).args(["--listen", "127.0.0.1:0", "--data-dir", "share/disk/data"]);
    let mut program = local.with_mounts(&table).serving().await;
    program.terminate();
    assert_eq!(program.ended(PATIENCE).await, Some(0));
}

/// The bytes of all files of a shop except the shared memory of its programs.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(data_in(folder))
        .expect("the files")
        .map(|file| file.expect("a file").path());
    let kept = files.filter(|path| !path.to_string_lossy().ends_with("-shm"));
    let mut bytes: Vec<_> =
        kept.map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect();
    bytes.sort();
    bytes
}

async fn the_audit_changes_nothing_in_files_that_a_dead_service_has_left(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    let left = bytes(shop.folder());
    let log = left.iter().find(|(path, _)| path.ends_with("orders.db-wal"));
    assert!(log.is_some_and(|(_, log)| !log.is_empty()), "something is only in the log");
    shop.must_verify().await;
    assert!(bytes(shop.folder()) == left, "the audit has written");
    shop.reopen().await;
    shop.confirmed(&[("MUG", 1)]).await;
}

/// The log of the orders as the metrics show it, in bytes.
async fn reported_log(shop: &Deployment) -> Option<u64> {
    let name = "sqlite_log_bytes{service=\"orders\"} ";
    let metrics = shop.metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(name))?.parse().ok()
}

/// Somebody reads the same snapshot for long, so that nothing can be taken out of the log.
#[tokio::test]
async fn a_log_that_a_reader_keeps_large_is_reported_and_shrinks_afterwards() {
    const LARGE: u64 = 80 * 1024 * 1024;
    let shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 1_000).await;
    let open = || {
        let connection = Connection::open(data_in(shop.folder()).join("orders.db"));
        let connection = connection.expect("the database");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        connection
    };
    let reader = open();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").expect("a snapshot");
    let much = format!("CREATE TABLE much (bytes); INSERT INTO much VALUES (zeroblob({LARGE}))");
    open().execute_batch(&much).expect("a large table");
    eventually(PATIENCE, "the size is reported", async || {
        (reported_log(&shop).await? >= LARGE).then_some(())
    })
    .await;
    reader.execute_batch("COMMIT").expect("the end of the snapshot");
    eventually(PATIENCE, "the log shrinks", async || {
        shop.confirmed(&[("MUG", 1)]).await;
        (reported_log(&shop).await? < LARGE).then_some(())
    })
    .await;
}

async fn the_audit_takes_no_lock_and_runs_beside_a_busy_service(form: Form) {
    let shop = Arc::new(stocked(Deployment::in_form(form).await, 1_000_000).await);
    let load = Load::on(&shop, &mut Random::seeded("audit"));
    for _ in 0..3 {
        load.has_accepted(load.accepted() + 50).await;
        shop.must_verify().await;
    }
    load.end_with_nothing_refused().await.check(&shop).await;

    // The locks of a service keep another service out, but not the audit.
    let folder = Arc::into_inner(shop).expect("no client is left").close().await;
    let locks =
        ["orders.db.lock", "inventory.db.lock"].map(|name| data_in(folder.path()).join(name));
    let _held = locks.map(|path| {
        let lock = File::open(path).expect("the lock");
        lock.try_lock().expect("no program holds the lock");
        lock
    });
    launch(folder.path()).to_end().await.must_be_refused(1, &["in use by another process"]);
    let audit = lastro(folder.path()).args(["verify", "--data-dir", "data"]).to_end().await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}
