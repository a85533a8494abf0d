use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use utoipa_axum::router::OpenApiRouter;

use super::*;

const PROGRAM: Program =
    Program { name: "test", summary: "For tests.", default_listen: "127.0.0.1:0" };
const RULES: &[Rule] = &[Rule::open("/hello")];
/// As long as the clock of a test is not moved, for ever.
const DRAIN_DELAY: Duration = Duration::from_secs(3600);

/// The first line of the answer on a connection of its own.
async fn ask(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_program_names_those_of_its_pages_that_a_browser_can_open() {
    let links = async |change: fn(&mut HttpSettings)| {
        let mut settings = HttpSettings::at(PROGRAM.default_listen.parse().expect("an address"));
        change(&mut settings);
        Process::begin(PROGRAM, &settings).await.expect("a free port").links().join(" ")
    };
    assert_eq!(links(|_| {}).await, "docs openapi.json metrics readyz version");
    let apart = |its: &mut HttpSettings| its.metrics_listen = Some(its.listen.clone());
    assert_eq!(links(apart).await, "docs openapi.json version");
    let keys = |its: &mut HttpSettings| its.api_keys_in_database = true;
    assert_eq!(links(keys).await, "docs openapi.json readyz version");
    let private = |its: &mut HttpSettings| {
        its.api_keys_in_database = true;
        its.docs_public = false;
    };
    assert_eq!(links(private).await, "readyz");
}

/// A load balancer sees that the program is not ready, and clients that it still sends there are
/// served.
#[tokio::test]
async fn a_program_that_is_to_stop_is_not_ready_and_serves_for_the_drain_delay() {
    let mut settings = HttpSettings::at(PROGRAM.default_listen.parse().expect("an address"));
    settings.drain_delay = DRAIN_DELAY;
    let process = Process::begin(PROGRAM, &settings).await.expect("a free port");
    let address = process.address().expect("an address");
    let routes = OpenApiRouter::new().route("/hello", get(|| async { "hello" }));
    let api = process.context.api("test", routes, RULES, OwnCodes::default(), None);
    let readiness = process.context.readiness.clone();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(process.serve(api, shutdown.clone()));
    assert_eq!(ask(address, "/readyz").await.expect("an answer"), "HTTP/1.1 200 OK");

    shutdown.cancel();
    while !readiness.snapshot().draining {
        tokio::task::yield_now().await;
    }
    let not_ready = "HTTP/1.1 503 Service Unavailable";
    assert_eq!(ask(address, "/readyz").await.expect("an answer"), not_ready);
    assert_eq!(ask(address, "/livez").await.expect("an answer"), "HTTP/1.1 200 OK");
    assert_eq!(ask(address, "/hello").await.expect("an answer"), "HTTP/1.1 200 OK");
    assert!(!serving.is_finished());

    tokio::time::pause();
    tokio::time::advance(DRAIN_DELAY).await;
    serving.await.expect("no panic").expect("a clean stop");
    assert!(ask(address, "/hello").await.is_err(), "nobody listens");
}
