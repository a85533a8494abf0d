//! The load: sends orders until the time is up, in a closed or an open loop.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schedule::Arrivals;
use super::tally::{Exchange, Response, Tally};
use super::wire::{Answer, Broken, Endpoint, Line};
use super::workload::Workload;

mod changes;
mod open;

/// How orders arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loop {
    /// Each client sends its next order when the previous one is answered.
    Closed { clients: usize },
    /// Orders arrive at `rate` per second, even if the service cannot keep up, on at most
    /// `connections`.
    Open { rate: f64, connections: usize },
}

/// Longer than the 10 s after which the service gives up on an order in its queue.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most orders that are watched at the same time; the next watched order waits.
const MAX_WATCHED: u32 = 2048;
/// The timeout of a client that watches its order.
const WATCHING_PATIENCE: Duration = Duration::from_secs(50);
/// The pause of a client in a closed loop after a refused or failed order.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// A running load.
#[derive(Debug)]
pub(super) struct Load {
    /// Where orders are sent: the replicas of the Order Service.
    endpoints: Vec<Endpoint>,
    workload: Mutex<Workload>,
    tally: Mutex<Tally>,
    pub(super) times: Stages,
    pub(super) stop: CancellationToken,
    /// Separate connections for watched orders, so that their waits do not delay the others.
    watchers: Mutex<Vec<Line>>,
    may_watch: Arc<Semaphore>,
}

/// The times of a run: warm-up from `start`, measurement from `measured`, and no more orders from
/// `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    pub(super) start: Instant,
    pub(super) measured: Instant,
    pub(super) end: Instant,
}

impl Stages {
    /// The stages of a run that starts now.
    pub(super) fn new(warm_up: Duration, duration: Duration) -> Self {
        let start = Instant::now();
        Self { start, measured: start + warm_up, end: start + warm_up + duration }
    }

    fn is_measured(self, at: Instant) -> bool {
        self.measured <= at && at < self.end
    }
}

impl Load {
    /// A load on the Order Service whose replicas are at `endpoints`; each has the same number of
    /// connections. Cancelling `stop` ends it early.
    pub(super) fn new(
        endpoints: Vec<Endpoint>,
        workload: Workload,
        times: Stages,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let workload = Mutex::new(workload);
        let tally = Mutex::new(Tally::new());
        let watchers = Mutex::default();
        let may_watch = Arc::new(Semaphore::new(MAX_WATCHED as usize));
        Arc::new(Self { endpoints, workload, tally, times, stop, watchers, may_watch })
    }

    /// Sends orders, and returns when every request is answered or has timed out. `seed` determines
    /// the arrivals of an open loop.
    pub(super) async fn run(self: Arc<Self>, kind: Loop, seed: u64) {
        match kind {
            Loop::Closed { clients } => {
                let mut running: JoinSet<()> =
                    (0..clients).map(|at| self.clone().client(at)).collect();
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

    /// What the clients have seen so far.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it counts")
    }

    /// The connection number `at`, to one of the replicas.
    fn line(&self, at: usize) -> Line {
        Line::to(&self.endpoints[at % self.endpoints.len()])
    }

    /// Runs one client of the closed loop.
    async fn client(self: Arc<Self>, at: usize) {
        let mut line = self.line(at);
        while !self.is_over() {
            if let Some(Response::Shed | Response::Failed { .. }) =
                self.place(&mut line, Instant::now()).await
            {
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

    /// Places the next order, which was scheduled for `intended`. Returns its response, or `None`
    /// if another task watches the order.
    async fn place(self: &Arc<Self>, line: &mut Line, intended: Instant) -> Option<Response> {
        let order = self.workload.lock().expect("nothing panics while it makes an order").next();
        if order.watched || order.changes {
            let permit = self
                .may_watch
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            if order.changes {
                tokio::spawn(self.clone().change(order, intended, permit));
            } else {
                tokio::spawn(self.clone().watch(order.body, intended, permit));
            }
            return None;
        }
        let held = intended.elapsed();
        let reported = reported(line.place(&order.body, PATIENCE).await, false);
        self.count(reported.clone(), false, intended, held);
        Some(reported)
    }

    /// Places an order and waits for its outcome.
    async fn watch(self: Arc<Self>, body: Bytes, intended: Instant, _permit: OwnedSemaphorePermit) {
        let mut line = self.idle_watcher();
        let held = intended.elapsed();
        let reported = reported(line.place_and_wait(&body, WATCHING_PATIENCE).await, true);
        self.count(reported, true, intended, held);
        self.keep_watcher(line);
    }

    /// A connection for an order that is watched.
    fn idle_watcher(&self) -> Line {
        let idle = self.watchers().pop();
        let in_use = MAX_WATCHED as usize - self.may_watch.available_permits();
        idle.unwrap_or_else(|| self.line(in_use))
    }

    fn keep_watcher(&self, line: Line) {
        self.watchers().push(line);
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Line>> {
        self.watchers.lock().expect("nothing panics while it holds the watchers")
    }

    fn count(&self, reported: Response, watched: bool, intended: Instant, held: Duration) {
        let now = Instant::now();
        let timed = self.times.is_measured(intended);
        let done = self.times.is_measured(now);
        let took = now.duration_since(intended);
        self.tally().count(&Exchange { reported, watched, timed, done, held, took });
    }
}

/// The response that an answer, or its absence, is to the client.
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

/// The codes of server errors that say that the order was not placed.
const NOTHING_DONE: [&str; 3] = ["storage_full", "storage_unavailable", "shutting_down"];

/// Whether the receipt says what has become of the order.
pub(super) fn is_outcome(receipt: &[u8]) -> bool {
    let receipt: Value = serde_json::from_slice(receipt).unwrap_or_default();
    matches!(receipt["status"].as_str(), Some("confirmed" | "reserved" | "rejected"))
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
            (answer(200, r#"{"status":"reserved"}"#), true, accepted(true)),
            (answer(200, r#"{"status":"rejected"}"#), true, accepted(true)),
            (answer(503, r#"{"status":503,"code":"overloaded"}"#), false, Response::Shed),
            (
                answer(503, r#"{"status":503,"code":"storage_full"}"#),
                false,
                failed("503 storage_full", false),
            ),
            (
                answer(503, r#"{"status":503,"code":"outcome_unknown"}"#),
                false,
                failed("503 outcome_unknown", true),
            ),
            (
                answer(422, r#"{"status":422,"code":"invalid_request"}"#),
                false,
                failed("422 invalid_request", false),
            ),
            (answer(502, "<html>"), false, failed("502 without a code", true)),
            (Err(Broken::Timeout), true, failed("timeout", true)),
            (Err(Broken::Connection("reset".to_owned())), false, failed("connection: reset", true)),
        ] {
            assert_eq!(reported(answer, watched), expected);
        }
    }
}
