//! A response of a deployment over HTTP.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A complete HTTP response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came: tests compare money digit by digit.
    pub text: String,
}

impl Response {
    /// Reads the body to its end.
    ///
    /// # Errors
    ///
    /// Fails if the connection broke.
    pub async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(Self { status, headers, text: response.text().await? })
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header, which must be ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of plain ASCII"))
    }

    /// The body of a response that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    /// A string in the body.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let value = self.json();
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer}: {self:?}")).to_owned()
    }

    /// The status and, for a problem, its code: `200`, `404 order_not_found`.
    ///
    /// Checks for every test that each error is a complete problem document.
    #[track_caller]
    pub fn verdict(&self) -> String {
        if self.status < 400 {
            return self.status.to_string();
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        let members = problem.as_object().expect("an object").keys().map(String::as_str);
        // Only of a request in a trace.
        let members: Vec<_> = members.filter(|name| *name != "trace_id").collect();
        assert_eq!(
            members,
            ["type", "title", "status", "detail", "code", "request_id", "errors"],
            "{self:?}"
        );
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        let asks_to_come_back = matches!(self.status, 429 | 503) || problem["code"] == "order_busy";
        assert_eq!(self.headers.contains_key("retry-after"), asks_to_come_back, "{self:?}");
        format!("{} {}", self.status, problem["code"].as_str().expect("a code"))
    }

    /// The faults that a problem lists, in order: `/products/0/price too_many_decimals`.
    pub fn faults(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().expect("a list of errors");
        let described = |error: &Value| {
            let location =
                error["pointer"].as_str().or(error["parameter"].as_str()).expect("a location");
            assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
            format!("{location} {}", error["code"].as_str().expect("a code"))
        };
        errors.iter().map(described).collect()
    }
}

/// The names of an object's members, in the order of the text.
pub fn members(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}
