//! The parameters of every feed, for the API's description. The types of events, which each feed
//! describes itself, are not among them.

use utoipa::IntoParams;

/// The parameters in the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters to readers of the API")]
pub struct FeedQuery {
    /// `next_cursor` of the previous page, or the id of a message of the stream: begins behind it.
    /// `latest` begins at the end. Without it, the feed begins with the first event that there is
    after: Option<String>,
    /// Events per page (default 50); of a stream, how many are read at a time
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Only of a stream: instead of events, at most one message `summary` in this many milliseconds,
    /// with `counts` by type, the number of `events`, and the newest `subjects` (at most 50)
    #[param(minimum = 250, maximum = 60000)]
    summary_ms: Option<u32>,
}

/// The parameters in headers.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the parameters to readers of the API")]
pub struct FeedHeaders {
    /// `wait=N`: wait up to N seconds (at most 30) for an event
    #[param(rename = "Prefer")]
    prefer: Option<String>,
    /// Of a stream, the id of the last message; it wins over `after`
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_parameter_may_be_absent_and_is_described() {
        let described = FeedQuery::into_params(|| None).into_iter();
        let described = described.chain(FeedHeaders::into_params(|| None));
        let described: Vec<_> = described
            .map(|parameter| serde_json::to_value(parameter).expect("JSON"))
            .inspect(|parameter| assert_eq!(parameter["required"], Value::Bool(false)))
            .inspect(|parameter| assert!(parameter["description"].is_string()))
            .map(|parameter| format!("{} {}", parameter["in"], parameter["name"]).replace('"', ""))
            .collect();
        assert_eq!(
            described,
            [
                "query after",
                "query limit",
                "query summary_ms",
                "header Prefer",
                "header Last-Event-ID"
            ]
        );
    }
}
