//! What an operator may run into: mistakes at the start, and disks that fail.

use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::Value;
use testbed::{Deployment, Disk, Form, Launch, PATIENCE, data_in, lastro, launch, order};
use tokio::net::TcpListener;
use tokio::process::Command;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_busy_port_is_reported_in_one_line_and_nothing_is_created() {
    let (shop, folder) = (Deployment::open().await, folder());
    let address = shop.programs.orders[0].address().to_string();
    let ended =
        lastro(folder.path()).args(["--data-dir", "data", "--listen", &address]).to_end().await;
    ended.must_be_refused(1, &[&address, "address already in use", "--listen"]);
    assert!(!data_in(folder.path()).exists());
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_reported_in_one_line() {
    let folder = folder();
    std::fs::write(data_in(folder.path()), "precious").expect("a file");
    let cannot = format!("cannot use {}", data_in(folder.path()).display());
    launch(folder.path()).to_end().await.must_be_refused(1, &[&cannot]);
    assert_eq!(std::fs::read_to_string(data_in(folder.path())).expect("the file"), "precious");
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_read_is_reported_in_one_line() {
    let folder = folder();
    std::fs::create_dir(data_in(folder.path())).expect("a folder");
    let forbid = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(data_in(folder.path()), forbid).expect("permissions");
    let cannot = format!("cannot use {}", data_in(folder.path()).display());
    launch(folder.path())
        .unprivileged()
        .to_end()
        .await
        .must_be_refused(1, &[&cannot, "ermission denied"]);
}

#[tokio::test]
async fn an_audit_that_cannot_read_the_data_says_why_in_one_line() {
    let shop = Deployment::in_form(Form::Embedded).await;
    let folder = shop.close().await;
    let data = data_in(folder.path());
    let may = |path: &Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("permissions");
    };
    let verify = || lastro(folder.path()).args(["verify", "--data-dir", "data"]).unprivileged();
    may(&data, 0o000);
    verify().to_end().await.must_be_refused(1, &["data/orders.db", "ermission denied"]);
    may(&data, 0o755);
    // Reading a log takes a file beside the database.
    for (path, mode, before) in [(&data, 0o555, 0o755), (&data.join("orders.db"), 0o000, 0o644)] {
        may(path, mode);
        let refused = verify().to_end().await;
        refused.must_be_refused(1, &["data/orders.db", "run it as the user of the service"]);
        may(path, before);
    }
    Connection::open(data.join("copy.db"))
        .and_then(|copy| copy.execute_batch("VACUUM"))
        .expect("a file");
    std::fs::rename(data.join("copy.db"), data.join("orders.db")).expect("replaced");
    let refused = lastro(folder.path()).args(["verify", "--data-dir", "data"]).to_end().await;
    refused.must_be_refused(1, &["data/orders.db has no tables of a service", "-wal"]);
}

#[tokio::test]
async fn a_limit_of_open_files_that_leaves_no_room_is_reported_in_one_line() {
    let folder = folder();
    let ended = launch(folder.path()).with_open_files(32, 32).to_end().await;
    ended.must_be_refused(1, &["32 files", "at least 128", "ulimit -n"]);
    assert!(!data_in(folder.path()).exists());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_reported_in_one_line() {
    let folder = folder();
    std::fs::create_dir(data_in(folder.path())).expect("a folder");
    let read_only = Disk::at(&data_in(folder.path()), "ro").await;
    let cannot = format!("cannot use {}", data_in(folder.path()).display());
    launch(folder.path())
        .on(&read_only)
        .to_end()
        .await
        .must_be_refused(1, &[&cannot, "ead-only file system"]);
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_reported_in_one_line_and_left_alone() {
    let folder = folder();
    std::fs::create_dir(data_in(folder.path())).expect("a folder");
    let file = data_in(folder.path()).join("inventory.db");
    std::fs::write(&file, "my diary, which is longer than the header of a database. ".repeat(20))
        .expect("a file");
    let cannot = format!("cannot use {}", file.display());
    launch(folder.path()).to_end().await.must_be_refused(1, &[&cannot, "not a database"]);
    assert!(std::fs::read_to_string(&file).expect("the file").starts_with("my diary"));
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused() {
    for database in ["orders.db", "inventory.db"] {
        let folder = Deployment::in_form(Form::Embedded).await.close().await;
        let connection =
            Connection::open(data_in(folder.path()).join(database)).expect("the database");
        connection
            .execute("INSERT INTO schema_migrations VALUES (99, x'00')", [])
            .expect("a migration of tomorrow");
        drop(connection);
        let words = [database, "newer version", "99"];
        launch(folder.path()).to_end().await.must_be_refused(1, &words);
        let audit = lastro(folder.path()).args(["verify", "--data-dir", "data"]).to_end().await;
        audit.must_be_refused(1, &words);
    }
}

#[tokio::test]
async fn an_address_that_others_can_reach_must_be_asked_for() {
    let folder = folder();
    let open = || lastro(folder.path()).args(["--data-dir", "data", "--listen", "0.0.0.0:0"]);
    open().to_end().await.must_be_refused(2, &["0.0.0.0:0", "LASTRO_NO_AUTH=true"]);
    open()
        .env("LASTRO_NO_AUTH", "false")
        .to_end()
        .await
        .must_be_refused(2, &["LASTRO_NO_AUTH=true"]);
    assert!(!data_in(folder.path()).exists());
    for allowed in [open().env("LASTRO_NO_AUTH", "true"), open().args(["--no-auth"])] {
        let mut program = allowed.serving().await;
        program.terminate();
        assert_eq!(program.ended(PATIENCE).await, Some(0));
    }
    let log = lastro(folder.path()).args(["admin-log", "--data-dir", "data"]).to_end().await;
    let of = |service: &str| {
        let lines = log.stdout.lines().filter(|line| line.contains(&format!("  {service}  ")));
        lines.filter(|line| line.contains("serves_anyone 0.0.0.0:0")).count()
    };
    assert_eq!([of("orders"), of("inventory")], [2, 2], "{log:?}");
}

#[tokio::test]
async fn a_service_alone_needs_a_broker() {
    let folder = folder();
    for service in ["order-service", "inventory-service"] {
        let ended = lastro(folder.path()).args([service, "--bus-url", "embedded:"]).to_end().await;
        ended.must_be_refused(2, &["embedded:", "lastro"]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing is made");
}

#[tokio::test]
async fn a_program_that_is_asked_to_stop_while_its_database_does_not_answer_stops() {
    let folder = folder();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("its address");
    let database = format!("postgres://orders@{address}/orders");
    let bus = "nats://127.0.0.1:9";
    let service = ["order-service", "--listen", "127.0.0.1:0", "--bus-url", bus, "--database-url"];
    // A signal that is not handled would end them without a code, and not end process 1 of a
    // container at all.
    for (arguments, code, said) in [
        (&service[..], 0, "has stopped before it was ready"),
        (&["migrate", "--orders-database-url"], 1, "interrupted"),
    ] {
        let starting = lastro(folder.path()).args(arguments).args([&database]).talking();
        let asked = tokio::time::timeout(PATIENCE, silent.accept()).await;
        let (_asked, _) = asked.expect("it asks its database").expect("a connection");
        let ended = starting.terminated().await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_mistake_of_usage() {
    let folder = folder();
    for arguments in [
        &["--listen", "8080"][..],
        &["--listen", "127.0.0.1:99999"],
        &["--currency", "BRR"],
        &["--bus-url", "nats://localhost:port"],
        &["--bus-url", "carrier-pigeon:"],
        &["--orders-database-url", "postgres://localhost/orders?sslmode=prefer"],
        &["--orders-database-url", "postgres://localhost:port/orders"],
        &["--orders-database-url", "orders.db"],
        &["--config", "absent.toml"],
        &["--nonsense"],
        &["sell"],
        &["verify", "--listen", "127.0.0.1:0"],
        &["verify", "--watch", "--settled"],
    ] {
        let ended = lastro(folder.path()).args(arguments.iter().copied()).to_end().await;
        ended.must_be_a_usage_error(arguments);
    }
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_reported_with_its_position() {
    let folder = folder();
    std::fs::write(
        folder.path().join("lastro.toml"),
        "currency = \"EUR\"\nlistn = \"127.0.0.1:0\"\n",
    )
    .expect("a file");
    launch(folder.path()).to_end().await.must_be_refused(2, &["lastro.toml, line 2", "listn"]);
}

#[tokio::test]
async fn a_flag_beats_the_environment_and_that_beats_the_file() {
    for (flag, environment, file, expected) in [
        (Some("JPY"), Some("EUR"), Some("USD"), "JPY"),
        (None, Some("EUR"), Some("USD"), "EUR"),
        (None, None, Some("USD"), "USD"),
        (None, None, None, "BRL"),
    ] {
        let config = folder();
        let path = config.path().join("mine.toml");
        let line = file.map(|currency| format!("currency = \"{currency}\"\n")).unwrap_or_default();
        std::fs::write(&path, line).expect("a file");
        let configured = |launch: Launch| {
            let launch = launch
                .env("LASTRO_CONFIG", path.as_os_str())
                .args(flag.map(|flag| format!("--currency={flag}")));
            environment
                .into_iter()
                .fold(launch, |launch, currency| launch.env("LASTRO_CURRENCY", currency))
        };
        assert_eq!(currency_of(&Deployment::open_with(configured).await).await, expected);
    }
}

/// The currency of the shop's orders.
async fn currency_of(shop: &Deployment) -> String {
    let mut free = order(&[("MUG", 1)]);
    free["products"][0]["price"] = Value::from(0);
    let id = shop.place(&free).await.text_at("/order_id");
    shop.order(&id).await["currency"].as_str().expect("a currency").to_owned()
}

#[tokio::test]
async fn a_file_beside_the_program_is_found_and_says_where_the_data_is() {
    let folder = folder();
    let file = "listen = \"127.0.0.1:0\"\ndata_dir = \"elsewhere\"\n";
    std::fs::write(folder.path().join("lastro.toml"), file).expect("a file");
    let mut program = lastro(folder.path()).serving().await;
    assert!(
        exists(folder.path(), "elsewhere/orders.db")
            && exists(folder.path(), "elsewhere/inventory.db")
    );
    program.terminate();
    assert_eq!(program.ended(PATIENCE).await, Some(0));
    let audit = lastro(folder.path()).args(["verify"]).to_end().await;
    assert_eq!(audit.code, Some(0), "verify reads the same: {}", audit.stderr);
}

#[tokio::test]
async fn each_database_may_have_a_file_of_its_own() {
    let folder = folder();
    let variables = [
        ("LASTRO_ORDERS_DATABASE_URL", "sqlite:a/o.db"),
        ("LASTRO_INVENTORY_DATABASE_URL", "sqlite:b/i.db"),
    ];
    let configured =
        |launch: Launch| variables.iter().fold(launch, |launch, (name, url)| launch.env(name, url));
    let program = configured(launch(folder.path())).serving().await;
    assert!(
        exists(folder.path(), "a/o.db")
            && exists(folder.path(), "b/i.db")
            && !exists(folder.path(), "data")
    );
    drop(program);
    assert_eq!(configured(lastro(folder.path()).args(["verify"])).to_end().await.code, Some(0));
}

fn exists(folder: &Path, path: &str) -> bool {
    folder.join(path).exists()
}

#[tokio::test]
async fn the_help_names_every_option_with_its_variable() {
    let folder = folder();
    for (arguments, words) in [
        (
            &["--help"][..],
            &["--listen", "LASTRO_LISTEN", "LASTRO_DATA_DIR", "LASTRO_CONFIG", "demo", "verify"][..],
        ),
        (&["verify", "--help"], &["--settled", "--watch", "--metrics-listen", "LASTRO_DATA_DIR"]),
        (&["demo", "--help"], &["--once"]),
        (&["order-service", "--help"], &["LASTRO_DATABASE_URL", "LASTRO_BUS_URL", "127.0.0.1"]),
        (&["inventory-service", "--help"], &["LASTRO_DATABASE_URL", "LASTRO_BUS_URL"]),
    ] {
        let ended = lastro(folder.path()).args(arguments.iter().copied()).to_end().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        for word in words {
            assert!(
                ended.stdout.contains(word),
                "{word} is not in the help of {arguments:?}:\n{}",
                ended.stdout
            );
        }
    }
}

#[tokio::test]
async fn the_demo_plays_its_transcript_and_ends() {
    let folder = folder();
    let ended = lastro(folder.path()).args(["demo", "--once"]).to_end().await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("\ndemo: ok\n"), "{}", ended.stdout);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "it leaves nothing behind"
    );
}

/// `lastro demo --once | head` closes the pipe while the demo is still printing.
#[tokio::test]
async fn a_demo_whose_standard_output_is_closed_stops_its_services_and_ends() {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastro"));
    command.args(["demo", "--once"]).env_remove("LASTRO_DATA_DIR").env("TMPDIR", folder.path());
    command
        .current_dir(folder.path())
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut demo = command.spawn().expect("a program");
    drop(demo.stdout.take());
    let output = tokio::time::timeout(PATIENCE, demo.wait_with_output())
        .await
        .expect("it ends")
        .expect("it ended");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("lastro has stopped") && !log.contains("panicked"), "{log}");
    let last = log.lines().last().expect("a line");
    assert!(last.starts_with("error: the demo failed: ") && last.contains("Broken pipe"), "{last}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "it leaves nothing behind"
    );
}
