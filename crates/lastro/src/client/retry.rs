//! Which requests are sent again, and for how long.

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use super::{Answer, Client, Failed, Request};
use crate::output::note;

/// The pause before a request is sent again, unless the service names one. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Refusals that pass by themselves, and after which nothing was changed.
const PASSING: [&str; 3] = ["overloaded", "rate_limited", "order_busy"];

/// What to do after an attempt.
enum Next {
    Again { why: String, after: Option<Duration>, is_unknown: bool },
    End(Result<Answer, Failed>),
}

impl Client {
    /// Sends a request until its outcome is known.
    ///
    /// # Errors
    ///
    /// The service refused it, it cannot be reached, or the time is over.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Failed> {
        let deadline = self.deadline();
        let mut pause = FIRST_PAUSE;
        // Why it is not known whether the request took effect.
        let mut unknown = None::<String>;
        loop {
            let attempt = self.once(request, deadline).await;
            let last = attempt.as_ref().ok().cloned();
            let (why, after) = match self.next(request, attempt, unknown.is_some()) {
                Next::End(ended) => return ended,
                Next::Again { why, after, is_unknown } => {
                    if is_unknown {
                        unknown = Some(why.clone());
                    }
                    (why, after)
                }
            };
            let wait = after.unwrap_or(pause);
            if Instant::now() + wait >= deadline {
                return Err(match (unknown, last) {
                    (Some(why), _) if request.method != Method::GET => {
                        Failed::unknown(request, &why)
                    }
                    (None, Some(answer)) => self.refusal(request, &answer),
                    _ => Failed::unreachable(self.base_of(&request.path), &why),
                });
            }
            note(format_args!("{why}; trying again"));
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn next(
        &self,
        request: &Request,
        attempt: Result<Answer, super::Lost>,
        is_unknown: bool,
    ) -> Next {
        match attempt {
            Ok(answer) if answer.status.is_success() => Next::End(Ok(answer)),
            Ok(answer) => {
                let code = answer.code();
                let is_unknown = code == "outcome_unknown";
                if is_unknown || PASSING.contains(&code.as_str()) {
                    let why = format!("the service has answered {} {code}", answer.status.as_u16());
                    return Next::Again { why, after: answer.retry_after(), is_unknown };
                }
                Next::End(Err(self.refusal(request, &answer)))
            }
            // Whoever mistyped the address learns it at once. Later, the service may be restarting.
            Err(lost) if !lost.may_have_arrived && !is_unknown => {
                Next::End(Err(Failed::unreachable(self.base_of(&request.path), &lost.why)))
            }
            Err(lost) => Next::Again { why: lost.why, after: None, is_unknown: true },
        }
    }

    fn refusal(&self, request: &Request, answer: &Answer) -> Failed {
        Failed::refused(&request.method, &request.path, answer)
    }

    /// Reads a path.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failed> {
        self.send(&Request::get(path)).await
    }
}
