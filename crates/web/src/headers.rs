//! Request headers that mean something to both services.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Fault, FaultCode, Problem};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Says, with the value `true`, that the answer is that of an earlier request with the same `Idempotency-Key`.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_LENGTH: usize = 255;
/// Who asks for longer waits this long.
const MAX_WAIT_S: u8 = 30;

/// How long a client is willing to wait for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    seconds: u8,
}

impl Wait {
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The header that says that it was done.
    pub fn applied(self) -> (HeaderName, HeaderValue) {
        let value = HeaderValue::from_str(&format!("wait={}", self.seconds)).expect("a number is plain ASCII");
        (HeaderName::from_static("preference-applied"), value)
    }
}

/// `Prefer: wait=N`, wherever it stands among other preferences.
///
/// **Shape:** more than 30 counts as 30. What is malformed is ignored, for a preference is no demand; of several
/// `wait` the first counts.
///
/// **Source:** RFC 7240.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Wait> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let mut preferences = lines.flat_map(|line| split_outside_quotes(line, ',')).map(name_and_value);
    let (_, seconds) = preferences.find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    let is_number = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Wait { seconds: seconds.parse().unwrap_or(MAX_WAIT_S).min(MAX_WAIT_S) })
}

/// `Idempotency-Key`, by which a client repeats a request without repeating its effect.
///
/// **Errors:** 422 `invalid_request` if it is there but is not one key of 1 to 255 visible ASCII characters: a key that
/// was silently dropped would cost a second order.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else { return Ok(None) };
    let is_key = (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(key) if is_key && another.is_none() => Ok(Some(key.to_owned())),
        _ => {
            let detail =
                format!("Idempotency-Key must be given once, with 1 to {MAX_KEY_LENGTH} visible ASCII characters");
            Err(Fault::parameter("Idempotency-Key", FaultCode::BAD_FORMAT, detail).into())
        }
    }
}

/// A preference without its parameters: `wait = "5"; x=y` is `wait` and `5`.
fn name_and_value(preference: &str) -> (&str, &str) {
    let preference = split_outside_quotes(preference, ';').next().unwrap_or_default();
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    (name.trim(), unquoted.unwrap_or(value))
}

/// Splits a header as its grammar does: a separator within a quoted string separates nothing.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_wait_is_found_among_preferences_and_bounded() {
        for (lines, seconds) in [
            (&["wait=5"][..], Some(5)),
            (&["Wait=5"], Some(5)),
            (&["wait = 5"], Some(5)),
            (&["wait=\"5\""], Some(5)),
            (&["wait=0"], Some(0)),
            (&["wait=007"], Some(7)),
            (&["wait=30"], Some(30)),
            (&["wait=31"], Some(30)),
            (&["wait=99999999999999999999"], Some(30)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async; x=\"a, wait=1\", wait=10; strict"], Some(10)),
            (&["x=\"\\\", wait=1\", wait=2"], Some(2)),
            (&["return=minimal", "wait=10"], Some(10)),
            (&["wait=3, wait=4"], Some(3)),
            (&["wait=3", "wait=4"], Some(3)),
            (&["wait=x, wait=4"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=1.5"], None),
            (&["wait=5s"], None),
            (&["waiting=5"], None),
            (&["x=\"wait=5"], None),
            (&["", ",,;=,"], None),
            (&[], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            let found = preferred_wait(&headers(&PREFER, &lines));
            assert_eq!(found.map(|wait| wait.seconds), seconds, "{lines:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_text_does_not_hide_the_next() {
        let found = preferred_wait(&headers(&PREFER, &[b"\xff", b"wait=5"]));
        assert_eq!(found.map(Wait::duration), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_wait_that_was_applied_says_so() {
        let (name, value) = preferred_wait(&headers(&PREFER, &[b"wait=90"])).unwrap().applied();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("preference-applied", "wait=30"));
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_stands_there_once() {
        let longest = "k".repeat(255);
        for key in ["k", "\"8e03978e-40d5\"", "!~", &longest] {
            assert_eq!(idempotency_key(&headers(&IDEMPOTENCY_KEY, &[key.as_bytes()])), Ok(Some(key.to_owned())));
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        let too_long = "k".repeat(256);
        for keys in [&[&b""[..]][..], &[b"a b"], &[b"a\tb"], &[b"\xc3\xa9"], &[too_long.as_bytes()], &[b"k", b"k"]] {
            let problem = idempotency_key(&headers(&IDEMPOTENCY_KEY, keys)).unwrap_err();
            let fault = &problem.faults[0];
            let expected = Fault::parameter("Idempotency-Key", FaultCode::BAD_FORMAT, fault.detail.clone());
            assert_eq!((problem.faults.len(), fault), (1, &expected));
        }
    }
}
