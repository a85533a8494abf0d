//! Answers that take long end with the key or token that they were asked for with.

use std::time::Duration;

use testbed::{AUDIENCE, EventStream, Issuer, IssuerKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const ORDERS: &str = "/api/orders/events";

/// How far the clocks of the issuer and of the service may be apart, in seconds.
const LEEWAY_S: i64 = 60;

async fn open(shop: &Deployment, credential: &str) -> EventStream {
    let authorization = format!("Bearer {credential}");
    let stream = shop.stream(ORDERS, &[("authorization", &authorization)]).await;
    assert_eq!(stream.status(), 200);
    stream
}

/// Waits for the end of a stream. Comments come until then.
async fn must_end(stream: &mut EventStream) {
    let end = timeout(PATIENCE, stream.next()).await.expect("it ends in time");
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_key_that_is_revoked_loses_its_streams_and_its_waiting_requests() {
    let keys = Keys::new();
    let (key, id) = keys.create("orders:read,stock:read", &[]).await;
    let (other, _) = keys.create("orders:read", &[]).await;
    let shop = keys.shop().await;
    let mut stream = open(&shop, &key).await;
    let mut others = open(&shop, &other).await;
    let client = Client::new(&shop, &key);
    let waits = client.send("GET", ORDERS, &[("prefer", "wait=30")], &Value::Null);
    let revokes = async {
        assert!(stream.next_block().await.is_some_and(|first| first.starts_with("retry: ")));
        keys.run(&["revoke", &id]).await;
    };
    let (waited, _) = tokio::join!(timeout(PATIENCE, waits), revokes);
    assert_eq!(waited.expect("an answer in time").verdict(), "401 unauthenticated");
    must_end(&mut stream).await;
    assert!(others.next_block().await.is_some_and(|first| first.starts_with("retry: ")));
    assert!(timeout(Duration::from_millis(1), others.next()).await.is_err());
}

/// Reads until the answer has this text.
async fn must_read(connection: &mut TcpStream, answer: &mut String, text: &str) {
    let reading = async {
        let mut piece = vec![0; 4096];
        while !answer.contains(text) {
            let length = connection.read(&mut piece).await.expect("an answer");
            assert!(length > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    };
    timeout(PATIENCE, reading).await.expect("it comes in time");
}

#[tokio::test]
async fn a_key_that_is_revoked_stops_its_import_and_what_is_counted_stays() {
    const IMPORT: &str = "/api/inventory/import?reason=annual";
    let keys = Keys::new();
    let (key, id) = keys.create("stock:adjust,catalog:write", &[]).await;
    let (other, _) = keys.create("stock:read", &[]).await;
    let shop = keys.shop().await;
    let address = shop.programs.address_of(IMPORT);
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    // The rest of the file does not come.
    let request = format!(
        "POST {IMPORT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: text/csv\r\nIdempotency-Key: K\r\nContent-Length: 1000\r\n\r\n\
         product_id,name,quantity\nMUG,Mug,5\n"
    );
    connection.write_all(request.as_bytes()).await.expect("a server that reads");
    let mut answer = String::new();
    must_read(&mut connection, &mut answer, "\"result\":\"created\"").await;
    keys.run(&["revoke", &id]).await;
    must_read(&mut connection, &mut answer, "\"done\":false").await;
    must_read(&mut connection, &mut answer, "\"code\":\"unauthenticated\"").await;
    let product = Client::new(&shop, &other).get("/api/inventory/products/MUG").await;
    assert_eq!(product.json()["on_hand"], 5);
}

#[tokio::test]
async fn a_token_that_ends_ends_its_stream() {
    let (keys, key) = (Keys::new(), IssuerKey::ec("k1"));
    let issuer = Issuer::with(&[&key]).await;
    keys.create("stock:read", &[]).await;
    let (file, name) = (keys.file(), issuer.name());
    let shop = Deployment::open_with(move |launch| {
        launch
            .env("LASTRO_API_KEYS_FILE", &file)
            .env("LASTRO_OIDC_ISSUER", &name)
            .env("LASTRO_OIDC_AUDIENCE", AUDIENCE)
    })
    .await;
    let mut claims = issuer.claims("ana", "orders:read");
    let mut later = open(&shop, &key.token(&claims)).await;
    // It is good for three seconds more.
    let now_s = claims["iat"].as_i64().expect("a time");
    claims["iat"] = json!(now_s - 2 * LEEWAY_S);
    claims["exp"] = json!(now_s - LEEWAY_S + 3);
    let mut stream = open(&shop, &key.token(&claims)).await;
    must_end(&mut stream).await;
    assert!(timeout(Duration::from_millis(1), later.next()).await.is_err());
}
