//! `lastro bench --suite`: what it prints, what it leaves behind, and whether its null server
//! answers as the Order Service does. Its figures are not tested.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testbed::{Launch, Program, Response, lastro, order, program_under_test};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(120);

fn suite(folder: &Path, arguments: &[&str]) -> Launch {
    let launch = lastro(folder).args(["bench", "--suite", "--quick"]).env("TMPDIR", folder);
    launch.args(arguments.iter().copied())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("the folder").next().is_none()
}

#[tokio::test]
async fn a_row_is_measured_by_itself_and_printed_as_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended =
        suite(folder.path(), &["--row", "embedded", "--json"]).to_end_within(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).expect("a document");
    assert_eq!(document["quick"], true, "{document:#}");
    let lines = document["lines"].as_array().expect("lines");
    let [ratio, load] = &lines[..] else { panic!("{document:#}") };
    assert_eq!((&ratio["row"], &ratio["target"]), (&"embedded".into(), &"≥ 0.5".into()));
    assert_eq!((&ratio["unit"], &ratio["runs"]), (&"ratio".into(), &1.into()));
    assert!(ratio["denominator"]["median"].as_f64().is_some_and(|rate| rate > 0.0), "{ratio:#}");
    for member in ["numerator", "denominator"] {
        assert_eq!(ratio[member]["values"].as_array().map(Vec::len), Some(1), "{ratio:#}");
    }
    assert!(load["value"].as_f64().is_some_and(|cost| cost > 0.0), "{load:#}");
    assert!(load["denominator"].is_null() && load["target"].is_null(), "{load:#}");
    assert!(is_empty(folder.path()), "nothing is left behind");
}

#[tokio::test]
async fn a_table_names_its_rows_and_says_that_it_is_quick() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--row", "start", "--stored-orders", "500", "--runs", "2"];
    let ended = suite(folder.path(), &arguments).to_end_within(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.starts_with("QUICK"), "{}", ended.stdout);
    let line = ended.stdout.lines().last().expect("a line");
    assert!(line.starts_with("start "), "{line}");
    for part in ["embedded", "start with 500 stored orders", " 2  < 1", "s until ready"] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    assert!(is_empty(folder.path()), "nothing is left behind");
}

#[tokio::test]
async fn an_interrupted_suite_ends_its_servers_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program_under_test());
    command.args(["bench", "--suite", "--row", "pgbench", "--quick"]).current_dir(folder.path());
    command.env("TMPDIR", folder.path()).kill_on_drop(true).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let measuring = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line == "pgbench: pgbench" {
                return;
            }
        }
        panic!("it ended early");
    };
    tokio::time::timeout(PATIENCE, measuring).await.expect("it measures");
    let servers = processes_on(folder.path());
    assert!(!servers.is_empty(), "PostgreSQL runs");
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("it runs"), Signal::INT).expect("it can be interrupted");
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends");
    assert_eq!(ended.expect("it ended").code(), Some(1));
    let last = lines.next_line().await.expect("a pipe");
    assert_eq!(last.as_deref(), Some("error: interrupted"));
    assert!(is_empty(folder.path()), "nothing is left behind");
    assert_eq!(processes_on(folder.path()), [0; 0], "a server still runs");
}

/// The processes whose arguments name this folder.
fn processes_on(folder: &Path) -> Vec<u32> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").expect("Linux").filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        arguments.windows(folder.len()).any(|part| part == folder).then_some(pid)
    });
    processes.collect()
}

#[tokio::test]
async fn the_null_server_answers_as_the_order_service_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = ["--listen", "127.0.0.1:0"];
    let service = lastro(folder.path()).args(listen).serving().await;
    let null = lastro(folder.path()).args(["null-server"]).args(listen).serving().await;
    for body in [order(&[("mug", 2)]).to_string(), r#"{"customer_id": 7}"#.to_owned()] {
        let of_service = response(&service, &body).await;
        let of_null = response(&null, &body).await;
        assert_eq!(of_null, of_service, "{body}");
    }
    let path = format!("http://{}/api/orders", null.address());
    let list = reqwest::get(path).await.expect("an answer");
    assert_eq!(list.status().as_u16(), 405, "it has no orders");
}

/// The response to an order: the status, the headers and the body, without ids and times.
async fn response(program: &Program, body: &str) -> (u16, Vec<(String, String)>, String) {
    let client = reqwest::Client::new();
    let request = client
        .post(format!("http://{}/api/orders", program.address()))
        .header("content-type", "application/json")
        .header("x-request-id", "the-same")
        .body(body.to_owned());
    let response = Response::of(request.send().await.expect("an answer")).await;
    let response = response.expect("a whole answer");
    let id = response.json()["order_id"].as_str().unwrap_or("none").to_owned();
    let without_id = |text: &str| text.replace(&id, "ID");
    let headers = response.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| {
        (name.to_string(), without_id(value.to_str().expect("a header of plain ASCII")))
    });
    (response.status, headers.collect(), without_id(&response.text))
}

#[tokio::test]
async fn the_suite_takes_its_own_options_only() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["bench", "--row", "cost"][..],
        &["bench", "--quick"],
        &["bench", "--suite", "--row", "fast"],
        &["bench", "--suite", "--clients", "5"],
        &["bench", "--suite", "--url", "http://127.0.0.1:9"],
    ] {
        let ended = lastro(folder.path()).args(arguments.iter().copied()).to_end().await;
        ended.must_be_a_usage_error(arguments);
    }
}
