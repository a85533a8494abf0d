//! Where people look at a trace.

use std::str::FromStr;

use serde::Deserialize;

use super::UsageError;

/// The place of the trace's id in the URL.
const PLACE: &str = "{trace_id}";

/// The URL of a page that shows a trace, with the place of its id:
/// `https://grafana.example.com/explore?traceID={trace_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceUrl(String);

impl TraceUrl {
    /// Returns the URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceUrl {
    type Err = UsageError;

    /// Only a page of the web may become a link: a browser runs what `javascript:` says.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_page = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
        if is_page && is_plain && text.contains(PLACE) {
            return Ok(Self(text.to_owned()));
        }
        Err(UsageError(format!(
            "{text:?} is not the URL of a page with the place of the trace, such as \
             https://grafana.example.com/explore?traceID={PLACE}"
        )))
    }
}

impl TryFrom<String> for TraceUrl {
    type Error = UsageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_url_is_a_page_and_has_the_place_of_the_trace() {
        for (text, expected) in [
            ("https://grafana.example.com/explore?traceID={trace_id}", true),
            ("http://127.0.0.1:16686/trace/{trace_id}", true),
            ("https://grafana.example.com/explore", false),
            ("javascript:alert({trace_id})", false),
            ("/trace/{trace_id}", false),
            ("https://a b/{trace_id}", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<TraceUrl>().is_ok(), expected, "{text}");
        }
    }
}
