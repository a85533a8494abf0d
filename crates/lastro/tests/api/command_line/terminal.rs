//! Closed pipes, colours and terminals.

use testbed::{Deployment, Ended, Launch, order, program_under_test};

use super::printed;
use crate::operators::admin_log;

/// Runs a line of the shell in which `lastro` is the program under test.
async fn shell(shop: &Deployment, line: &str, variables: &[(&str, &str)]) -> Ended {
    let line = line.replace("lastro", &format!("'{}'", program_under_test().display()));
    let url = |path: &str| format!("http://{}", shop.programs.address_of(path));
    let launch = Launch::of("bash", shop.folder())
        .args(["-c", &line])
        .env("LASTRO_URL", url("/api/orders"))
        .env("LASTRO_INVENTORY_URL", url("/api/inventory/products"));
    let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, *value));
    launch.to_end().await
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let shop = Deployment::open().await;
    for n in 0..20 {
        shop.stock(&format!("P{n}"), 1).await;
    }
    for list in ["stock list", "stock list --json", "stock export", "events --service inventory"] {
        let line = format!("set -o pipefail; lastro {list} | true");
        let ended = shell(&shop, &line, &[]).await;
        assert_eq!(ended.code, Some(0), "{list}: {ended:?}");
        assert!(!ended.stderr.contains("error"), "{list}: {ended:?}");
    }
}

#[tokio::test]
async fn commands_are_sent_again_also_if_the_reader_goes_away() {
    let shop = Deployment::open().await;
    let held = shop.hold_inventory().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
    let line = "set -o pipefail; lastro pending retry --all --json | true";
    let ended = shell(&shop, line, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("20 commands are due now, 0 were answered meanwhile"));
    let log = admin_log(&shop).await;
    let acts = log.iter().filter(|act| act["action"] == "retry_command");
    let mut asked: Vec<_> = acts.map(|act| act["subject"].as_str().expect("an order")).collect();
    asked.sort_unstable();
    ids.sort_unstable();
    assert_eq!(asked, ids);
    drop(held);
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let shop = Deployment::open().await;
    shop.settle(&[("MUG", 1)]).await;
    assert!(!printed(&shop, &["orders", "list"]).await.contains('\u{1b}'), "no terminal");
    let on_terminal = "script -qec 'lastro orders list' /dev/null".replace('\'', "\"");
    let list = async |variables: &[(&str, &str)]| {
        let ended = shell(&shop, &on_terminal, variables).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("rejected"), "{ended:?}");
        ended.stdout
    };
    let coloured = list(&[("TERM", "xterm"), ("NO_COLOR", "")]).await;
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    for off in [[("TERM", "xterm"), ("NO_COLOR", "1")], [("TERM", "dumb"), ("NO_COLOR", "")]] {
        let plain = list(&off).await;
        assert!(!plain.contains("\u{1b}["), "{off:?}: {plain:?}");
    }
}
