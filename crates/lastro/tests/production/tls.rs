//! Encrypted connections to PostgreSQL, and servers with a wrong identity.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testbed::{
    Databases, Deployment, Environment, Form, PATIENCE, Postgres, eventually, lastro, postgres,
};

use crate::environment_on;

/// A certificate authority, and the certificate and key of `localhost` that it has signed, as PEM.
fn authority() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    (issuer.pem(), certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn an_encrypted_connection_goes_to_whom_it_should_or_nowhere() {
    let server = Postgres::start(&[]).await;
    let (root, certificate, key) = authority();
    let operator = postgres(&server.url("postgres")).await;
    for (name, text) in [("ssl_cert_file", &certificate), ("ssl_key_file", &key)] {
        let path = server.keep(name, text).await;
        operator.batch_execute(&format!("ALTER SYSTEM SET {name} = '{path}'")).await.expect("set");
    }
    operator.batch_execute("ALTER SYSTEM SET ssl = on").await.expect("set");
    operator.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
    eventually(PATIENCE, "the server encrypts", async || {
        let row =
            operator.query_one("SELECT current_setting('ssl')", &[]).await.expect("a setting");
        (row.get::<_, &str>(0) == "on").then_some(())
    })
    .await;

    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (ours, other) = (file("root.pem", &root), file("other.pem", &authority().0));
    let environment = environment_on(&server).await;
    let plain = environment.databases.clone().expect("databases");
    let with = |url: &str, host: &str, mode: &str, root: &str| {
        format!("{}?sslmode={mode}&sslrootcert={root}", url.replace("127.0.0.1", host))
    };
    for (host, mode, root) in [
        ("localhost", "verify-full", &other),
        ("localhost", "require", &other),
        ("127.0.0.1", "verify-full", &ours),
    ] {
        let migrate = lastro(folder.path()).args(["migrate", "--orders-database-url"]);
        let refused = migrate.args([with(&plain.orders, host, mode, root)]).to_end().await;
        assert_eq!(refused.code, Some(1), "{host} {mode}: {}", refused.stderr);
        assert!(refused.stderr.contains("certificate"), "{host} {mode}: {}", refused.stderr);
    }

    let full = |url: &str| with(url, "localhost", "verify-full", &ours);
    let databases = Databases { orders: full(&plain.orders), inventory: full(&plain.inventory) };
    let shop = Deployment::open_as(
        Form::Postgres,
        Environment { databases: Some(databases), ..environment },
    )
    .await;
    // The test's own connections are not encrypted; the names of the connections tell them from the
    // services'.
    shop.stock("MUG", 1).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let clear = "SELECT FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name LIKE '%-service' AND NOT ssl";
    assert!(operator.query(clear, &[]).await.expect("rows").is_empty());
    shop.must_verify().await;
}
