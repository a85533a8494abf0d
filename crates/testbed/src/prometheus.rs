//! A throwaway Prometheus with the alert rules that are deployed. It scrapes the programs of a
//! test.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use reqwest::{Client, Url};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::ports::Port;
use crate::{PATIENCE, eventually};

/// The rules, from this crate's folder.
const RULES: &str = "../../deploy/observability/alerts.yml";
/// The ranges that rules look back on, and the one that they have in tests.
const RANGES: [&str; 5] = ["[1d]", "[1h]", "[15m]", "[10m]", "[5m]"];
const SHORT_RANGE: &str = "[15s]";

/// A server that scrapes every second, and evaluates the rules as often. They look back 15 s, and
/// fire at once, without their `for`.
///
/// Dropping it kills the server.
#[derive(Debug)]
pub struct Prometheus {
    _server: Child,
    port: Port,
    _folder: TempDir,
    client: Client,
}

impl Prometheus {
    /// Starts a server that scrapes these targets, each of a job, and waits until it has reached
    /// all of them.
    ///
    /// # Panics
    ///
    /// Panics with an instruction if there is no Prometheus.
    pub async fn of(targets: &[(&str, SocketAddr)]) -> Self {
        let program = std::env::var("LASTRO_TEST_PROMETHEUS")
            .expect("a Prometheus; run it as: scripts/with-servers cargo test …");
        let folder = tempfile::tempdir().expect("a folder");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
        let rules = std::fs::read_to_string(rules).expect("the rules");
        std::fs::write(folder.path().join("alerts.yml"), hastened(&rules)).expect("a file");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, settings(targets)).expect("a file");
        let port = Port::free();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number))
            .arg("--log.level=error");
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let server = command.spawn().expect("Prometheus starts");
        let client = Client::builder().no_proxy().build().expect("a client");
        let prometheus = Self { _server: server, port, _folder: folder, client };
        eventually(PATIENCE, "Prometheus scrapes every target", async || {
            let up = prometheus.values("up == 1").await?;
            (up.len() == targets.len()).then_some(())
        })
        .await;
        prometheus
    }

    /// The values that an expression has now, one for each set of labels; `None` if the server does
    /// not answer.
    pub async fn values(&self, expression: &str) -> Option<Vec<f64>> {
        let answer = self.ask("query", &[("query", expression)]).await?;
        let series = answer["data"]["result"].as_array()?;
        series.iter().map(|series| series["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The labels of each alert of this name that fires now.
    pub async fn firing(&self, alert: &str) -> Option<Vec<Value>> {
        let answer = self.ask("alerts", &[]).await?;
        let alerts = answer["data"]["alerts"].as_array()?.iter();
        let labels = alerts.map(|alert| alert["labels"].clone());
        Some(labels.filter(|labels| labels["alertname"] == alert).collect())
    }

    /// Waits until the alert fires, and returns the labels of its first instance.
    pub async fn fires(&self, alert: &str) -> Value {
        eventually(PATIENCE, &format!("{alert} fires"), async || {
            self.firing(alert).await?.into_iter().next()
        })
        .await
    }

    /// Waits until the alert does not fire any more.
    pub async fn clears(&self, alert: &str) {
        eventually(PATIENCE, &format!("{alert} clears"), async || {
            self.firing(alert).await?.is_empty().then_some(())
        })
        .await;
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{what}", self.port.number);
        let url = Url::parse_with_params(&url, query).expect("a URL");
        let asked = self.client.get(url).send().await.ok()?;
        let answer: Value = serde_json::from_slice(&asked.bytes().await.ok()?).ok()?;
        assert!(answer["error"].is_null(), "{query:?}: {answer}");
        Some(answer)
    }
}

/// The rules with short ranges and without waiting.
fn hastened(rules: &str) -> String {
    let mut hastened = String::new();
    for line in rules.lines().filter(|line| !line.trim_start().starts_with("for: ")) {
        let line =
            RANGES.iter().fold(line.to_owned(), |line, range| line.replace(range, SHORT_RANGE));
        assert!(!["d]", "h]", "m]"].iter().any(|end| line.contains(end)), "a new range: {line}");
        hastened.push_str(&line);
        hastened.push('\n');
    }
    hastened
}

fn settings(targets: &[(&str, SocketAddr)]) -> String {
    let mut settings = String::from(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n\
         rule_files: [alerts.yml]\nscrape_configs:\n",
    );
    let mut jobs: Vec<_> = targets.iter().map(|(job, _)| *job).collect();
    jobs.dedup();
    for job in jobs {
        let of_job = targets.iter().filter(|(its, _)| *its == job);
        let addresses: Vec<_> = of_job.map(|(_, address)| format!("\"{address}\"")).collect();
        let addresses = addresses.join(", ");
        writeln!(
            settings,
            "  - {{ job_name: {job}, static_configs: [ {{ targets: [ {addresses} ] }} ] }}"
        )
        .expect("a string takes everything");
    }
    settings
}
