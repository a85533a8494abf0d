//! Request headers that both services use.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use platform::keys::Principal;

use crate::problem::{Fault, FaultCode, Problem};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// With the value `true`: the response is that of an earlier request with the same
/// `Idempotency-Key`.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_LENGTH: usize = 255;
/// A longer preferred wait is cut to this one.
const MAX_WAIT_S: u8 = 30;

/// How long a client is willing to wait for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    seconds: u8,
}

impl Wait {
    /// The wait as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The response header that confirms the wait.
    pub fn applied(self) -> (HeaderName, HeaderValue) {
        let value = HeaderValue::from_str(&format!("wait={}", self.seconds))
            .expect("a number is plain ASCII");
        (HeaderName::from_static("preference-applied"), value)
    }
}

/// Finds `Prefer: wait=N` among the preferences of a request (RFC 7240).
///
/// More than 30 seconds count as 30, and the first of several `wait` counts. A malformed preference
/// is ignored, because a client must not rely on preferences.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Wait> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let mut preferences =
        lines.flat_map(|line| split_outside_quotes(line, ',')).map(name_and_value);
    let (_, seconds) = preferences.find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    let is_number = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Wait { seconds: seconds.parse().unwrap_or(MAX_WAIT_S).min(MAX_WAIT_S) })
}

/// Reads the `Idempotency-Key`, with which a client repeats a request without repeating its effect.
///
/// It belongs to the client: the text begins with who they are, if they were asked, and nobody is
/// told about the request of another client. A space stands in no key.
///
/// # Errors
///
/// 422 `invalid_request` if the header is present but is not one key of 1 to 255 visible ASCII
/// characters, or is what a program writes that has no key: `undefined` or `null`. To ignore such a
/// key could place a second order, and to take it would let different orders share it.
pub fn idempotency_key(headers: &HeaderMap, client: &Principal) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else { return Ok(None) };
    let is_key = (1..=MAX_KEY_LENGTH).contains(&key.len())
        && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(key @ ("undefined" | "null")) => {
            let detail = format!("Idempotency-Key must be a key of this request, not {key}");
            Err(Fault::parameter("Idempotency-Key", FaultCode::BAD_FORMAT, detail).into())
        }
        Ok(key) if is_key && another.is_none() => Ok(Some(match &client.actor {
            Some(actor) => format!("{actor} {key}"),
            None => key.to_owned(),
        })),
        _ => {
            let detail = format!(
                "Idempotency-Key must be given once, with 1 to {MAX_KEY_LENGTH} visible ASCII characters"
            );
            Err(Fault::parameter("Idempotency-Key", FaultCode::BAD_FORMAT, detail).into())
        }
    }
}

/// Reads the `Idempotency-Key` of a request that must have one, because to repeat it by mistake would
/// double its effect.
///
/// # Errors
///
/// 422 `invalid_request` if there is none, and as [`idempotency_key`].
pub fn required_idempotency_key(
    headers: &HeaderMap,
    client: &Principal,
) -> Result<String, Problem> {
    idempotency_key(headers, client)?.ok_or_else(|| {
        let detail = "Idempotency-Key is required: a new one for each new request, the same one to \
                      repeat a request";
        Fault::parameter("Idempotency-Key", FaultCode::REQUIRED, detail).into()
    })
}

/// What a request demands of the resource that it replaces (RFC 9110, section 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Nothing.
    None,
    /// `If-None-Match: *`: it does not exist.
    Absent,
    /// `If-Match: *`: it exists.
    Present,
    /// `If-Match`: it has one of these validators, without their quotes.
    Matches(Vec<String>),
}

/// Reads `If-Match` and `If-None-Match` of a request that replaces something.
///
/// # Errors
///
/// 422 `invalid_request` if a header cannot be honoured: both at once, validators that are weak or
/// not in quotes, and `If-None-Match` with validators. To ignore it could overwrite a change.
pub fn conditions(headers: &HeaderMap) -> Result<Conditions, Problem> {
    let list = |name: HeaderName| {
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
        lines.flat_map(|line| split_outside_quotes(line, ',')).map(str::trim).collect::<Vec<_>>()
    };
    let refuse = |name: &str, detail: &str| {
        Err(Fault::parameter(name, FaultCode::BAD_FORMAT, format!("{name} {detail}")).into())
    };
    match (list(header::IF_MATCH).as_slice(), list(header::IF_NONE_MATCH).as_slice()) {
        ([], []) => Ok(Conditions::None),
        (["*"], []) => Ok(Conditions::Present),
        ([], ["*"]) => Ok(Conditions::Absent),
        ([], _) => refuse("If-None-Match", "must be * on a request that replaces something"),
        (tags, []) => {
            let unquoted = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
            match tags.iter().map(unquoted).collect() {
                Some(tags) => Ok(Conditions::Matches(tags)),
                None => refuse("If-Match", "must be * or the ETag of what is replaced, in quotes"),
            }
        }
        (_, _) => refuse("If-Match", "must not come with If-None-Match"),
    }
}

/// Splits a preference and drops its parameters: `wait = "5"; x=y` becomes `wait` and `5`.
fn name_and_value(preference: &str) -> (&str, &str) {
    let preference = split_outside_quotes(preference, ';').next().unwrap_or_default();
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    (name.trim(), unquoted.unwrap_or(value))
}

/// Splits a header at separators outside of quoted strings.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
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
    fn a_line_that_is_not_text_does_not_hide_the_next() {
        let found = preferred_wait(&headers(&PREFER, &[b"\xff", b"wait=5"]));
        assert_eq!(found.map(Wait::duration), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_wait_that_was_applied_says_so() {
        let (name, value) = preferred_wait(&headers(&PREFER, &[b"wait=90"])).unwrap().applied();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("preference-applied", "wait=30"));
    }

    #[test]
    fn conditions_are_honoured_or_refused() {
        let read = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name.clone(), HeaderValue::from_static(value));
            }
            conditions(&headers).map_err(|problem| problem.code.as_str())
        };
        let (some, none) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let matches = |tags: &[&str]| {
            Ok(Conditions::Matches(tags.iter().map(|tag| (*tag).to_owned()).collect()))
        };
        assert_eq!(read(&[]), Ok(Conditions::None));
        assert_eq!(read(&[(some.clone(), "*")]), Ok(Conditions::Present));
        assert_eq!(read(&[(none.clone(), "*")]), Ok(Conditions::Absent));
        assert_eq!(read(&[(some.clone(), "\"a\"")]), matches(&["a"]));
        assert_eq!(
            read(&[(some.clone(), "\"a\", \"b,c\""), (some.clone(), "\"d\"")]),
            matches(&["a", "b,c", "d"])
        );
        for refused in [
            &[(some.clone(), "a")][..],
            &[(some.clone(), "W/\"a\"")],
            &[(some.clone(), "")],
            &[(some.clone(), "*, \"a\"")],
            &[(none.clone(), "\"a\"")],
            &[(some, "*"), (none, "*")],
        ] {
            assert_eq!(read(refused), Err("invalid_request"), "{refused:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_not_what_a_program_writes_that_has_none() {
        for key in ["undefined", "null"] {
            let problem = idempotency_key(
                &headers(&IDEMPOTENCY_KEY, &[key.as_bytes()]),
                &Principal::anyone(),
            );
            let detail = format!("Idempotency-Key must be a key of this request, not {key}");
            assert_eq!(problem.unwrap_err().detail, detail);
        }
        let key = idempotency_key(&headers(&IDEMPOTENCY_KEY, &[b"null-7"]), &Principal::anyone());
        assert_eq!(key, Ok(Some("null-7".to_owned())));
    }

    #[test]
    fn an_idempotency_key_belongs_to_the_client_that_sent_it() {
        let client = |actor: &str| Principal { actor: Some(actor.into()), ..Principal::anyone() };
        let sent = headers(&IDEMPOTENCY_KEY, &[b"K"]);
        let of = |client: &Principal| idempotency_key(&sent, client).unwrap().unwrap();
        assert_eq!(of(&client("key:a")), "key:a K");
        assert_eq!(of(&client("key:b")), "key:b K");
        assert_eq!(of(&Principal::anyone()), "K");
    }

    #[test]
    fn an_idempotency_key_that_is_required_is_missed() {
        let read = |keys: &[&[u8]]| {
            required_idempotency_key(&headers(&IDEMPOTENCY_KEY, keys), &Principal::anyone())
        };
        assert_eq!(read(&[b"K"]), Ok("K".to_owned()));
        for (keys, code) in
            [(&[][..], FaultCode::REQUIRED), (&[&b"a b"[..]], FaultCode::BAD_FORMAT)]
        {
            let problem = read(keys).unwrap_err();
            let fault = &problem.faults[0];
            let expected = Fault::parameter("Idempotency-Key", code, fault.detail.clone());
            assert_eq!((problem.faults.len(), fault), (1, &expected));
        }
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_occurs_once() {
        let longest = "k".repeat(255);
        for key in ["k", "\"8e03978e-40d5\"", "!~", &longest] {
            assert_eq!(
                idempotency_key(
                    &headers(&IDEMPOTENCY_KEY, &[key.as_bytes()]),
                    &Principal::anyone()
                ),
                Ok(Some(key.to_owned()))
            );
        }
        assert_eq!(idempotency_key(&HeaderMap::new(), &Principal::anyone()), Ok(None));
        let too_long = "k".repeat(256);
        for keys in [
            &[&b""[..]][..],
            &[b"a b"],
            &[b"a\tb"],
            &[b"\xc3\xa9"],
            &[too_long.as_bytes()],
            &[b"k", b"k"],
        ] {
            let problem = idempotency_key(&headers(&IDEMPOTENCY_KEY, keys), &Principal::anyone())
                .unwrap_err();
            let fault = &problem.faults[0];
            let expected =
                Fault::parameter("Idempotency-Key", FaultCode::BAD_FORMAT, fault.detail.clone());
            assert_eq!((problem.faults.len(), fault), (1, &expected));
        }
    }
}
