//! The load: who sends which order when, until the time is up.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schedule::Arrivals;
use super::tally::{Exchange, Response, Tally};
use super::wire::{Answer, Broken, Endpoint, Line};
use super::workload::{Order, Workload};

mod open;

/// How orders come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loop {
    /// So many clients, each of which orders again once it was answered.
    Closed { clients: usize },
    /// So many orders a second, whether the service keeps up or not, on so many connections at most.
    Open { rate: f64, connections: usize },
}

/// The service gives up on an order after 10 s in its queue.
const PATIENCE: Duration = Duration::from_secs(20);
/// Orders that are watched at the same time; beyond it, whoever would watch another one waits.
const MAX_WATCHED: u32 = 2048;
/// What a watching client asks for, the most that the API grants, and how long it then waits at most.
const WAIT: HeaderValue = HeaderValue::from_static("wait=30");
const WATCHING_PATIENCE: Duration = Duration::from_secs(50);
/// A client that was refused in a closed loop does not come back at once.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// A load under way.
#[derive(Debug)]
pub(super) struct Load {
    endpoint: Endpoint,
    workload: Mutex<Workload>,
    tally: Mutex<Tally>,
    times: Stages,
    stop: CancellationToken,
    /// Orders that are watched have connections of their own: their waiting must not hold the others up.
    watchers: Mutex<Vec<Line>>,
    may_watch: Arc<Semaphore>,
}

/// From the start on, it is warm-up; from `measured` on, it counts; from `end` on, nothing is sent any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    pub(super) start: Instant,
    pub(super) measured: Instant,
    pub(super) end: Instant,
}

impl Stages {
    /// From now on.
    pub(super) fn new(warm_up: Duration, duration: Duration) -> Self {
        let start = Instant::now();
        Self { start, measured: start + warm_up, end: start + warm_up + duration }
    }

    fn is_measured(self, at: Instant) -> bool {
        self.measured <= at && at < self.end
    }
}

impl Load {
    /// **Shape:** `stop` ends it before its time.
    pub(super) fn new(endpoint: Endpoint, workload: Workload, times: Stages, stop: CancellationToken) -> Arc<Self> {
        let (workload, tally, watchers) = (Mutex::new(workload), Mutex::new(Tally::new()), Mutex::default());
        let may_watch = Arc::new(Semaphore::new(MAX_WATCHED as usize));
        Arc::new(Self { endpoint, workload, tally, times, stop, watchers, may_watch })
    }

    /// Sends, and comes back when every request is answered or given up.
    ///
    /// **Shape:** `arrivals` are those of the open loop.
    pub(super) async fn run(self: Arc<Self>, kind: Loop, seed: u64) {
        match kind {
            Loop::Closed { clients } => {
                let mut running: JoinSet<()> = (0..clients).map(|_| self.clone().client()).collect();
                while let Some(ended) = running.join_next().await {
                    ended.expect("a client does not panic");
                }
            }
            Loop::Open { rate, connections } => {
                open::run(self.clone(), Arrivals::new(rate, seed), connections).await;
            }
        }
        let all_back = self.may_watch.acquire_many(MAX_WATCHED).await;
        drop(all_back.expect("the semaphore is never closed"));
    }

    /// What has been seen until now.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it counts")
    }

    /// One client of the closed loop.
    async fn client(self: Arc<Self>) {
        let mut line = Line::to(&self.endpoint);
        while !self.is_over() {
            if let Some(Response::Shed | Response::Failed { .. }) = self.place(&mut line, Instant::now()).await {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE_AFTER_REFUSAL) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.times.end
    }

    /// Databases the next order, which was to be sent at `intended`. What came of it, unless it is watched by somebody else.
    async fn place(self: &Arc<Self>, line: &mut Line, intended: Instant) -> Option<Response> {
        let Order { body, watched } = self.workload.lock().expect("nothing panics while it makes an order").next();
        if watched {
            let place = self.may_watch.clone().acquire_owned().await.expect("the semaphore is never closed");
            tokio::spawn(self.clone().watch(body, intended, place));
            return None;
        }
        let held = intended.elapsed();
        let reported = reported(line.place(body, None, PATIENCE).await, false);
        self.count(reported.clone(), false, intended, held);
        Some(reported)
    }

    /// Databases an order and waits for its outcome.
    async fn watch(self: Arc<Self>, body: Bytes, intended: Instant, _place: OwnedSemaphorePermit) {
        let free = || self.watchers.lock().expect("nothing panics while it holds the watchers");
        let idle = free().pop();
        let mut line = idle.unwrap_or_else(|| Line::to(&self.endpoint));
        let held = intended.elapsed();
        let reported = reported(line.place(body, Some(WAIT), WATCHING_PATIENCE).await, true);
        self.count(reported, true, intended, held);
        free().push(line);
    }

    fn count(&self, reported: Response, watched: bool, intended: Instant, held: Duration) {
        let now = Instant::now();
        let (timed, done) = (self.times.is_measured(intended), self.times.is_measured(now));
        let took = now.duration_since(intended);
        self.tally().count(&Exchange { reported, watched, timed, done, held, took });
    }
}

/// What an answer tells a client, or its absence.
fn reported(answer: Result<Answer, Broken>, watched: bool) -> Response {
    let Answer { status, body } = match answer {
        Ok(answer) => answer,
        Err(broken) => return Response::Failed { kind: broken.to_string(), unknown: true },
    };
    if status.is_success() {
        return Response::Accepted { settled: watched && is_outcome(&body) };
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or("without a code");
    if status == StatusCode::SERVICE_UNAVAILABLE && code == "overloaded" {
        return Response::Shed;
    }
    let nothing_done = status.is_client_error() || NOTHING_DONE.contains(&code);
    Response::Failed { kind: format!("{} {code}", status.as_u16()), unknown: !nothing_done }
}

/// Codes of answers that are no fault of the client, and say that nothing was done.
const NOTHING_DONE: [&str; 3] = ["storage_full", "storage_unavailable", "shutting_down"];

fn is_outcome(receipt: &[u8]) -> bool {
    let receipt: Value = serde_json::from_slice(receipt).unwrap_or_default();
    matches!(receipt["status"].as_str(), Some("confirmed" | "rejected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<Answer, Broken> {
        Ok(Answer { status: StatusCode::from_u16(status).expect("a status"), body: body.into() })
    }

    #[test]
    fn an_answer_is_what_its_status_and_its_code_say() {
        let accepted = |settled| Response::Accepted { settled };
        let failed = |kind: &str, unknown| Response::Failed { kind: kind.to_owned(), unknown };
        for (answer, watched, expected) in [
            (answer(200, r#"{"status":"received"}"#), false, accepted(false)),
            (answer(200, r#"{"status":"received"}"#), true, accepted(false)),
            (answer(200, r#"{"status":"confirmed"}"#), true, accepted(true)),
            (answer(200, r#"{"status":"rejected"}"#), true, accepted(true)),
            (answer(503, r#"{"status":503,"code":"overloaded"}"#), false, Response::Shed),
            (answer(503, r#"{"status":503,"code":"storage_full"}"#), false, failed("503 storage_full", false)),
            (answer(503, r#"{"status":503,"code":"outcome_unknown"}"#), false, failed("503 outcome_unknown", true)),
            (answer(422, r#"{"status":422,"code":"invalid_request"}"#), false, failed("422 invalid_request", false)),
            (answer(502, "<html>"), false, failed("502 without a code", true)),
            (Err(Broken::Timeout), true, failed("timeout", true)),
            (Err(Broken::Connection("reset".to_owned())), false, failed("connection: reset", true)),
        ] {
            assert_eq!(reported(answer, watched), expected);
        }
    }
}
