//! Query strings, read as strictly as bodies: every fault is reported and no parameter is ignored.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use platform::clock::Timestamp;

use super::cursor;
use crate::body::Parsed;
use crate::problem::{Fault, FaultCode, MAX_FAULTS, Problem};

/// The rows per page unless the client sets `limit`.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// Reads the parameters of a query string one by one and collects faults. A handler takes it as an
/// argument.
///
/// A parameter that the handler does not ask for is a fault, and so is a parameter that occurs
/// twice.
///
/// # Examples
///
/// ```
/// # use web::Query;
/// # fn list(mut query: Query) -> Result<(), web::problem::Problem> {
/// let prefix = query.optional("q", |text| Ok(text.to_owned()));
/// let limit = query.limit();
/// let after = query.cursor("products");
/// query.finish()?;
/// # Ok(()) }
/// # assert!(list(Query::new(Some("q=mug&limit=10"))).is_ok());
/// # assert_eq!(list(Query::new(Some("p=mug&limit=0"))).unwrap_err().faults.len(), 2);
/// ```
#[derive(Debug)]
pub struct Query {
    given: Vec<Given>,
    asked: Vec<&'static str>,
    /// Faults with the index of their parameter, by which they are sorted.
    faults: Vec<(usize, Fault)>,
    invalid_cursor: Option<Problem>,
}

#[derive(Debug)]
struct Given {
    name: String,
    /// None if the value is not percent-encoded UTF-8 or has control characters, which no parameter
    /// needs.
    value: Option<String>,
}

impl Query {
    /// Reads the query string of a URI, without the `?`.
    pub fn new(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let given = pairs.map(Given::read).collect();
        Self { given, asked: Vec::new(), faults: Vec::new(), invalid_cursor: None }
    }

    /// Reads a parameter with `parse`. Returns `None` if it is absent, and `None` with a fault if
    /// it is wrong.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        self.asked.push(name);
        let mut found = self.given.iter().enumerate().filter(|(_, given)| given.name == name);
        let (index, first) = found.next()?;
        let parsed = match (&first.value, found.next()) {
            (_, Some(_)) => Err((FaultCode::BAD_FORMAT, "must be given once".to_owned())),
            (None, _) => Err((
                FaultCode::BAD_FORMAT,
                "must be percent-encoded UTF-8 without control characters".to_owned(),
            )),
            (Some(value), None) => parse(value),
        };
        parsed.map_err(|wrong| self.fault(index, name, wrong)).ok()
    }

    /// Reads `limit`, the rows per page: 1 to 200, 50 if absent.
    pub fn limit(&mut self) -> usize {
        let parse = |text: &str| {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err((FaultCode::BAD_FORMAT, "must be a whole number".to_owned()));
            }
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| (FaultCode::OUT_OF_RANGE, format!("must be from 1 to {MAX_LIMIT}")))
        };
        self.optional("limit", parse).unwrap_or(DEFAULT_LIMIT)
    }

    /// Reads an RFC 3339 time.
    pub fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        self.optional(name, |text| {
            Timestamp::from_rfc3339(text).ok_or_else(|| {
                let rule = "must be an RFC 3339 time, such as 2026-11-23T18:30:00Z; the + of an \
                            offset is sent as %2B";
                (FaultCode::BAD_FORMAT, rule.to_owned())
            })
        })
    }

    /// Reads `cursor`, a cursor of `list`, and returns the key after which the page begins.
    pub fn cursor(&mut self, list: &str) -> Option<String> {
        let cursor = self.optional("cursor", |text| Ok(text.to_owned()))?;
        cursor::decode(list, &cursor).map_err(|problem| self.invalid_cursor = Some(problem)).ok()
    }

    /// Ends the reading; call it before using any of the values.
    ///
    /// # Errors
    ///
    /// 422 `invalid_request` with all faults in the order of the parameters, else 400
    /// `invalid_cursor` for a cursor that this list did not return.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown = self
            .given
            .iter()
            .enumerate()
            .filter(|(_, given)| !self.asked.contains(&given.name.as_str()));
        let faults = unknown.take(MAX_FAULTS).map(|(index, given)| {
            let detail = format!("{} is not a known parameter", given.name);
            (index, Fault::parameter(given.name.clone(), FaultCode::UNKNOWN_FIELD, detail))
        });
        self.faults.extend(faults);
        if self.faults.is_empty() {
            return self.invalid_cursor.map_or(Ok(()), Err);
        }
        self.faults.sort_by_key(|(index, _)| *index);
        Err(Problem::invalid(self.faults.into_iter().map(|(_, fault)| fault).collect()))
    }

    fn fault(&mut self, index: usize, name: &str, (code, detail): (FaultCode, String)) {
        self.faults.push((index, Fault::parameter(name, code, format!("{name} {detail}"))));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new(parts.uri.query()))
    }
}

impl Given {
    fn read(pair: &str) -> Self {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).filter(|value| !value.chars().any(char::is_control));
        Self { name: decode(name).unwrap_or_else(|| name.to_owned()), value }
    }
}

/// Decodes percent-encoding, and `+` as a space. Returns `None` where a library would insert a
/// replacement character.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{At, Code};

    #[derive(Debug, PartialEq)]
    struct Page {
        status: Option<String>,
        limit: usize,
        after: Option<String>,
    }

    fn read(text: &str) -> Result<Page, Problem> {
        let mut query = Query::new(Some(text));
        let known = |text: &str| match text {
            "open" | "caf é" => Ok(text.to_owned()),
            _ => Err((FaultCode::BAD_FORMAT, "must be open".to_owned())),
        };
        let page = Page {
            status: query.optional("status", known),
            limit: query.limit(),
            after: query.cursor("things"),
        };
        query.finish().map(|()| page)
    }

    fn faults(text: &str) -> Vec<String> {
        let problem = read(text).expect_err("must be refused");
        assert_eq!(problem.code, Code::INVALID_REQUEST);
        let show = |fault: &Fault| match &fault.at {
            At::Parameter(name) => format!("{name} {}", fault.code.as_str()),
            At::Pointer(pointer) => panic!("a query has no {pointer}"),
        };
        problem.faults.iter().map(show).collect()
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let page = Page { status: None, limit: 50, after: None };
        assert_eq!(read("").as_ref(), Ok(&page));
        assert_eq!(read("&&").as_ref(), Ok(&page));
        assert!(Query::new(None).finish().is_ok());
    }

    #[test]
    fn parameters_are_decoded() {
        let text =
            format!("limit=200&st%61tus=caf+%C3%a9&cursor={}", cursor::encode("things", "k 1"));
        let page = Page { status: Some("caf é".into()), limit: 200, after: Some("k 1".into()) };
        assert_eq!(read(&text), Ok(page));
    }

    #[test]
    fn every_fault_is_reported_in_the_order_of_the_parameters() {
        for (text, expected) in [
            ("limit=0", &["limit out_of_range"][..]),
            ("limit=201", &["limit out_of_range"]),
            ("limit=99999999999999999999999", &["limit out_of_range"]),
            ("limit=-1", &["limit bad_format"]),
            ("limit=+1", &["limit bad_format"]),
            ("limit=1.0", &["limit bad_format"]),
            ("limit=", &["limit bad_format"]),
            ("limit", &["limit bad_format"]),
            ("limit=5&limit=5", &["limit bad_format"]),
            (
                "x=1&limit=ten&status=shut&y",
                &["x unknown_field", "limit bad_format", "status bad_format", "y unknown_field"],
            ),
            ("status=%zz", &["status bad_format"]),
            ("status=%c3", &["status bad_format"]),
            ("status=%", &["status bad_format"]),
            ("status=open%00", &["status bad_format"]),
            ("Limit=5", &["Limit unknown_field"]),
            ("%ff=1", &["%ff unknown_field"]),
            ("x=1&cursor=bad", &["x unknown_field"]),
        ] {
            assert_eq!(faults(text), expected, "{text}");
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_a_problem_of_its_own() {
        for bad in ["nonsense".to_owned(), String::new(), cursor::encode("others", "k")] {
            assert_eq!(read(&format!("cursor={bad}")).unwrap_err().code, Code::INVALID_CURSOR);
        }
    }

    #[test]
    fn a_time_is_read_in_any_offset_and_to_the_microsecond() {
        let read = |text: &str| {
            let mut query = Query::new(Some(text));
            let at = query.time("from");
            query.finish().map(|()| at.map(Timestamp::to_rfc3339))
        };
        for (text, expected) in [
            ("from=2026-11-23T18:30:00Z", "2026-11-23T18:30:00.000000Z"),
            ("from=2026-11-23T15:30:00.5-03:00", "2026-11-23T18:30:00.500000Z"),
            ("from=2026-11-23T20:30:00%2B02:00", "2026-11-23T18:30:00.000000Z"),
            ("from=2026-11-23T18:30:00.000000001Z", "2026-11-23T18:30:00.000001Z"),
            ("from=1969-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(read(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(read(""), Ok(None));
        for text in
            ["from=", "from=2026-11-23", "from=1795804200", "from=2026-11-23T18:30:00+02:00"]
        {
            let problem = read(text).expect_err("no time");
            assert_eq!(problem.faults[0].code, FaultCode::BAD_FORMAT, "{text}");
        }
    }

    #[test]
    fn a_query_of_thousands_of_parameters_is_answered_with_a_hundred_faults() {
        assert_eq!(faults(&"x=1&".repeat(15_000)).len(), MAX_FAULTS);
    }
}
