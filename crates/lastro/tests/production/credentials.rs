//! A broker that lets in whoever shows a JWT of its operator: each service has a `.creds` file.

use testbed::{
    Credentials, Deployment, Environment, Form, JwtOperator, Nats, PATIENCE, eventually, lastro,
};

const SERVICES: [&str; 2] = ["order-service", "inventory-service"];

#[tokio::test]
async fn each_service_gets_in_with_a_creds_file_of_its_own() {
    let operator = JwtOperator::generate();
    let server = Nats::start_with_settings(&operator.settings()).await;
    let variables = SERVICES.map(|service| {
        let file = server.folder().join(format!("{service}.creds"));
        std::fs::write(&file, operator.user(service).file()).expect("a file");
        (service, "LASTRO_BUS_CREDENTIALS", file.into())
    });
    let environment =
        Environment { broker: Some(server), variables: variables.into(), ..Environment::default() };
    let shop = Deployment::open_as(Form::Processes, environment).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 3)]).await;
    eventually(PATIENCE, "nothing is reported", async || {
        let reports = shop.get_each("/readyz").await;
        reports.iter().all(|report| report.text_at("/status") == "ready").then_some(())
    })
    .await;
    shop.must_verify().await;
}

#[tokio::test]
async fn a_creds_file_that_the_broker_refuses_ends_the_start_with_what_to_do() {
    let operator = JwtOperator::generate();
    let server = Nats::start_with_settings(&operator.settings()).await;
    let [known, other] = ["orders", "other"].map(|name| operator.user(name));
    let of_another_seed = Credentials { seed: other.seed, ..known };
    for (what, credentials) in [
        ("another seed", of_another_seed),
        ("of another operator", JwtOperator::generate().user("orders")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("wrong.creds"), credentials.file()).expect("a file");
        let launch = lastro(folder.path()).args(["order-service", "--listen", "127.0.0.1:0"]);
        let launch = launch.args(["--bus-url", &server.url(), "--bus-credentials", "wrong.creds"]);
        let ended = launch.to_refusal().await;
        println!("{what}: {}", ended.stderr);
        ended.must_be_refused(
            1,
            &["refuses the credentials in wrong.creds (bus_credentials); have new ones made"],
        );
        for secret in [&credentials.seed, &credentials.jwt] {
            assert!(!ended.stderr.contains(secret), "{what}: {}", ended.stderr);
        }
    }
}
