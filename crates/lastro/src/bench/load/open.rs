//! The open loop: orders arrive on schedule. An order without a free connection waits, and the wait
//! counts as latency.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Load, Stages};
use crate::bench::schedule::Arrivals;
use crate::bench::wire::Line;

/// The longest sleep of the pacer, after which it checks for a stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);
/// The time after the end in which orders that arrived just before it are still sent.
const GRACE: Duration = Duration::from_millis(500);
/// The most orders that wait for a connection. Further orders are dropped, because the rate is far
/// beyond the service.
const MAX_DUE: usize = 1_000_000;

/// Assigns arrivals to connections.
#[derive(Debug)]
struct Dispatcher {
    load: Arc<Load>,
    state: Mutex<State>,
    /// Notified when the last busy connection becomes free.
    at_rest: Notify,
}

#[derive(Debug)]
struct State {
    /// Arrivals that wait for a connection, in order.
    due: VecDeque<Instant>,
    /// Free connections. The last used one is reused first, so that a low rate keeps few
    /// connections open.
    free: Vec<Line>,
    busy: usize,
}

/// Sends an order for every arrival until the time is up, and returns when all are answered or have
/// timed out.
pub(super) async fn run(load: Arc<Load>, arrivals: Arrivals, connections: usize) {
    let free = (0..connections).map(|at| load.line(at)).collect();
    let state = Mutex::new(State { due: VecDeque::new(), free, busy: 0 });
    let dispatcher = Arc::new(Dispatcher { load, state, at_rest: Notify::new() });
    let paced = dispatcher.clone();
    let runtime = Handle::current();
    // The pacer has a thread of its own: tokio's timer ticks in milliseconds, which would distort
    // every measured time.
    let pacer = tokio::task::spawn_blocking(move || pace(&paced, arrivals, &runtime));
    pacer.await.expect("the pacer does not panic");
    let over = Instant::now();
    while dispatcher.locked(|state| state.busy > 0) {
        dispatcher.at_rest.notified().await;
    }
    dispatcher.close(over);
}

/// Reports each arrival to the dispatcher on time.
fn pace(dispatcher: &Arc<Dispatcher>, arrivals: Arrivals, runtime: &Handle) {
    let Stages { start, end, .. } = dispatcher.load.times;
    for intended in arrivals.map(|at| start + at).take_while(|intended| *intended < end) {
        loop {
            if dispatcher.load.stop.is_cancelled() {
                return;
            }
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left.min(LONGEST_NAP));
        }
        if let Some(line) = dispatcher.arrive(intended) {
            runtime.spawn(dispatcher.clone().serve(line));
        }
    }
}

impl Dispatcher {
    fn locked<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().expect("nothing panics while it holds the state"))
    }

    /// Adds an arrival. Returns a free connection to start, if there is one.
    fn arrive(&self, intended: Instant) -> Option<Line> {
        self.locked(|state| {
            if let Some(first) = state.due.front().filter(|_| state.due.len() >= MAX_DUE) {
                // The dropped order would have waited at least as long as the first in the queue.
                let timed = self.load.times.is_measured(intended);
                let waited = first.elapsed();
                self.load.tally().never_sent(timed, waited);
                return None;
            }
            state.due.push_back(intended);
            let line = state.free.pop()?;
            state.busy += 1;
            Some(line)
        })
    }

    /// Sends waiting orders one after the other until none is left.
    async fn serve(self: Arc<Self>, mut line: Line) {
        loop {
            match self.next(line) {
                Some((intended, its)) => {
                    line = its;
                    self.load.place(&mut line, intended).await;
                }
                None => return,
            }
        }
    }

    /// Takes the next waiting arrival for this connection, or frees the connection. Arrivals that
    /// still wait some time after the end are not sent: they would only prolong the load.
    fn next(&self, line: Line) -> Option<(Instant, Line)> {
        let over = self.load.stop.is_cancelled() || Instant::now() > self.load.times.end + GRACE;
        let (next, busy) = self.locked(|state| {
            if let Some(intended) = state.due.pop_front_if(|_| !over) {
                return (Some((intended, line)), state.busy);
            }
            state.free.push(line);
            state.busy -= 1;
            (None, state.busy)
        });
        if busy == 0 {
            self.at_rest.notify_one();
        }
        next
    }

    /// Counts the orders that were not sent by the time `over`.
    fn close(&self, over: Instant) {
        let left = self.locked(|state| std::mem::take(&mut state.due));
        let mut tally = self.load.tally();
        for intended in left {
            let timed = self.load.times.is_measured(intended);
            tally.never_sent(timed, over.saturating_duration_since(intended));
        }
    }
}
