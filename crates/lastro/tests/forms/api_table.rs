//! The API as clients see it, in one table that they can rely on: `api.txt`, in this folder.
//!
//! The test sends every row to a shop, from top to bottom, and the answer must be the one in the
//! row. To add a row, write its first three columns, with `|` between them, and run the test with
//! `LASTRO_BLESS=1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use testbed::{Deployment, Form, JSON, Response, golden, operations, order};

tried_on!(every form:
    every_request_of_the_table_gets_the_answer_that_stands_there
);

const TABLE: &str = include_str!("api.txt");
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Paths beside the API.
const OWN_PATHS: [&str; 10] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/docs/initializer.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
];
/// Codes that no request alone can cause: this shop asks for no API keys and has no rate limits, a
/// thousand locations and two hundred changes of one order are no scene for a table, no order is busy
/// for long, no client of these tests sends what is not HTTP or half a body, and the rest are faults
/// of the storage, which other tests inject, and of rows of an import, which are in the lines of its
/// answer.
const ELSEWHERE: [&str; 19] = [
    "malformed_request",
    "uri_too_long",
    "headers_too_large",
    "incomplete_body",
    "unknown_product",
    "malformed_row",
    "duplicate_row",
    "too_many_locations",
    "order_busy",
    "too_many_changes",
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "internal",
    "overloaded",
    "storage_full",
    "storage_unavailable",
    "outcome_unknown",
    "shutting_down",
];
/// The operations that succeed only where a message was set aside or a command waits, which no
/// request brings about. `tests/api/operators.rs` shows that they do.
const AFTER_FAULTS: [&str; 6] = [
    "GET /api/inventory/quarantine/{id}",
    "GET /api/orders/quarantine/{id}",
    "POST /api/inventory/quarantine/{id}/discard",
    "POST /api/orders/pending/{order_id}/retry",
    "POST /api/orders/quarantine/{id}/discard",
    "POST /api/orders/quarantine/{id}/retry",
];
/// The headers of an answer that the table shows.
const TELLING: [&str; 5] =
    ["Content-Type", "Location", "Allow", "Idempotent-Replayed", "Preference-Applied"];
/// The content types that are usual, and that the table leaves out.
const USUAL: [&str; 2] = ["application/json", "application/problem+json"];

/// A row of the table: the methods of the first column give the same answer.
#[derive(Debug)]
struct Row {
    methods: Vec<String>,
    path: String,
    /// Headers and, at the end, the body, with ` + ` between them.
    sent: String,
    answer: String,
}

impl Row {
    fn parse(line: &str) -> Self {
        let mut columns = line.split('|').map(|column| column.trim().to_owned());
        let mut next = || columns.next().unwrap_or_default();
        let methods = next().split_whitespace().map(str::to_owned).collect();
        Self { methods, path: next(), sent: next(), answer: next() }
    }

    /// The path of the API that this row's path matches, if there is one.
    fn pattern<'a>(&self, patterns: &[&'a str]) -> Option<&'a str> {
        let path = self.path.split('?').next().unwrap_or_default();
        let fits = |pattern: &str| {
            let (parts, given): (Vec<_>, Vec<_>) =
                (pattern.split('/').collect(), path.split('/').collect());
            let same_length = parts.len() == given.len();
            same_length
                && parts
                    .iter()
                    .zip(&given)
                    .all(|(part, its)| part == its || (part.starts_with('{') && !its.is_empty()))
        };
        let literal = patterns.iter().find(|pattern| **pattern == path);
        literal.or_else(|| patterns.iter().find(|pattern| fits(pattern))).copied()
    }
}

/// The lines of the table that are rows.
fn rows(table: &str) -> impl Iterator<Item = Row> + '_ {
    table.lines().filter(|line| is_row(line)).map(Row::parse)
}

fn is_row(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

async fn every_request_of_the_table_gets_the_answer_that_stands_there(form: Form) {
    let shop = Deployment::in_form(form).await;
    let names = scene(&shop).await;
    let mut lines = Vec::new();
    for line in TABLE.lines() {
        if !is_row(line) {
            lines.push(line.to_owned());
            continue;
        }
        let row = Row::parse(line);
        let mut answers = BTreeSet::new();
        for method in &row.methods {
            answers.insert(ask(&shop, method, &row, &names).await);
        }
        let answer = answers.into_iter().collect::<Vec<_>>().join(" OR ");
        let [methods, path, sent] =
            [(&row.methods.join(" "), 29), (&row.path, 56), (&row.sent, 64)]
                .map(|(column, width)| format!("{column:<width$}"));
        lines.push(format!("{methods} | {path} | {sent} | {answer}"));
    }
    golden::check("crates/lastro/tests/forms/api.txt", &(lines.join("\n") + "\n"));
    shop.must_verify().await;
}

/// The values of the names in braces: orders in each final status, and bodies that would not fit
/// into the table.
async fn scene(shop: &Deployment) -> BTreeMap<&'static str, String> {
    shop.stock("MUG", 50).await;
    let cancelled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    let fulfilled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&fulfilled, "fulfill").await.ok();
    let line = r#"{"product_id": "MUG", "quantity": 1, "price": 19.99}"#;
    BTreeMap::from([
        ("{an order}", order(&[("MUG", 1)]).to_string()),
        ("{another order}", order(&[("MUG", 2)]).to_string()),
        ("{101 lines}", order(&[("MUG", 1); 101]).to_string()),
        ("{300 KB}", format!(r#"{{"customer_id": "{}"}}"#, "x".repeat(300_000))),
        ("{line}", line.to_owned()),
        ("{a count}", "product_id,name,quantity\nCUP,Cup,7\nCUP,Cup,8\n".to_owned()),
        ("{confirmed}", shop.confirmed(&[("MUG", 1)]).await),
        ("{to change}", shop.confirmed(&[("MUG", 5)]).await),
        ("{to pay}", shop.reserved(&[("MUG", 2)]).await),
        ("{reserved}", shop.reserved(&[("MUG", 1)]).await),
        ("{to ship}", shop.confirmed(&[("MUG", 1)]).await),
        ("{rejected}", shop.settle(&[("MUG", 999)]).await.0),
        ("{cancelled}", cancelled),
        ("{fulfilled}", fulfilled),
        ("{unknown}", "0197a9c4-0000-7000-8000-000000000000".to_owned()),
    ])
}

async fn ask(shop: &Deployment, method: &str, row: &Row, names: &BTreeMap<&str, String>) -> String {
    let filled = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let (path, sent) = (filled(&row.path), filled(&row.sent));
    let (mut headers, mut body) = (Vec::new(), "");
    for part in sent.split(" + ").filter(|part| !part.is_empty()) {
        match part
            .split_once(": ")
            .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
        {
            Some(header) => headers.push(header),
            None => body = part,
        }
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "Content-Type") {
        headers.push(JSON);
    }
    reported(&shop.send(method, &path, &headers, body.to_owned()).await, method)
}

/// An answer in one line: the status, the code of a problem with its faults, and some headers.
fn reported(answer: &Response, method: &str) -> String {
    let verdict = if method == "HEAD" { answer.status.to_string() } else { answer.verdict() };
    let faults = if verdict.contains(' ') { answer.faults() } else { Vec::new() };
    let headers = TELLING.iter().filter_map(|name| {
        let value = answer.header(name).filter(|value| !USUAL.contains(value))?;
        let shown = value.strip_prefix("/api/orders/").map(|rest| {
            let below = rest.find('/').map_or("", |at| &rest[at..]);
            format!("/api/orders/{{order_id}}{below}")
        });
        Some(format!("{name}={}", shown.as_deref().unwrap_or(value).replace(' ', "")))
    });
    let faults = faults.iter().map(|fault| format!("[{fault}]"));
    [verdict].into_iter().chain(faults).chain(headers).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_table_has_every_path_with_every_method() {
    let shop = Deployment::in_form(Form::Embedded).await;
    let api = shop.description().await;
    let paths = api["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str)
        .chain(OWN_PATHS)
        .collect::<Vec<_>>();
    let in_table: BTreeSet<_> = rows(TABLE)
        .filter_map(|row| Some((row.pattern(&paths)?.to_owned(), row.methods)))
        .flat_map(|(path, methods)| {
            methods.into_iter().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let wanted = paths.iter().flat_map(|path| METHODS.map(|method| format!("{method} {path}")));
    let missing: Vec<_> = wanted.filter(|one| !in_table.contains(one)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

#[tokio::test]
async fn the_table_and_the_description_of_the_api_agree() {
    let shop = Deployment::in_form(Form::Embedded).await;
    let api = shop.description().await;
    let paths: Vec<_> =
        api["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    let described: BTreeMap<_, _> = operations(&api).into_iter().collect();
    let mut succeeded = BTreeSet::new();
    for row in rows(TABLE).filter(|row| row.path.starts_with("/api/")) {
        let status = row.answer.split(' ').next().unwrap_or_default();
        for method in row.methods.iter().filter(|method| *method != "HEAD") {
            let Some(pattern) = row.pattern(&paths) else {
                assert!(status.starts_with('4'), "{row:?} is not described");
                continue;
            };
            let name = format!("{method} {pattern}");
            match described.get(&name) {
                Some(operation) => {
                    assert!(
                        !operation["responses"][status].is_null(),
                        "{name}: {status} is not described"
                    );
                }
                None => assert_eq!(status, "405", "{name} is not described"),
            }
            succeeded.extend(status.starts_with('2').then_some(name));
        }
    }
    let described: BTreeSet<_> = described.into_keys().collect();
    let after_faults = AFTER_FAULTS.map(str::to_owned);
    assert!(after_faults.iter().all(|name| !succeeded.contains(name)), "no fault is needed");
    succeeded.extend(after_faults);
    assert_eq!(succeeded, described, "each operation succeeds once in the table");
}

#[tokio::test]
async fn the_table_has_every_code_that_a_request_can_bring_about() {
    let shop = Deployment::in_form(Form::Embedded).await;
    let api = shop.description().await;
    let schemas = &api["components"]["schemas"];
    let names = |schema: &str| -> BTreeSet<String> {
        let names = schemas[schema]["enum"]
            .as_array()
            .unwrap_or_else(|| panic!("{schema} is not described"));
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    let words: BTreeSet<_> =
        TABLE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect();
    let missing: Vec<_> = names("Code")
        .union(&names("FaultCode"))
        .filter(|code| !words.contains(*code))
        .cloned()
        .collect();
    let elsewhere: BTreeSet<_> = ELSEWHERE.into_iter().map(str::to_owned).collect();
    assert_eq!(missing.into_iter().collect::<BTreeSet<_>>(), elsewhere);
}

#[test]
fn a_row_leads_to_the_path_that_fits_it_best() {
    let patterns =
        ["/api/orders", "/api/orders/{order_id}", "/api/orders/{order_id}/cancel", "/docs"];
    let pattern = |path: &str| Row::parse(&format!("GET | {path} | | 200")).pattern(&patterns);
    assert_eq!(pattern("/api/orders?limit=1"), Some("/api/orders"));
    assert_eq!(pattern("/api/orders/{confirmed}/cancel"), Some("/api/orders/{order_id}/cancel"));
    assert_eq!(pattern("/api/orders/x/y"), None);
    assert_eq!(Value::from(pattern("/docs")), Value::from("/docs"));
}
