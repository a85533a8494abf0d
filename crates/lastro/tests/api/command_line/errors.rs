//! Errors and exit codes.

use testbed::{Deployment, Ended, lastro};

use super::{must_contain, printed, run, tool};
use crate::keys::Keys;

#[tokio::test]
async fn a_request_with_faults_names_each_of_them() {
    let shop = Deployment::open().await;
    let place = ["orders", "place", "--customer", "C 1", "--line", "MUG:0:1.999"];
    let ended = run(&shop, &place).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let words = [
        "error: The request is not valid: ",
        "\n  /customer_id: ",
        "\n  /products/0/quantity: ",
        "\n  /products/0/price: ",
        "\n  422 invalid_request, request 0",
    ];
    must_contain(&ended.stderr, &words);
}

#[tokio::test]
async fn what_does_not_exist_has_an_exit_code_of_its_own() {
    let shop = Deployment::open().await;
    let unknown = "0197a9c4-0000-7000-8000-000000000000";
    for words in [
        &["orders", "show", unknown][..],
        &["orders", "cancel", unknown],
        &["stock", "show", "nope"],
        &["stock", "receive", "nope", "1"],
        &["orders", "show", "../pending"],
    ] {
        let ended = run(&shop, words).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{words:?}: {ended:?}");
        must_contain(&ended.stderr, &["error: ", "\n  404 ", "hint: "]);
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_at_once_with_its_address() {
    let folder = tempfile();
    let url = "http://127.0.0.1:1";
    for words in [
        &["orders", "list"][..],
        &["orders", "place", "--customer", "C", "--line", "M:1:1"],
        &["events", "--follow"],
        &["pending"],
    ] {
        let launch = lastro(folder.path()).args(words.iter().copied()).args(["--url", url]);
        let ended = launch.to_end().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{words:?}: {ended:?}");
        must_contain(&ended.stderr, &["error: no answer from http://127.0.0.1:1: ", "hint: "]);
    }
}

#[tokio::test]
async fn a_command_that_is_written_wrongly_ends_with_2() {
    let folder = tempfile();
    for words in [
        &["orders"][..],
        &["orders", "show"],
        &["orders", "list", "--url", "localhost:8080"],
        &["orders", "list", "--url", "http://user@localhost"],
        &["orders", "place", "--customer", "C", "--line", "M"],
        &["orders", "list", "--limit", "1", "--all"],
        &["orders", "list", "--key-file", "missing"],
        &["orders", "list", "--ca-file", "missing", "--url", "https://localhost"],
        &["events", "--service", "both"],
        &["orders", "list", "--timeout", "18446744073709551615s"],
    ] {
        let ended = lastro(folder.path()).args(words.iter().copied()).to_end().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{words:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_key_comes_from_a_file_or_a_variable_and_is_never_printed() {
    let keys = Keys::new();
    let (key, _) = keys.create("orders:read,orders:write", &[]).await;
    let shop =
        Deployment::open_with(|launch| launch.env("LASTRO_API_KEYS_FILE", keys.file())).await;
    let file = shop.folder().join("key");
    std::fs::write(&file, format!("{key}\n")).expect("a file");
    let list = || tool(&shop).args(["orders", "list"]);
    let all: [Ended; 5] = [
        list().to_end().await,
        list().env("LASTRO_KEY", "lsk_live_wrong").to_end().await,
        list().env("LASTRO_KEY", &key).to_end().await,
        list().env("LASTRO_KEY_FILE", file.as_os_str()).to_end().await,
        list().env("LASTRO_KEY", &key).env("LASTRO_KEY_FILE", file.as_os_str()).to_end().await,
    ];
    let codes: Vec<_> = all.iter().map(|ended| ended.code).collect();
    assert_eq!(codes, [Some(1), Some(1), Some(0), Some(0), Some(2)], "{all:#?}");
    must_contain(&all[1].stderr, &["401 unauthenticated", "hint: name a valid key"]);
    for ended in &all {
        assert!(!ended.stderr.contains(&key) && !ended.stdout.contains(&key), "{ended:?}");
    }
    let forbidden = tool(&shop).args(["stock", "list"]).env("LASTRO_KEY", &key).to_end().await;
    assert_eq!(forbidden.code, Some(1));
    must_contain(&forbidden.stderr, &["403 forbidden", "hint: the key needs the scope stock:read"]);
}

#[tokio::test]
async fn an_order_is_shown_as_far_as_the_key_allows() {
    let keys = Keys::new();
    let (key, _) = keys.create("orders:read,orders:write", &[]).await;
    let shop =
        Deployment::open_with(|launch| launch.env("LASTRO_API_KEYS_FILE", keys.file())).await;
    let run = async |words: &[&str]| {
        let ended = tool(&shop).args(words.iter().copied()).env("LASTRO_KEY", &key).to_end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    let place = ["orders", "place", "--customer", "C", "--line", "M:1:1", "--json"];
    let receipt: serde_json::Value = serde_json::from_str(&run(&place).await).expect("JSON");
    let id = receipt["order_id"].as_str().expect("an id");
    must_contain(&run(&["orders", "show", id]).await, &["rejected", "inventory     not known: "]);
}

#[tokio::test]
async fn the_completions_and_the_manual_name_every_command_that_is_shown() {
    let shop = Deployment::open().await;
    let script = printed(&shop, &["completions", "bash"]).await;
    must_contain(&script, &["lastro__subcmd__orders", "quarantine", "--idempotency-key"]);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        must_contain(&printed(&shop, &["completions", shell]).await, &["quarantine"]);
    }
    printed(&shop, &["man", "--dir", "pages"]).await;
    let page = |name: &str| std::fs::read_to_string(shop.folder().join("pages").join(name));
    must_contain(&page("lastro-orders-show.1").expect("a page"), &[".TH", "ORDER"]);
    must_contain(&page("lastro.1").expect("a page"), &["orders", "stock"]);
    assert!(page("lastro-order-service.1").is_err(), "a hidden command has no page");
}

fn tempfile() -> ::tempfile::TempDir {
    ::tempfile::tempdir().expect("a folder")
}
