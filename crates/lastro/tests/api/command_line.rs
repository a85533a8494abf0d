//! The command line that asks the services over HTTP: what it prints for people and for scripts,
//! and how it ends.

use serde_json::Value;
use testbed::{Deployment, Ended, Launch, lastro};

mod admin_log;
mod broken;
mod catalogue;
mod encrypted;
mod errors;
mod events;
mod files;
mod operators;
mod orders;
mod stock;
mod terminal;

/// `lastro` with the address of the shop.
fn tool(shop: &Deployment) -> Launch {
    let url = |path: &str| format!("http://{}", shop.programs.address_of(path));
    lastro(shop.folder())
        .env("LASTRO_URL", url("/api/orders"))
        .env("LASTRO_INVENTORY_URL", url("/api/inventory/products"))
}

async fn run(shop: &Deployment, words: &[&str]) -> Ended {
    tool(shop).args(words.iter().copied()).to_end().await
}

/// Runs a command that must succeed, and returns what it printed.
async fn printed(shop: &Deployment, words: &[&str]) -> String {
    let ended = run(shop, words).await;
    assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Runs a command with `--json` that must succeed, and returns each line.
async fn lines(shop: &Deployment, words: &[&str]) -> Vec<Value> {
    let printed = printed(shop, &[words, &["--json"]].concat()).await;
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    printed.lines().map(line).collect()
}

/// Runs a command with `--json` that must succeed, and returns its one document.
async fn document(shop: &Deployment, words: &[&str]) -> Value {
    let mut lines = lines(shop, words).await;
    assert_eq!(lines.len(), 1, "{words:?}: {lines:#?}");
    lines.remove(0)
}

/// Asserts that a text contains all of these words.
#[track_caller]
fn must_contain(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
}
