//! Two transactions, interleaved statement by statement in every order that the database allows.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Statement};

use crate::{Commits, PATIENCE, fresh_database, postgres};

/// A statement takes about as long, and a test has some thousand of them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// Two replicas `R` of a service on one database, each behind a gate, and a connection that
/// watches.
#[derive(Debug)]
pub struct Race<R> {
    pub witness: R,
    replicas: [Arc<R>; 2],
    sides: [Side; 2],
    watch: Watch,
}

/// One of two transactions that race.
#[derive(Debug)]
struct Side {
    /// The proxy between the database and this side's connection.
    gate: Commits,
    /// The application name of this side's connections.
    name: &'static str,
    groups: Vec<usize>,
}

impl<R> Race<R> {
    /// Creates a database and opens both replicas. `open` gets the URL and the application name
    /// that the replica's connections must have.
    ///
    /// `groups` says how many statements are let through together. Only the last statement of a
    /// group may wait for the other side or see its writes. After the last group, statements are
    /// let through one by one.
    pub async fn open(groups: &[usize], open: impl AsyncFn(String, &'static str) -> R) -> Self {
        let url = fresh_database().await;
        // The witness creates the schema, so that later only the racing transactions are held.
        let witness = open(url.clone(), "witness").await;
        let port = url
            .rsplit_once(':')
            .and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok())
            .expect("a port");
        let replica = async |name| {
            let gate = Commits::gated(port).await;
            let behind = url.replace(&format!(":{port}/"), &format!(":{}/", gate.port()));
            (Arc::new(open(behind, name).await), Side { gate, name, groups: groups.to_vec() })
        };
        let (first, one) = replica("first").await;
        let (second, other) = replica("second").await;
        Self {
            witness,
            replicas: [first, second],
            sides: [one, other],
            watch: Watch::at(&url).await,
        }
    }

    /// For each possible order of the two replicas' statements, lets `begin` start a transaction on
    /// each replica and `check` judge the results. Returns the number of orders.
    ///
    /// Both functions get the number of the run. Every run must begin in the same state of the rows
    /// that it touches.
    pub async fn every_order<T>(
        &self,
        begin: impl AsyncFn(u32, [Arc<R>; 2]) -> [JoinHandle<T>; 2],
        check: impl AsyncFn(u32, [T; 2]),
    ) -> u32 {
        // The side that was chosen at each point where both could proceed: a depth-first walk
        // through the tree of choices.
        let mut choices = Vec::<bool>::new();
        let mut run = 0;
        loop {
            run += 1;
            let tasks = begin(run, self.replicas.clone()).await;
            let taken = play(&self.watch, &self.sides, &tasks, &choices).await;
            let [first, second] = tasks;
            self.sides.iter().for_each(|side| side.gate.stop());
            check(run, [first.await.expect("no panic"), second.await.expect("no panic")]).await;
            choices = taken;
            while choices.pop_if(|second| *second).is_some() {}
            match choices.last_mut() {
                Some(last) => *last = true,
                None => return run,
            }
        }
    }
}

/// The state of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The side's next statement waits at the gate.
    Held,
    /// The side waits for a lock that the other side holds.
    Blocked,
    Done,
}

impl Side {
    async fn standing<T>(&self, watch: &Watch, task: &JoinHandle<T>) -> Option<Standing> {
        if task.is_finished() {
            return Some(Standing::Done);
        }
        if self.gate.is_held() {
            return Some(Standing::Held);
        }
        watch.waits(self.name).await.then_some(Standing::Blocked)
    }
}

/// Looks which side waits for a lock.
#[derive(Debug)]
struct Watch {
    operator: Client,
    waits: Statement,
}

impl Watch {
    async fn at(url: &str) -> Self {
        let operator = postgres(url).await;
        // The last condition is false from the moment at which the other side lets go of the lock,
        // also before this side has noticed.
        let waits = "SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'
               AND pg_blocking_pids(pid) <> '{}'";
        let waits = operator.prepare(waits).await.expect("a statement");
        Self { operator, waits }
    }

    async fn waits(&self, name: &str) -> bool {
        let waiting = self.operator.query(&self.waits, &[&name]).await;
        !waiting.expect("an answer").is_empty()
    }
}

/// Waits until both sides stand still.
async fn standing<T>(
    watch: &Watch,
    sides: &[Side; 2],
    tasks: &[JoinHandle<T>; 2],
) -> [Standing; 2] {
    let look = async || {
        let one = sides[0].standing(watch, &tasks[0]).await?;
        let other = sides[1].standing(watch, &tasks[1]).await?;
        // A side that waits for a finished side has not noticed yet that the lock is free.
        let settled = !matches!(
            (one, other),
            (Standing::Blocked, Standing::Done) | (Standing::Done, Standing::Blocked)
        );
        settled.then_some([one, other])
    };
    loop {
        // A statement that was let through just now is under way.
        sleep(BETWEEN_LOOKS).await;
        if let Some(standing) = look().await {
            return standing;
        }
    }
}

/// Makes one run, which follows `choices` and then lets the first side proceed wherever both can.
/// Returns all choices that were made.
async fn play<T>(
    watch: &Watch,
    sides: &[Side; 2],
    tasks: &[JoinHandle<T>; 2],
    choices: &[bool],
) -> Vec<bool> {
    let mut taken = Vec::new();
    let mut groups = [0, 0];
    loop {
        let standing = timeout(PATIENCE, standing(watch, sides, tasks)).await;
        let next = match standing.expect("both sides stand still") {
            [Standing::Done, Standing::Done] => return taken,
            [Standing::Held, Standing::Held] => {
                let choice = choices.get(taken.len()).copied().unwrap_or(false);
                taken.push(choice);
                usize::from(choice)
            }
            [Standing::Held, _] => 0,
            [_, Standing::Held] => 1,
            standing => panic!("neither side can proceed: {standing:?}"),
        };
        let statements = sides[next].groups.get(groups[next]).copied().unwrap_or(1);
        groups[next] += 1;
        sides[next].gate.step(statements);
    }
}
