//! The settings of the bus: what cannot be used is refused, and what is secret is never shown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{KeyPair, PKCS_ED25519};
use testbed::{JwtOperator, Launch, Nats, PATIENCE, eventually, lastro};

const SECRET: &str = "s3cret-canary";
const USER: &str = "authorization: { user: orders, password: s3cret-canary }";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn service(folder: &Path) -> Launch {
    lastro(folder).args(["order-service", "--listen", "127.0.0.1:0"])
}

/// A service must refuse these settings in one line, and make nothing.
async fn is_refused(folder: &Path, settings: &[(&str, &str)], words: &str) {
    let launch = settings.iter().fold(service(folder), |launch, (name, value)| {
        launch.env(&format!("LASTRO_{name}"), *value)
    });
    let ended = launch.to_end().await;
    ended.must_be_refused(2, &[words]);
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    assert!(!folder.join("data").exists(), "nothing is made");
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_in_one_line_without_the_password() {
    let folder = folder();
    write(folder.path(), "text", SECRET, 0o644);
    write(folder.path(), "open", "nats://h", 0o666);
    let torn = format!(
        "-----BEGIN NATS USER JWT-----\n{SECRET}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\nSUA{SECRET}\n------END USER NKEY SEED------\n"
    );
    write(folder.path(), "torn.creds", &torn, 0o600);
    for (settings, words) in [
        (&[("BUS_URL", "nats://u:s3cret-canary,@h")][..], "percent-encoded"),
        (&[("BUS_URL", "nats://u:s3cret-canary@h:port")], "invalid port number"),
        (&[("BUS_URL", "nats:s3cret-canary@h")], "nats: needs a server"),
        (&[("BUS_URL", "u:s3cret-canary@h")], "a bus URL begins with"),
        (&[("BUS_URL", "nats://u:s3cret-canary@a,nats://b")], "every server needs the same"),
        (&[("BUS_URL", "nats://h"), ("BUS_URL_FILE", "text")], "are both given"),
        (&[("BUS_URL_FILE", "text")], "text: a bus URL begins with"),
        (&[("BUS_URL_FILE", "absent")], "cannot read absent: "),
        (&[("BUS_URL_FILE", "open")], "run: chmod go-w open"),
        (&[("BUS_CREDENTIALS", "absent")], "cannot read absent: "),
        (&[("BUS_CREDENTIALS", "text")], "text is neither a .creds file nor"),
        (&[("BUS_CREDENTIALS", "torn.creds")], "torn.creds is neither a .creds file nor"),
        (
            &[("BUS_URL", "nats://u:s3cret-canary@h"), ("BUS_CREDENTIALS", "text")],
            "leave one of both out",
        ),
        (&[("BUS_CERT", "text")], "bus_cert needs bus_key"),
        (&[("BUS_KEY", "text")], "bus_key needs bus_cert"),
        (&[("BUS_CA", "text")], "bus_ca needs encryption"),
        (&[("BUS_URL", "tls://h"), ("BUS_CA", "text")], "no certificates in PEM"),
    ] {
        is_refused(folder.path(), settings, words).await;
    }
}

#[tokio::test]
async fn keys_of_signatures_that_do_not_fit_are_refused_in_one_line_without_the_key() {
    let folder = folder();
    let own = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    write(folder.path(), "own.pub", &own.public_key_pem(), 0o600);
    write(folder.path(), "own.pem", &own.serialize_pem(), 0o600);
    write(folder.path(), "open.pem", &own.serialize_pem(), 0o644);
    let torn =
        format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n{SECRET}");
    write(folder.path(), "torn.pem", &torn, 0o600);
    write(folder.path(), "text", SECRET, 0o600);
    for (settings, words) in [
        (&[("BUS_SIGNATURES", "report")][..], "\"report\" needs bus_verify_keys_file"),
        (&[("BUS_SIGNATURES", "require")], "\"require\" needs bus_verify_keys_file"),
        (
            &[("BUS_SIGNATURES", "require"), ("BUS_VERIFY_KEYS_FILE", "own.pub")],
            "\"require\" needs bus_signing_key_file",
        ),
        (&[("BUS_SIGNING_KEY_FILE", "absent")], "cannot read absent: "),
        (&[("BUS_SIGNING_KEY_FILE", "open.pem")], "run: chmod o-r open.pem"),
        (&[("BUS_SIGNING_KEY_FILE", "text")], "=text: the file has no Ed25519 private key"),
        (&[("BUS_SIGNING_KEY_FILE", "torn.pem")], "=torn.pem: the file has no Ed25519 private key"),
        (&[("BUS_SIGNING_KEY_FILE", "own.pub")], "=own.pub: the file has no Ed25519 private key"),
        (&[("BUS_VERIFY_KEYS_FILE", "text")], "=text: the file has no public key in PEM"),
        (&[("BUS_VERIFY_KEYS_FILE", "own.pem")], "=own.pem: the file has no public key in PEM"),
        (
            &[("BUS_SIGNING_KEY_FILE", "own.pem"), ("BUS_VERIFY_KEYS_FILE", "own.pub")],
            "=own.pub: the key ",
        ),
    ] {
        is_refused(folder.path(), settings, words).await;
    }
}

#[tokio::test]
async fn what_is_about_a_broker_between_two_programs_is_refused_in_one_program() {
    let folder = folder();
    write(folder.path(), "text", SECRET, 0o600);
    let for_a_broker = ["ca=text", "credentials=text", "cert=text", "key=text"];
    let signatures = ["signing-key-file=text", "verify-keys-file=text", "signatures=off"];
    for setting in for_a_broker.into_iter().chain(signatures) {
        let setting = format!("--bus-{setting}");
        let ended =
            lastro(folder.path()).args(["--listen", "127.0.0.1:0", &setting]).to_end().await;
        ended.must_be_refused(2, &["bus_"]);
    }
    let at_a_broker = ["--bus-url", "nats://h", "--bus-signatures", "require"];
    let ended = lastro(folder.path()).args(at_a_broker).to_end().await;
    ended.must_be_refused(2, &["bus_signatures", "start order-service and inventory-service"]);
    assert!(!folder.path().join("data").exists(), "nothing is made");
}

#[tokio::test]
async fn a_wrong_url_in_the_settings_file_is_reported_with_its_position_and_without_the_password() {
    let folder = folder();
    for line in [
        "bus_url = \"u:s3cret-canary@h\"",
        "bus_url = [\"nats://u:s3cret-canary@h\"]",
        "bus_url = nats://u:s3cret-canary@h",
        "bus_url = \"nats://u:s3cret-canary@h",
    ] {
        std::fs::write(folder.path().join("lastro.toml"), format!("\n{line}\n")).expect("a file");
        let ended = service(folder.path()).to_end().await;
        ended.must_be_refused(2, &["lastro.toml, line "]);
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_help_does_not_show_the_url_of_the_bus() {
    let folder = folder();
    for command in ["", "order-service", "inventory-service"] {
        let words = [command, "--help"].into_iter().filter(|word| !word.is_empty());
        let launch = lastro(folder.path()).args(words);
        let ended = launch.env("LASTRO_BUS_URL", "nats://u:s3cret-canary@h").to_end().await;
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
        assert!(!ended.stdout.contains(SECRET), "{command}: {}", ended.stdout);
    }
}

/// Starts a service, and returns its log once it was connected to the broker and has ended.
async fn log_of_a_connection(launch: Launch) -> String {
    let mut program = launch.serving().await;
    // On a busy machine it serves before it is connected.
    let connected = eventually(PATIENCE, "it is connected", async || {
        Some(program.log()).filter(|log| log.contains("connected to the broker"))
    })
    .await;
    program.terminate();
    assert_eq!(program.ended(PATIENCE).await, Some(0));
    connected + &program.log()
}

#[tokio::test]
async fn a_password_gets_in_and_into_no_log() {
    let folder = folder();
    let broker = Nats::start_with_settings(USER).await;
    let url = |password: &str| broker.url().replace("//", &format!("//orders:{password}@"));
    std::fs::write(folder.path().join("url"), url(SECRET)).expect("a file");
    let launch = service(folder.path()).env("LASTRO_BUS_URL_FILE", "url").env("RUST_LOG", "trace");
    let log = log_of_a_connection(launch).await;
    assert!(!log.contains(SECRET), "the password is in the log");

    let wrong = service(folder.path()).env("LASTRO_BUS_URL", url("s3cret-canary-2"));
    let ended = wrong.to_refusal().await;
    let place = format!("the broker at {}", broker.url());
    ended.must_be_refused(1, &[&place, "refuses the user or the password of the bus URL"]);
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
}

#[tokio::test]
async fn a_creds_file_and_a_signing_key_get_in_and_into_no_log() {
    let folder = folder();
    let operator = JwtOperator::generate();
    let broker = Nats::start_with_settings(&operator.settings()).await;
    let credentials = operator.user("orders");
    write(folder.path(), "orders.creds", &credentials.file(), 0o600);
    let [own, peer] = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ED25519).expect("a key"));
    let signing_key = own.serialize_pem();
    write(folder.path(), "own.key", &signing_key, 0o600);
    write(folder.path(), "peer.pub", &peer.public_key_pem(), 0o644);
    let launch = service(folder.path())
        .env("LASTRO_BUS_URL", broker.url())
        .env("LASTRO_BUS_CREDENTIALS", "orders.creds")
        .env("LASTRO_BUS_SIGNING_KEY_FILE", "own.key")
        .env("LASTRO_BUS_VERIFY_KEYS_FILE", "peer.pub")
        .env("LASTRO_BUS_SIGNATURES", "require")
        .env("RUST_LOG", "trace");
    let log = log_of_a_connection(launch).await;
    assert!(log.contains(r#""mode":"require","#), "the log names the keys: {log}");
    let (_, jwt_signature) = credentials.jwt.rsplit_once('.').expect("its last part");
    let key = signing_key.lines().nth(1).expect("the line between BEGIN and END");
    for secret in [&credentials.seed, jwt_signature, key] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
