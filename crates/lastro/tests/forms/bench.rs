//! `lastro bench`: its figures must add up. Its speed is not tested.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testbed::{
    Deployment, Ended, Form, Launch, Program, data_in, lastro, program_under_test, verify,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

tried_on!(every form:
    a_shop_that_runs_already_is_put_under_load_where_it_is
    the_table_says_that_nothing_was_audited
);

const PATIENCE: Duration = Duration::from_secs(120);
/// A small load.
const SHORT: [&str; 6] = ["--warm-up", "200ms", "--duration", "1s", "--products", "20"];

fn bench(folder: &Path, arguments: &[&str]) -> Launch {
    lastro(folder).args(["bench"]).args(SHORT).args(arguments.iter().copied())
}

/// The JSON document of a run, which must have succeeded.
#[track_caller]
fn document(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

fn count(document: &Value, pointer: &str) -> u64 {
    let value = document.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no count at {pointer}: {document:#}"))
}

/// Checks that every accepted order has an outcome, and that every request has an answer.
#[track_caller]
fn check_sums(document: &Value) {
    let whole = |name: &str| count(document, &format!("/whole_run/{name}"));
    assert!(whole("accepted") > 0, "{document:#}");
    assert_eq!(whole("accepted"), whole("placed"), "{document:#}");
    assert_eq!(whole("placed"), whole("confirmed") + whole("rejected"), "{document:#}");
    assert_eq!(whole("sent"), whole("accepted") + whole("shed"), "{document:#}");
    assert_eq!(
        (whole("failed"), whole("unsettled"), whole("commands_pending")),
        (0, 0, 0),
        "{document:#}"
    );
    let measured = count(document, "/measured/accepted");
    assert!(0 < measured && measured <= whole("accepted"), "{document:#}");
    let samples = |name: &str| count(document, &format!("/latency_ms/{name}/samples"));
    let seen = if document["latency_ms"]["receipt_as_measured"].is_null() {
        "receipt"
    } else {
        "receipt_as_measured"
    };
    let timed = samples("outcome") + samples(seen);
    assert!(0 < timed && timed <= whole("accepted") + whole("unsent"), "{document:#}");
    assert_eq!((&document["ok"], &document["interrupted"]), (&true.into(), &false.into()));
}

fn names<'a>(document: &'a Value, list: &str) -> Vec<&'a str> {
    let list = document[list].as_array().expect("a list");
    list.iter().map(|entry| entry["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_shop_of_its_own_is_put_under_load_and_audited() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--clients",
        "4",
        "--popularity",
        "hot",
        "--stock",
        "50",
        "--settle-sample",
        "50",
        "--json",
    ];
    let launch = bench(folder.path(), &arguments).env("TMPDIR", folder.path());
    let document = document(&launch.to_end_within(PATIENCE).await);
    check_sums(&document);
    assert_eq!(document["setting"]["loop"]["kind"], "closed");
    assert_eq!(document["latency_ms"]["correction"], "expected_interval");
    assert_eq!(names(&document, "processes"), ["lastro", "bench"]);
    assert_eq!(document["audit"]["clean"], true, "{document:#}");
    assert_eq!(document["audit"]["invariants"].as_array().map(Vec::len), Some(11));
    for service in ["orders", "inventory"] {
        assert!(
            count(&document, &format!("/commands_per_commit/{service}/commits")) > 0,
            "{document:#}"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "nothing is left behind"
    );
}

/// The addresses of a shop's programs, and the options with these addresses.
fn addressed(shop: &Deployment) -> (Vec<String>, Vec<String>) {
    let (orders, inventory) = shop.programs.addresses();
    let url = |address: &SocketAddr| format!("http://{address}");
    let all: Vec<String> = orders.iter().chain(&inventory).map(url).collect();
    let options = match (&orders[..], &inventory[..]) {
        ([whole], []) => vec!["--url".to_owned(), url(whole)],
        ([orders, ..], [inventory, ..]) => {
            let each = all.iter().flat_map(|url| ["--metrics-url".to_owned(), url.clone()]);
            let first = [
                "--orders-url".to_owned(),
                url(orders),
                "--inventory-url".to_owned(),
                url(inventory),
            ];
            first.into_iter().chain(each).collect()
        }
        _ => panic!("{all:?}"),
    };
    (all, options)
}

async fn a_shop_that_runs_already_is_put_under_load_where_it_is(form: Form) {
    let shop = Deployment::in_form(form).await;
    let (urls, to) = addressed(&shop);
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let open =
        [&to[..], &["--rate", "100", "--popularity", "zipf", "--lines", "2", "--json"]].concat();
    let audited = [open.clone(), shop.environment.data_arguments()].concat();
    let first = document(&bench(shop.folder(), &audited).to_end_within(PATIENCE).await);
    check_sums(&first);
    assert_eq!(
        (&first["setting"]["loop"]["kind"], &first["audit"]["clean"]),
        (&"open".into(), &true.into())
    );
    let processes: Vec<_> = urls.iter().map(String::as_str).chain(["bench"]).collect();
    assert_eq!(names(&first, "processes"), processes);
    // The products exist already, and no option names the databases.
    let second = document(&bench(shop.folder(), &open).to_end_within(PATIENCE).await);
    check_sums(&second);
    assert!(second["audit"].is_null());
    let (orders, _) = shop.pages("/api/orders?limit=200").await;
    assert_eq!(
        orders.len() as u64,
        count(&first, "/whole_run/placed") + count(&second, "/whole_run/placed")
    );
    shop.must_verify().await;
}

#[tokio::test]
async fn a_rate_that_cannot_be_kept_up_is_reported_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = document(
        &bench(folder.path(), &["--rate", "50000", "--connections", "1", "--json"])
            .to_end_within(PATIENCE)
            .await,
    );
    check_sums(&document);
    assert!(
        count(&document, "/whole_run/unsent") > count(&document, "/whole_run/sent"),
        "{document:#}"
    );
}

#[tokio::test]
async fn an_interrupted_run_prints_what_it_has_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program_under_test());
    command.args([
        "bench",
        "--json",
        "--clients",
        "2",
        "--products",
        "20",
        "--warm-up",
        "0s",
        "--duration",
        "60m",
    ]);
    command.env_remove("LASTRO_DATA_DIR").env_remove("LASTRO_BUS_URL").env("TMPDIR", folder.path());
    command
        .current_dir(folder.path())
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let some_accepted = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("accepted") && !line.contains("accepted 0 ") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, some_accepted).await.expect("it tells how it goes");
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw)
        .expect("it runs");
    kill_process(pid, Signal::INT).expect("it can be interrupted");
    let read_on = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("it ends")
        .expect("it ended");
    read_on.await.expect("nothing panics");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(
        (output.status.code(), &document["interrupted"]),
        (Some(0), &true.into()),
        "{document:#}"
    );
    assert!(count(&document, "/whole_run/accepted") > 0, "{document:#}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

async fn the_table_says_that_nothing_was_audited(form: Form) {
    let shop = Deployment::in_form(form).await;
    let (_, to) = addressed(&shop);
    let ended = bench(shop.folder(), &["--clients", "2"]).args(to).to_end_within(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("\nThe databases were NOT audited"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("INV-1"), "{}", ended.stdout);
}

#[tokio::test]
async fn data_that_is_there_already_is_not_put_under_load() {
    let folder = Deployment::in_form(Form::Embedded).await.close().await;
    let ended = bench(folder.path(), &["--data-dir", "data"]).to_end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("already contains data"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_kept_folder_can_be_audited_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = bench(folder.path(), &["--clients", "2", "--data-dir", "data", "--json"]);
    check_sums(&document(&kept.to_end_within(PATIENCE).await));
    let ended = verify(folder.path(), &["--settled"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(data_in(folder.path()).join("orders.db").exists());
}

#[tokio::test]
async fn what_cannot_be_meant_is_a_mistake_of_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--clients", "2", "--rate", "5"][..],
        &["--orders-url", "http://127.0.0.1:9"],
        &["--lines", "30"],
        &["--url", "ftp://127.0.0.1"],
    ] {
        let ended = bench(folder.path(), arguments).to_end().await;
        ended.must_be_a_usage_error(arguments);
    }
}

#[tokio::test]
async fn a_shop_that_does_not_answer_is_reported_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed: Program = lastro(folder.path()).args(["--listen", "127.0.0.1:0"]).serving().await;
    let url = format!("http://{}", closed.address());
    drop(closed);
    let ended = bench(folder.path(), &["--url", &url]).to_end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let last = ended.stderr.lines().last().expect("a line");
    assert!(
        last.starts_with("error: cannot stock the products: ") && last.contains("connection"),
        "{last}"
    );
}
