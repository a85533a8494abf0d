//! What the documents, the alert rules and the dashboard of Grafana say about metrics is what the
//! programs report, and all of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testbed::{Deployment, Environment, Form, PATIENCE, eventually, lastro};

use expression::Named;

mod expression;

const DOCUMENT: &str = include_str!("../../../../docs/operations.md");
const RULES: &str = include_str!("../../../../deploy/observability/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../deploy/observability/grafana-dashboard.json");
/// What Prometheus adds itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// Words of the document that only look like a metric: limits of a stream.
const OF_OTHERS: [&str; 1] = ["max_bytes"];
/// Labels that Prometheus adds, and that of the buckets of a histogram.
const LABELS_OF_PROMETHEUS: [&str; 6] =
    ["job", "instance", "le", "alertname", "alertstate", "severity"];

/// The metrics of some programs: the labels that each has, if it has any series.
#[derive(Debug, Default)]
struct Scrape {
    /// By the name in documents: that of the counter, the gauge, or the whole histogram.
    metrics: BTreeMap<String, BTreeSet<String>>,
    /// The metric of each name of a sample.
    samples: BTreeMap<String, String>,
}

impl Scrape {
    fn add(&mut self, text: &str) {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for (family, kind) in types.filter_map(|line| line.split_once(' ')) {
            let (metric, samples) = match kind {
                "counter" => (format!("{family}_total"), vec![format!("{family}_total")]),
                "info" => (format!("{family}_info"), vec![format!("{family}_info")]),
                "histogram" => {
                    let samples = ["bucket", "sum", "count"].map(|end| format!("{family}_{end}"));
                    (family.to_owned(), samples.into())
                }
                _ => (family.to_owned(), vec![family.to_owned()]),
            };
            self.samples.extend(samples.into_iter().map(|sample| (sample, metric.clone())));
            self.metrics.entry(metric).or_default();
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let metric = self.samples.get(name).unwrap_or_else(|| panic!("{line} has no type"));
            let labels = Named::by(line.rsplit_once(' ').map_or(line, |(series, _)| series));
            let labels = labels.matched.into_iter().map(|(_, label)| label);
            let labels = labels.filter(|label| label != "le");
            self.metrics.get_mut(metric).expect("a metric").extend(labels);
        }
    }

    /// What is wrong with an expression, if anything is.
    fn faults(&self, expression: &str) -> Vec<String> {
        let Named { samples, matched, listed } = Named::by(expression);
        let is_own = |sample: &String| !OF_PROMETHEUS.contains(&sample.as_str());
        let has = |sample: &str, label: &str| {
            let metric = self.samples.get(sample);
            LABELS_OF_PROMETHEUS.contains(&label)
                || metric.is_some_and(|metric| self.metrics[metric].contains(label))
        };
        let unknown =
            samples.iter().filter(|sample| is_own(sample) && !self.samples.contains_key(*sample));
        let mut faults: Vec<_> = unknown.map(|sample| format!("no metric {sample}")).collect();
        let wrong = matched.iter().filter(|(sample, label)| is_own(sample) && !has(sample, label));
        faults.extend(wrong.map(|(sample, label)| format!("{sample} has no label {label}")));
        let wrong = listed.iter().filter(|label| !samples.iter().any(|sample| has(sample, label)));
        faults.extend(wrong.map(|label| format!("no label {label}")));
        faults
    }
}

/// The metrics of the program with both services, and of each service in a program of its own, with
/// keys and a broker.
async fn scrape() -> Scrape {
    let mut scrape = Scrape::default();
    let whole = Deployment::in_form(Form::Embedded).await;
    whole.stock("MUG", 1).await;
    whole.confirmed(&[("MUG", 1)]).await;
    whole.settle(&[("MUG", 1)]).await;
    let text = eventually(PATIENCE, "the file was looked at", async || {
        let answer = whole.get("/metrics").await;
        answer.text.contains("sqlite_checkpoints_total{").then_some(answer.text)
    });
    scrape.add(&text.await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.toml");
    let create = ["keys", "create", "--name", "x", "--scope", "orders:read", "--file"];
    let made = lastro(folder.path()).args(create).args([&file]).to_end().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut environment = Environment::of(Form::Processes).await.watched();
    for service in ["order-service", "inventory-service"] {
        let its = file.clone().into_os_string();
        environment.variables.push((service, "LASTRO_API_KEYS_FILE", its));
    }
    let apart = Deployment::open_as(Form::Processes, environment).await;
    for (_, address) in apart.environment.metrics() {
        let text = eventually(PATIENCE, "the keys were looked at", async || {
            let answer = reqwest::get(format!("http://{address}/metrics")).await.ok()?;
            let text = answer.text().await.ok()?;
            text.contains("api_keys_expiring{").then_some(text)
        });
        scrape.add(&text.await);
    }
    scrape
}

/// The lines of a section of the document.
fn section(title: &str) -> impl Iterator<Item = &'static str> {
    let title = format!("## {title}");
    let lines = DOCUMENT.lines().skip_while(move |line| *line != title).skip(1);
    lines.take_while(|line| !line.starts_with("## "))
}

/// The metrics of the document's table with their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let rows = section("Metrics").filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| {
        let cell = row.split(" | ").next().unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let parsed = names.map(|name| {
        let named = Named::by(&name);
        let metric = named.samples.into_iter().next().expect("a name");
        (metric, named.matched.into_iter().map(|(_, label)| label).collect())
    });
    parsed.collect()
}

/// The alerts with their expressions.
fn rules() -> BTreeMap<&'static str, String> {
    let mut rules = BTreeMap::<_, String>::new();
    let (mut alert, mut is_expression) = ("", false);
    for line in RULES.lines() {
        let (key, value) = line.trim().split_once(": ").unwrap_or((line.trim(), ""));
        match key {
            "- alert" => alert = value,
            "expr" => {
                is_expression = true;
                rules.insert(alert, value.trim_start_matches('|').to_owned());
                continue;
            }
            "for" | "labels" => is_expression = false,
            _ if is_expression => rules.entry(alert).or_default().push_str(line),
            _ => {}
        }
    }
    rules
}

/// The expressions of the dashboard's panels, with their titles.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let of_panel = |panel: &Value| -> Vec<(String, String)> {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"]))).collect()
    };
    panels.flat_map(of_panel).collect()
}

#[tokio::test]
async fn what_documents_rules_and_the_dashboard_say_about_metrics_is_what_a_scrape_has() {
    let scrape = scrape().await;
    let documented = documented();
    let names = |metrics: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        metrics.keys().cloned().collect()
    };
    assert_eq!(names(&documented), names(&scrape.metrics), "the table of the document");
    for (metric, labels) in scrape.metrics.iter().filter(|(_, labels)| !labels.is_empty()) {
        assert_eq!(&documented[metric], labels, "the labels of {metric}");
    }
    let mut faults = Vec::new();
    for (alert, expression) in rules() {
        faults.extend(
            scrape.faults(&expression).into_iter().map(|fault| format!("{alert}: {fault}")),
        );
    }
    let panels = panels();
    assert!(panels.len() > 20, "the panels are found");
    for (title, expression) in panels {
        faults.extend(
            scrape.faults(&expression).into_iter().map(|fault| format!("{title}: {fault}")),
        );
    }
    for name in DOCUMENT.split('`').skip(1).step_by(2).filter(|word| looks_like_a_metric(word)) {
        if Named::by(name).samples.iter().any(|sample| {
            !scrape.samples.contains_key(sample) && !scrape.metrics.contains_key(sample)
        }) {
            faults.push(format!("docs/operations.md: no metric {name}"));
        }
    }
    assert_eq!(faults, [""; 0]);
}

fn looks_like_a_metric(word: &str) -> bool {
    let name = word.split('{').next().unwrap_or_default();
    let ends = ["_total", "_seconds", "_bytes"];
    !name.contains([' ', '/', '.', '('])
        && !OF_OTHERS.contains(&name)
        && ends.iter().any(|end| name.ends_with(end))
}

#[test]
fn every_alert_has_a_section_in_the_document_and_leads_there() {
    let rules: BTreeSet<_> = rules().into_keys().collect();
    let sections = section("Alerts").filter_map(|line| line.strip_prefix("### "));
    assert_eq!(sections.collect::<BTreeSet<_>>(), rules);
    let links = RULES.lines().filter_map(|line| line.trim().strip_prefix("runbook: "));
    let expected: BTreeSet<_> =
        rules.iter().map(|alert| format!("docs/operations.md#{}", alert.to_lowercase())).collect();
    assert_eq!(links.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}
