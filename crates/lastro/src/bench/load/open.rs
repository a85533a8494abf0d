//! The open loop: arrivals come when they come. One that finds no free connection waits, and its waiting counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Load, Stages};
use crate::bench::schedule::Arrivals;
use crate::bench::wire::Line;

/// How long the pacer sleeps at most before it looks whether it is to stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);
/// After the end: for what came just before it.
const GRACE: Duration = Duration::from_millis(500);
/// Arrivals that may wait for a connection. Whoever comes then is turned away: the rate is far beyond the service.
const MAX_DUE: usize = 1_000_000;

/// Where arrivals meet connections.
#[derive(Debug)]
struct Desk {
    load: Arc<Load>,
    state: Mutex<State>,
    /// Told when the last connection has come to rest.
    at_rest: Notify,
}

#[derive(Debug)]
struct State {
    /// Arrivals whose time has come, in their order.
    due: VecDeque<Instant>,
    /// The one that was used last is used first, so that at a low rate few are kept open.
    free: Vec<Line>,
    busy: usize,
}

/// Sends every arrival until the time is up, and comes back when all that was sent is answered or given up.
pub(super) async fn run(load: Arc<Load>, arrivals: Arrivals, connections: usize) {
    let free = (0..connections).map(|_| Line::to(&load.endpoint)).collect();
    let state = Mutex::new(State { due: VecDeque::new(), free, busy: 0 });
    let desk = Arc::new(Desk { load, state, at_rest: Notify::new() });
    let (paced, runtime) = (desk.clone(), Handle::current());
    // A thread of its own, since tokio's timer has ticks of a millisecond, which would show in every time.
    let pacer = tokio::task::spawn_blocking(move || pace(&paced, arrivals, &runtime));
    pacer.await.expect("the pacer does not panic");
    let over = Instant::now();
    while desk.locked(|state| state.busy > 0) {
        desk.at_rest.notified().await;
    }
    desk.close(over);
}

/// Brings arrivals to the desk, each at its time.
fn pace(desk: &Arc<Desk>, arrivals: Arrivals, runtime: &Handle) {
    let Stages { start, end, .. } = desk.load.times;
    for intended in arrivals.map(|at| start + at).take_while(|intended| *intended < end) {
        loop {
            if desk.load.stop.is_cancelled() {
                return;
            }
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left.min(LONGEST_NAP));
        }
        if let Some(line) = desk.arrive(intended) {
            runtime.spawn(desk.clone().serve(line));
        }
    }
}

impl Desk {
    fn locked<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().expect("nothing panics at the desk"))
    }

    /// A free connection that must now be put to work, if there is one.
    fn arrive(&self, intended: Instant) -> Option<Line> {
        self.locked(|state| {
            if let Some(first) = state.due.front().filter(|_| state.due.len() >= MAX_DUE) {
                // It would have waited no less than the one that has waited for longest.
                let (timed, waited) = (self.load.times.is_measured(intended), first.elapsed());
                self.load.tally().never_sent(timed, waited);
                return None;
            }
            state.due.push_back(intended);
            let line = state.free.pop()?;
            state.busy += 1;
            Some(line)
        })
    }

    /// Sends what is due, one after the other, until nothing is.
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

    /// The next arrival that is due, for this connection; if there is none, the connection rests. What is still due some
    /// time after the end stays: sending it would only prolong the load.
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

    /// Counts what nobody had sent when it was `over`.
    fn close(&self, over: Instant) {
        let left = self.locked(|state| std::mem::take(&mut state.due));
        let mut tally = self.load.tally();
        for intended in left {
            let timed = self.load.times.is_measured(intended);
            tally.never_sent(timed, over.saturating_duration_since(intended));
        }
    }
}
