//! Brokers that let in only whom they know, and that prove who they are.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

/// A certificate authority, with the files that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = Self { issuer, folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(authority.root(), authority.issuer.pem()).expect("a file");
        authority
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The files of a certificate for this common name and host, and of its key.
    fn sign(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |what: &str| self.folder.path().join(format!("{name}-{what}.pem"));
        std::fs::write(file("cert"), certificate.pem()).expect("a file");
        std::fs::write(file("key"), key.serialize_pem()).expect("a file");
        (file("cert"), file("key"))
    }

    /// A server with a certificate for localhost, and these further settings.
    async fn server(&self, tls: &str, settings: &str) -> Server {
        let (certificate, key) = self.sign("server", "localhost");
        Server::start_with_settings(&format!(
            "tls: {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {:?}, {tls} }}\n{settings}",
            self.root()
        ))
        .await
    }

    fn trusted(&self) -> AccessFiles {
        AccessFiles { ca: Some(self.root()), ..AccessFiles::default() }
    }
}

/// The URL of a server with another scheme and host, and with a login.
fn url(server: &Server, scheme: &str, login: &str, host: &str) -> String {
    format!("{scheme}://{login}{host}:{}", server.port())
}

/// Joins as a program does when it starts, and shows that messages go through.
async fn joins(url: &str, files: AccessFiles) {
    let bus = join(url, files).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    publish(&bus, "hello").await;
    receive(&bus, "hello").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

async fn join(url: &str, files: AccessFiles) -> Result<Nats, JoinError> {
    let broker = Broker::at(url, files).expect("settings that fit");
    let channels = Channels { receives: CHANNEL, sends: "test.other" };
    broker.join("tester", alone(NAMES, id(1)), channels, metrics(), false).await
}

async fn is_refused(url: &str, files: AccessFiles, why: &str) {
    let line = match join(url, files).await {
        Err(JoinError::Refused(line)) => line,
        // On a busy machine the broker may answer after the start has waited for it.
        Ok(bus) => {
            let refused = async || bus.trouble().into_iter().find(|line| line.contains(why));
            eventually(PATIENCE, why, refused).await
        }
        Err(other) => panic!("{url}: {other:?}"),
    };
    assert!(line.contains(why) && !line.contains('\n'), "{url}: {line}");
    assert!(!line.contains("s3cret"), "{line}");
}

#[tokio::test]
async fn the_user_and_the_password_of_the_url_are_used() {
    let settings = "authorization: { users: [ { user: orders, password: \"s3cret,?%@/\" } ] }";
    let server = Server::start_with_settings(settings).await;
    let with = |login: &str| url(&server, "nats", login, "127.0.0.1");
    joins(&with("orders:s3cret%2C%3F%25@/@"), AccessFiles::default()).await;
    let none = AccessFiles::default;
    is_refused(&with("orders:wrong@"), none(), "refuses the user or the password").await;
    is_refused(&with("other:s3cret@"), none(), "refuses the user or the password").await;
    is_refused(&with("s3cret@"), none(), "refuses the token of the bus URL").await;
    is_refused(&with(""), none(), "wants to know who connects; put a user and a password").await;
}

#[tokio::test]
async fn a_token_and_an_nkey_are_used() {
    let server = Server::start_with_settings("authorization: { token: s3cret }").await;
    joins(&url(&server, "nats", "s3cret@", "127.0.0.1"), AccessFiles::default()).await;

    let [key, other] = [nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user()];
    let settings = format!("authorization: {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    let server = Server::start_with_settings(&settings).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, key: &nkeys::KeyPair| {
        let path = folder.path().join(name);
        std::fs::write(&path, key.seed().expect("a seed")).expect("a file");
        AccessFiles { credentials: Some(path), ..AccessFiles::default() }
    };
    joins(&server.url(), file("ours", &key)).await;
    is_refused(&server.url(), file("other", &other), "refuses the credentials in ").await;
}

#[tokio::test]
async fn a_password_that_is_changed_while_a_service_runs_is_named_and_healed() {
    let settings =
        |password: &str| format!("authorization: {{ user: orders, password: {password} }}");
    let mut server = Server::start_with_settings(&settings("s3cret")).await;
    let url = url(&server, "nats", "orders:s3cret@", "127.0.0.1");
    let bus = join(&url, AccessFiles::default()).await.expect("a bus");
    server.change_settings(&settings("other"));
    server.restart().await;
    eventually(PATIENCE, "it is named", async || {
        let refused = "refuses the user or the password of the bus URL";
        bus.trouble().join("; ").contains(refused).then_some(())
    })
    .await;
    server.change_settings(&settings("s3cret"));
    server.restart().await;
    publish(&bus, "hello").await;
    receive(&bus, "hello").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

#[tokio::test]
async fn a_tls_url_reaches_only_the_broker_that_its_authority_vouches_for() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = ours.server("", "authorization: { user: orders, password: s3cret }").await;
    let with = |scheme, host| url(&server, scheme, "orders:s3cret@", host);
    joins(&with("tls", "localhost"), ours.trusted()).await;
    let not_encrypted = "no encrypted connection to the broker at ";
    for (url, files) in [
        (with("tls", "localhost"), other.trusted()),
        (with("tls", "localhost"), AccessFiles::default()),
        (with("tls", "127.0.0.1"), ours.trusted()),
        // The broker demands encryption, and the system does not know its authority.
        (with("nats", "localhost"), AccessFiles::default()),
    ] {
        is_refused(&url, files, not_encrypted).await;
    }
}

/// The password would be readable on the way, and anybody could be the broker.
#[tokio::test]
async fn a_tls_url_never_falls_back_to_a_connection_that_is_not_encrypted() {
    let ours = Authority::new();
    let server = Server::start().await;
    let url = url(&server, "tls", "orders:s3cret@", "127.0.0.1");
    is_refused(&url, ours.trusted(), "does not encrypt (TLS)").await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_may_name_the_user() {
    let (ours, other) = (Authority::new(), Authority::new());
    let as_client = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.sign(name, name);
        AccessFiles { certificate: Some(certificate), key: Some(key), ..ours.trusted() }
    };
    let server = ours.server("verify: true", "").await;
    let at = |server: &Server| url(server, "tls", "", "localhost");
    joins(&at(&server), as_client(&ours, "orders")).await;
    let not_encrypted = "no encrypted connection to the broker at ";
    is_refused(&at(&server), as_client(&other, "orders"), not_encrypted).await;
    is_refused(&at(&server), ours.trusted(), not_encrypted).await;

    let users = "authorization: { users: [ { user: orders } ] }";
    let server = ours.server("verify_and_map: true", users).await;
    joins(&at(&server), as_client(&ours, "orders")).await;
    let unknown = "knows no user for the certificate ";
    is_refused(&at(&server), as_client(&ours, "stranger"), unknown).await;
}

/// A certificate is renewed by replacing its files.
#[tokio::test]
async fn a_new_authority_is_trusted_without_a_restart_of_the_service() {
    let (before, after) = (Authority::new(), Authority::new());
    let mut server = before.server("", "").await;
    let trusted = tempfile::NamedTempFile::new().expect("a file");
    std::fs::copy(before.root(), trusted.path()).expect("a file");
    let files = AccessFiles { ca: Some(trusted.path().to_owned()), ..AccessFiles::default() };
    let bus = join(&url(&server, "tls", "", "localhost"), files).await.expect("a bus");
    let (certificate, key) = after.sign("server", "localhost");
    let settings = format!("tls: {{ cert_file: {certificate:?}, key_file: {key:?} }}\n");
    server.change_settings(&settings);
    server.restart().await;
    eventually(PATIENCE, "it is named", async || {
        bus.trouble().join("; ").contains("no encrypted connection").then_some(())
    })
    .await;
    std::fs::copy(after.root(), trusted.path()).expect("a file");
    publish(&bus, "hello").await;
    receive(&bus, "hello").await;
}

#[tokio::test]
async fn a_service_listens_for_answers_under_its_own_name() {
    let server = Server::start().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    assert!(bus.client.new_inbox().starts_with("_INBOX.tester."));
}
