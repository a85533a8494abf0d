//! What a client asks of a feed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::TYPE_PREFIX;
use super::cursor::{After, LATEST};
use crate::body::Parsed;
use crate::headers::{Wait, preferred_wait};
use crate::problem::{FaultCode, Problem};
use crate::query::Query;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The media type of a stream.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// How often summaries may come, in milliseconds.
const SUMMARY_MS: std::ops::RangeInclusive<u64> = 250..=60_000;

/// A request for events.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) after: After,
    pub(super) filter: Filter,
    pub(super) shown: Shown,
}

/// How the events are shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// One page, for which the client may wait.
    Page { limit: u32, wait: Option<Wait> },
    /// A stream of events, which are read in pages.
    Events { limit: u32 },
    /// A stream of summaries.
    Summaries { every: Duration },
}

/// The types of events that a client asks for; all of them if it names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Option<Vec<&'static str>>);

impl Filter {
    pub(super) fn admits_all(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn admits(&self, event_type: &str) -> bool {
        self.0.as_ref().is_none_or(|types| types.contains(&event_type))
    }

    /// Reads types that are separated by commas, with or without what all types begin with.
    fn parse(known: &[&'static str], text: &str) -> Parsed<Self> {
        let find = |asked: &str| {
            known.iter().find(|full| **full == asked || short(full) == asked).copied()
        };
        let types: Option<Vec<_>> = text.split(',').map(find).collect();
        types.map(|types| Self(Some(types))).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|full| short(full)).collect();
            let rule = format!("must be one or several of {}, with commas", names.join(", "));
            (FaultCode::BAD_FORMAT, rule)
        })
    }
}

/// A type without what all types begin with.
fn short(full: &'static str) -> &'static str {
    full.strip_prefix(TYPE_PREFIX).unwrap_or(full)
}

impl Asked {
    /// Reads the parameters and headers.
    ///
    /// # Errors
    ///
    /// 422 `invalid_request` with every fault.
    pub(super) fn read(
        known: &[&'static str],
        headers: &HeaderMap,
        mut query: Query,
    ) -> Result<Self, Problem> {
        let streams = accepts_a_stream(headers);
        let after = query.optional("after", |text| Ok(text.to_owned()));
        let filter = query.optional("types", |text| Filter::parse(known, text));
        let limit = u32::try_from(query.limit()).unwrap_or(u32::MAX);
        let summary = query.optional("summary_ms", |text| summary_every(text, streams));
        query.finish()?;
        let last = headers.get(LAST_EVENT_ID).filter(|_| streams);
        let last = last.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let after = match last.filter(|id| !id.is_empty()).or(after) {
            None => After::Nothing,
            Some(latest) if latest == LATEST => After::Latest,
            Some(cursor) => After::Cursor(cursor),
        };
        let shown = match (streams, summary) {
            (false, _) => Shown::Page { limit, wait: preferred_wait(headers) },
            (true, None) => Shown::Events { limit },
            (true, Some(every)) => Shown::Summaries { every },
        };
        Ok(Self { after, filter: filter.unwrap_or_default(), shown })
    }
}

fn summary_every(text: &str, streams: bool) -> Parsed<Duration> {
    if !streams {
        let rule = format!("needs the header Accept: {EVENT_STREAM}");
        return Err((FaultCode::BAD_FORMAT, rule));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err((FaultCode::BAD_FORMAT, "must be a whole number".to_owned()));
    }
    let every = text.parse().ok().filter(|every| SUMMARY_MS.contains(every));
    every.map(Duration::from_millis).ok_or_else(|| {
        let (least, most) = (SUMMARY_MS.start(), SUMMARY_MS.end());
        (FaultCode::OUT_OF_RANGE, format!("must be from {least} to {most}"))
    })
}

/// Whether the client names the media type of a stream. `*/*` asks for a page.
fn accepts_a_stream(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_stream = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(EVENT_STREAM));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(str::parse::<f32>);
        is_stream && !matches!(weight, Some(Ok(weight)) if weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::problem::{At, Fault};

    const TYPES: &[&str] = &["dev.lastro.order.received", "dev.lastro.order.confirmed"];

    fn read(query: &str, headers: &[(HeaderName, &'static str)]) -> Result<Asked, Problem> {
        let map =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Asked::read(TYPES, &map.collect(), Query::new(Some(query)))
    }

    fn faults(query: &str, headers: &[(HeaderName, &'static str)]) -> Vec<String> {
        let show = |fault: &Fault| match &fault.at {
            At::Parameter(name) => format!("{name} {}", fault.code.as_str()),
            At::Pointer(pointer) => panic!("a query has no {pointer}"),
        };
        read(query, headers).expect_err("refused").faults.iter().map(show).collect()
    }

    const STREAM: (HeaderName, &str) = (header::ACCEPT, EVENT_STREAM);

    #[test]
    fn types_have_a_long_and_a_short_name() {
        for (text, admitted) in [
            ("types=order.received", [true, false]),
            ("types=dev.lastro.order.confirmed", [false, true]),
            ("types=order.received,dev.lastro.order.confirmed", [true, true]),
            ("", [true, true]),
        ] {
            let filter = read(text, &[]).expect("read").filter;
            assert_eq!([TYPES[0], TYPES[1]].map(|full| filter.admits(full)), admitted, "{text}");
            assert_eq!(filter.admits_all(), text.is_empty());
        }
    }

    #[test]
    fn every_fault_is_reported() {
        for (text, headers, expected) in [
            ("types=", &[][..], &["types bad_format"][..]),
            ("types=received", &[], &["types bad_format"]),
            ("types=order.received,", &[], &["types bad_format"]),
            ("types=order.received, order.confirmed", &[], &["types bad_format"]),
            (
                "limit=0&types=x&since=1",
                &[],
                &["limit out_of_range", "types bad_format", "since unknown_field"],
            ),
            ("summary_ms=1000", &[], &["summary_ms bad_format"]),
            ("summary_ms=249", &[STREAM], &["summary_ms out_of_range"]),
            ("summary_ms=60001", &[STREAM], &["summary_ms out_of_range"]),
            ("summary_ms=1s", &[STREAM], &["summary_ms bad_format"]),
            ("summary_ms=", &[STREAM], &["summary_ms bad_format"]),
        ] {
            assert_eq!(faults(text, headers), expected, "{text}");
        }
    }

    #[test]
    fn the_last_event_of_a_stream_wins_over_the_parameter() {
        let last = |id| (LAST_EVENT_ID, id);
        let after = |query, headers: &[_]| read(query, headers).expect("read").after;
        assert_eq!(after("", &[]), After::Nothing);
        assert_eq!(after("after=latest", &[]), After::Latest);
        assert_eq!(after("after=a", &[last("b")]), After::Cursor("a".into()), "no stream");
        assert_eq!(after("after=a", &[STREAM, last("b")]), After::Cursor("b".into()));
        assert_eq!(after("after=a", &[STREAM, last("")]), After::Cursor("a".into()));
        assert_eq!(after("after=", &[]), After::Cursor(String::new()), "it is no cursor");
    }

    #[test]
    fn a_stream_is_only_for_clients_that_name_it() {
        for (accepted, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; q=0.5", true),
            ("application/json, text/event-stream", true),
            ("text/event-stream;q=0", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
        ] {
            let shown = read("", &[(header::ACCEPT, accepted)]).expect("read").shown;
            assert_eq!(matches!(shown, Shown::Events { .. }), expected, "{accepted}");
        }
    }
}
