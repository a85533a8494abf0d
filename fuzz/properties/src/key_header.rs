//! An `Idempotency-Key` is taken as it was sent, or refused: never changed, cut short or
//! overlooked. And a `Prefer` that makes no sense is no wait.

use http::{HeaderMap, HeaderValue};
use platform::keys::Principal;
use web::problem::{At, Code};
use web::{idempotency_key, preferred_wait};

/// Each line is a value of the header.
pub fn check(bytes: &[u8]) {
    let values =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let values: Vec<_> = values.take(4).collect();
    check_key(&values);
    check_wait(&values);
}

fn headers(name: &'static str, values: &[HeaderValue]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, value.clone());
    }
    headers
}

fn check_key(values: &[HeaderValue]) {
    let read = idempotency_key(&headers("idempotency-key", values), &Principal::anyone());
    match values {
        [] => assert_eq!(read, Ok(None)),
        [one]
            if (1..=255).contains(&one.len())
                && one.as_bytes().iter().all(|b| (b'!'..=b'~').contains(b)) =>
        {
            let key = read.expect("a valid key").expect("a key");
            assert_eq!(key.as_bytes(), one.as_bytes());
        }
        _ => {
            let problem = read.expect_err("an invalid key");
            assert_eq!((problem.code, problem.faults.len()), (Code::INVALID_REQUEST, 1));
            assert_eq!(problem.faults[0].at, At::Parameter("Idempotency-Key".into()));
        }
    }
}

fn check_wait(values: &[HeaderValue]) {
    let Some(wait) = preferred_wait(&headers("prefer", values)) else { return };
    assert!(wait.duration().as_secs() <= 30);
    assert!(
        values.iter().any(|line| line
            .as_bytes()
            .to_ascii_lowercase()
            .windows(4)
            .any(|part| part == b"wait"))
    );
    let (_, applied) = wait.applied();
    assert_eq!(
        preferred_wait(&headers("prefer", &[applied])),
        Some(wait),
        "the applied preference asks for the same wait"
    );
}
