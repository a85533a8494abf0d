//! Why a command ends before it is done, in words that say what to do.

use http::Method;
use platform::config::UsageError;
use platform::process::ProgramError;
use serde_json::Value;

use super::{Answer, BaseUrl, Request};
use crate::output::clean;

/// The exit code if what the command names does not exist.
pub(crate) const NOT_FOUND: u8 = 3;
/// The exit code if the change may have been made, or not.
pub(crate) const OUTCOME_UNKNOWN: u8 = 4;

/// Why a command ends before it is done.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Standard output is closed, as by `| head`: nobody reads on, which is no error.
    Closed,
    /// It was started wrongly.
    Usage(UsageError),
    /// The service has refused the request.
    Refused(Box<Refusal>),
    /// Any other reason, with the exit code.
    Lines(u8, String),
}

/// A request that was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    status: u16,
    lines: String,
}

/// The end of a command: success, or the error to report.
pub(crate) fn done(ended: Result<(), Failed>) -> Result<(), ProgramError> {
    match ended {
        Ok(()) | Err(Failed::Closed) => Ok(()),
        Err(Failed::Usage(error)) => Err(error.into()),
        Err(Failed::Refused(refusal)) => {
            let code = if refusal.status == 404 { NOT_FOUND } else { 1 };
            Err(ProgramError::Ended { code, lines: refusal.lines })
        }
        Err(Failed::Lines(code, lines)) => Err(ProgramError::Ended { code, lines }),
    }
}

impl Failed {
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self::Usage(UsageError(line.into()))
    }

    /// It failed for this reason. Exit code 1.
    pub(crate) fn line(line: impl Into<String>) -> Self {
        Self::Lines(1, line.into())
    }

    /// What the command names does not exist.
    pub(crate) fn not_found(line: impl Into<String>) -> Self {
        Self::Lines(NOT_FOUND, line.into())
    }

    /// Nothing answers at this address, and nothing was changed.
    pub(crate) fn unreachable(url: &BaseUrl, why: &str) -> Self {
        Self::line(format!(
            "no answer from {url}: {why}\nhint: is the service running there? --url (LASTRO_URL) \
             names a gateway or lastro; without a gateway, --inventory-url (LASTRO_INVENTORY_URL) \
             names the Inventory Service"
        ))
    }

    /// A change may have been made.
    pub(crate) fn unknown(request: &Request, why: &str) -> Self {
        let again = request.again.as_ref().map_or_else(
            || "run the command again: a repeat changes nothing twice".to_owned(),
            |again| format!("run the command again with {again}: a repeat changes nothing twice"),
        );
        let what = format!("{} {}", request.method, request.path);
        let line = format!("the outcome of {what} is unknown: {why}\nhint: {again}");
        Self::Lines(OUTCOME_UNKNOWN, line)
    }

    /// The service has answered with this problem.
    pub(crate) fn refused(method: &Method, path: &str, answer: &Answer) -> Self {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = answer.code();
        let lines = match problem["title"].as_str() {
            Some(title) => lines(title, &problem, path),
            None if answer.status.is_redirection() => format!(
                "{method} {path} is redirected ({}), which is not followed\nhint: name the address \
                 that it leads to with --url",
                answer.status
            ),
            None => format!(
                "{method} {path} was answered {}, without a problem document\nhint: does --url \
                 name Lastro? A proxy may have answered",
                answer.status
            ),
        };
        Self::Refused(Box::new(Refusal { code, status: answer.status.as_u16(), lines }))
    }

    /// The code of the problem, if the service has refused the request.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// The first line, for a note beside what could be shown.
    pub(crate) fn first_line(&self) -> String {
        let lines = match self {
            Self::Closed => "standard output is closed",
            Self::Usage(error) => &error.0,
            Self::Refused(refusal) => &refusal.lines,
            Self::Lines(_, lines) => lines,
        };
        lines.lines().next().unwrap_or_default().to_owned()
    }
}

/// The lines about a problem document.
fn lines(title: &str, problem: &Value, path: &str) -> String {
    let text = |name: &str| problem[name].as_str().map(clean).unwrap_or_default();
    let mut lines = match text("detail") {
        // Some details only say the title again.
        detail if detail.is_empty() || detail.eq_ignore_ascii_case(title) => clean(title),
        detail => format!("{}: {detail}", clean(title)),
    };
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let place = fault["pointer"].as_str().or(fault["parameter"].as_str()).unwrap_or("body");
        let detail = fault["detail"].as_str().unwrap_or_default();
        lines.push_str(&format!("\n  {}: {}", clean(place), clean(detail)));
    }
    let (code, status, id) = (text("code"), &problem["status"], text("request_id"));
    lines.push_str(&format!("\n  {status} {code}, request {id}"));
    if let Some(trace) = problem["trace_id"].as_str() {
        lines.push_str(&format!(", trace {}", clean(trace)));
    }
    if let Some(hint) = hint(&code, problem, path) {
        lines.push_str(&format!("\nhint: {hint}"));
    }
    lines
}

const UNKNOWN_LOCATION: &str = "`lastro locations list` shows the locations; \
     `lastro locations put LOCATION --name TEXT` creates one";

/// What the user can do about a fault of a body or of a row, if it has nothing to do with its form.
pub(crate) fn hint_of_fault(code: &str) -> Option<&'static str> {
    match code {
        "unknown_product" => Some(
            "`lastro stock put PRODUCT --name TEXT` creates a product; a row with a name does as well",
        ),
        "unknown_location" => Some(UNKNOWN_LOCATION),
        _ => None,
    }
}

/// What the user can do about a problem.
fn hint(code: &str, problem: &Value, path: &str) -> Option<String> {
    let hint = match code {
        "invalid_request" => {
            let faults = problem["errors"].as_array()?;
            faults.iter().find_map(|fault| hint_of_fault(fault["code"].as_str()?))?
        }
        "unauthenticated" => {
            "name a valid key with --key-file (LASTRO_KEY_FILE); `lastro keys list` shows the keys that have ended"
        }
        "forbidden" => {
            let scope = problem["required_scope"].as_str()?;
            return Some(format!(
                "the key needs the scope {}; see `lastro keys create --help`",
                clean(scope)
            ));
        }
        "order_not_found" => {
            "`lastro orders list` shows the orders; a key of one customer sees theirs only"
        }
        "product_not_found" => {
            "`lastro stock list --search TEXT` finds products; `lastro stock put PRODUCT --name TEXT` creates one"
        }
        "location_not_found" => UNKNOWN_LOCATION,
        "quarantine_entry_not_found" => {
            "`lastro quarantine list` shows the messages of both services"
        }
        "not_found" if path.starts_with("/api/inventory") => {
            "the Inventory Service may be at another address: --inventory-url (LASTRO_INVENTORY_URL)"
        }
        "not_found" => "does --url name the Order Service, or a gateway to both services?",
        "nothing_pending" => {
            "Inventory has answered; `lastro orders show ORDER` says where the order is"
        }
        "invalid_transition"
        | "already_paid"
        | "underpaid"
        | "payment_not_expected"
        | "quantity_unavailable"
        | "refund_exceeds_payment" => {
            "`lastro orders show ORDER` says what has happened to the order"
        }
        "order_busy" => "Inventory takes units from the order; try again when it has answered",
        "below_reserved" => {
            "`lastro stock show PRODUCT` says which orders hold units of the product"
        }
        "stock_changed" => "`lastro stock show PRODUCT` says what moved; count again",
        "idempotency_key_reused" => {
            "this key was used for another request; leave --idempotency-key out"
        }
        "invalid_cursor" => "the database was made anew or restored; begin without --after",
        "misdirected_request" => {
            "use the service's own name in --url, or add this one to allowed_hosts"
        }
        "rate_limited" | "overloaded" => "try again later, with less at a time",
        "storage_full" => "make room on the disk of the service's database",
        "storage_unavailable" | "shutting_down" => "/readyz of the service says what is wrong",
        "internal" => "the log of the service has the reason, with this request id",
        _ => return None,
    };
    Some(hint.to_owned())
}
