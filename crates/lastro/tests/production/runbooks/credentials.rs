//! API keys that end soon, or cannot be read.

use std::path::{Path, PathBuf};

use testbed::{Environment, Form, lastro};

use super::Watched;

/// A shop whose Order Service asks for the keys of a file.
struct WithKeys {
    watched: Watched,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl WithKeys {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.toml");
        keys(&file, &["create", "--name", "shop", "--scope", "orders:read"]).await;
        let mut environment = Environment::of(Form::Processes).await.watched();
        let its = file.clone().into_os_string();
        environment.variables.push(("order-service", "LASTRO_API_KEYS_FILE", its));
        let shop = testbed::Deployment::open_as(Form::Processes, environment).await;
        let prometheus = testbed::Prometheus::of(&shop.environment.metrics()).await;
        Self { watched: Watched { shop, prometheus }, _folder: folder, file }
    }
}

/// Runs `lastro keys` on the file, and returns the id of the key that it has made, if any.
async fn keys(file: &Path, args: &[&str]) -> String {
    let folder = file.parent().expect("a folder");
    let tool = lastro(folder).args(["keys"]).args(args.to_vec());
    let ended = tool.args(["--file"]).args([file]).to_end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.trim().split('_').nth(2).unwrap_or_default().to_owned()
}

/// A key ends in ten days, until it is replaced and revoked.
#[tokio::test]
async fn a_key_that_ends_soon() {
    let WithKeys { watched, file, _folder } = WithKeys::open().await;
    let scope = ["--name", "old", "--scope", "orders:read"];
    let id = keys(&file, &[&["create"][..], &scope, &["--expires", "10d"]].concat()).await;
    watched.fires("LastroApiKeysExpiring").await;
    keys(&file, &["create", "--name", "new", "--scope", "orders:read"]).await;
    keys(&file, &["revoke", &id]).await;
    watched.clears("LastroApiKeysExpiring").await;
}

/// A file of keys that somebody has broken, until it is put right.
#[tokio::test]
async fn keys_that_cannot_be_read() {
    let WithKeys { watched, file, _folder } = WithKeys::open().await;
    let before = std::fs::read(&file).expect("the file");
    std::fs::write(&file, "[[key]\n").expect("the file");
    watched.fires("LastroKeysUnreadable").await;
    std::fs::write(&file, before).expect("the file");
    watched.clears("LastroKeysUnreadable").await;
}
