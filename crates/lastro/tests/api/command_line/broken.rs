//! A service that answers badly, or not at all.

use testbed::lastro;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::must_contain;

const PLACE: [&str; 6] = ["orders", "place", "--customer", "C", "--line", "M:1:1"];

/// A server that answers each connection with the next of these texts; an empty one closes it.
/// Returns its URL, and in the end the requests.
async fn server(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = String::new();
            let is_whole = |request: &str| {
                request.contains("\"price\":1}")
                    || request.starts_with("GET")
                    || request.contains("/retry HTTP/1.1")
            };
            while !is_whole(&request) {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.expect("a request");
                assert!(read > 0, "{request}");
                request.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            requests.push(request);
            stream.write_all(answer.as_bytes()).await.expect("an open connection");
        }
        requests
    });
    (url, serving)
}

fn answer(status: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n{body}"
    )
}

fn problem(status: &str, code: &str) -> String {
    let number = &status[..3];
    let body = format!(r#"{{"title":"T","status":{number},"detail":"d","code":"{code}"}}"#);
    answer(status, "retry-after: 0\r\n", &body)
}

/// The key of a request.
fn key(request: &str) -> &str {
    let lines = request.lines();
    lines.filter_map(|line| line.strip_prefix("idempotency-key: ")).next().expect("a key")
}

#[tokio::test]
async fn a_change_of_unknown_outcome_is_sent_again_with_its_key() {
    let done = answer("200 OK", "", r#"{"order_id":"O","status":"confirmed","message":"m"}"#);
    let unknown = problem("503 Service Unavailable", "outcome_unknown");
    let busy = problem("503 Service Unavailable", "overloaded");
    let (url, serving) = server(vec![String::new(), unknown, busy, done]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ended = lastro(folder.path()).args(PLACE).args(["--url", &url]).to_end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let requests = serving.await.expect("four requests");
    let keys: Vec<_> = requests.iter().map(|request| key(request)).collect();
    assert!(keys.windows(2).all(|two| two[0] == two[1]), "{keys:?}");
    must_contain(&ended.stderr, &["trying again", "idempotency key: "]);
}

#[tokio::test]
async fn a_change_whose_outcome_stays_unknown_ends_with_4_and_says_how_to_repeat_it() {
    let unknown = problem("503 Service Unavailable", "outcome_unknown")
        .replace("retry-after: 0", "retry-after: 60");
    let (url, _serving) = server(vec![unknown]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let own = ["--idempotency-key", "K1", "--timeout", "5s", "--url", &url];
    let ended = lastro(folder.path()).args(PLACE).args(own).to_end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{ended:?}");
    let words = ["the outcome of POST /api/orders is unknown", "hint: ", "--idempotency-key K1"];
    must_contain(&ended.stderr, &words);
}

#[tokio::test]
async fn an_order_that_cannot_be_sent_again_keeps_no_other_one_from_it() {
    let ids: Vec<_> = (0..30).map(|n| format!(r#"{{"order_id":"O{n}"}}"#)).collect();
    let list = format!(r#"{{"data":[{}],"next_cursor":null}}"#, ids.join(","));
    let mut answers = vec![answer("200 OK", "", r#"{"order_id":"O","attempt":1}"#); 31];
    answers[0] = answer("200 OK", "", &list);
    answers[1] = problem("500 Internal Server Error", "internal");
    answers[2] = problem("409 Conflict", "nothing_pending");
    answers[30] = problem("403 Forbidden", "forbidden");
    let (url, serving) = server(answers).await;
    let folder = tempfile::tempdir().expect("a folder");
    let retry = ["pending", "retry", "--all", "--url", &url];
    let ended = lastro(folder.path()).args(retry).to_end().await;
    let summary = "27 commands are due now, 1 was answered meanwhile, 2 failed\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), summary), "{ended:?}");
    must_contain(&ended.stderr, &["error: T: d\n  500 internal"]);
    let requests = serving.await.expect("all requests");
    for n in 0..30 {
        let path = format!("POST /api/orders/pending/O{n}/retry ");
        assert!(requests.iter().any(|request| request.starts_with(&path)), "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_services_is_told() {
    let page = answer("200 OK", "content-type: text/html\r\n", "<html>Welcome</html>");
    let gateway = answer("502 Bad Gateway", "", "<html>");
    let moved = answer("301 Moved Permanently", "location: https://x\r\n", "");
    let expected = ["is not JSON", "502 Bad Gateway, without a problem", "is redirected (301"];
    for (answer, words) in [page, gateway, moved].into_iter().zip(expected) {
        let (url, _serving) = server(vec![answer]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let ended = lastro(folder.path()).args(["orders", "list", "--url", &url]).to_end().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        must_contain(&ended.stderr, &["error: ", words, "hint: "]);
    }
}

#[tokio::test]
async fn what_a_service_says_cannot_move_the_cursor_of_a_terminal() {
    let body = r#"{"title":"\u001b[2Jgone","status":409,"detail":"a\u0007b","code":"x"}"#;
    let (url, _serving) = server(vec![answer("409 Conflict", "", body)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ended = lastro(folder.path()).args(["orders", "list", "--url", &url]).to_end().await;
    assert!(!ended.stderr.contains(['\u{1b}', '\u{7}']), "{ended:?}");
    must_contain(&ended.stderr, &["\\u{1b}[2Jgone: a\\u{7}b"]);
}
