//! `lastro events`.

use std::net::TcpListener;

use serde_json::Value;
use testbed::{Deployment, Launch, Program, lastro};

use super::{lines, must_contain, printed, run};

#[tokio::test]
async fn events_are_printed_from_a_cursor_on() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let id = shop.confirmed(&[("MUG", 1)]).await;
    let all = lines(&shop, &["events"]).await;
    let types: Vec<_> = all.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(types, ["dev.lastro.order.received", "dev.lastro.order.confirmed"]);
    let shown = printed(&shop, &["events", "--types", "order.confirmed"]).await;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    must_contain(&shown, &["order.confirmed", &id, "it has its units: 1 × MUG at main"]);
    let stock = printed(&shop, &["events", "--service", "inventory", "--limit", "1"]).await;
    must_contain(&stock, &["stock.changed", "MUG/main  9 on hand, 0 reserved, 9 available"]);

    let first = run(&shop, &["events", "--limit", "1", "--json"]).await;
    let cursor = first.stderr.trim().strip_prefix("go on with --after ").expect("a cursor");
    let rest = lines(&shop, &["events", "--after", cursor]).await;
    assert_eq!((rest.len(), &rest[0]), (1, &all[1]));
    let wrong = run(&shop, &["events", "--after", "nonsense"]).await;
    assert_eq!(wrong.code, Some(1));
    must_contain(&wrong.stderr, &["400 invalid_cursor", "hint: "]);
}

/// A shop at an address that it has again when it was restarted.
struct Fixed {
    folder: tempfile::TempDir,
    address: String,
}

impl Fixed {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        Self { folder: tempfile::tempdir().expect("a folder"), address }
    }

    fn lastro(&self, words: &[&str]) -> Launch {
        let url = format!("http://{}", self.address);
        lastro(self.folder.path()).args(words.iter().copied()).env("LASTRO_URL", url)
    }

    async fn serving(&self) -> Program {
        self.lastro(&["--listen", &self.address, "--data-dir", "data"]).serving().await
    }

    /// Places an order, which is rejected: two events.
    async fn order(&self) -> String {
        let words = ["orders", "place", "--customer", "C", "--line", "M:1:1", "--json"];
        let ended = self.lastro(&words).to_end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let receipt: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        receipt["order_id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_feed_that_is_followed_goes_on_when_the_service_was_restarted() {
    let shop = Fixed::new();
    let mut program = shop.serving().await;
    let before = shop.order().await;
    let mut feed = shop.lastro(&["events", "--follow", "--after", "first", "--json"]).talking();
    let two = |said: &[String]| said.len() == 2;
    let said = feed.says_until("two events", two).await;
    assert!(said.iter().all(|line| line.contains(&before)), "{said:?}");

    program.kill();
    program.ended(testbed::PATIENCE).await;
    let _program = shop.serving().await;
    let after = shop.order().await;
    let said = feed.says_until("two more events", two).await;
    assert!(said.iter().all(|line| line.contains(&after)), "each once: {said:?}");

    let ended = feed.terminated().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    must_contain(&ended.stderr, &["trying again", "the feed is back", "go on with --after "]);
}
