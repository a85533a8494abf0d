//! Two transactions, statement by statement, in every order that the database allows.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{Commits, PATIENCE, eventually, fresh_database, postgres};

/// Two replicas `R` of a service on one database, each behind a gate, and an eye on it.
#[derive(Debug)]
pub struct Race<R> {
    pub witness: R,
    replicas: [Arc<R>; 2],
    sides: [Side; 2],
    operator: Client,
}

/// One of two transactions that run against each other.
#[derive(Debug)]
struct Side {
    /// Before the database, and before this side's connection alone.
    gate: Commits,
    /// What its connections are called at the server.
    name: &'static str,
    groups: Vec<usize>,
}

impl<R> Race<R> {
    /// On a new database. `open` gets a URL and the name that the replica has to bear at the
    /// server.
    ///
    /// `groups` says how many statements go at once: of each group, only the last one may wait for the other side, or see
    /// of it. What comes after the last group goes one by one.
    pub async fn open(groups: &[usize], open: impl AsyncFn(String, &'static str) -> R) -> Self {
        let url = fresh_database().await;
        // It makes the schema: nothing is held later but what races.
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
        let ((first, one), (second, other)) = (replica("first").await, replica("second").await);
        Self {
            witness,
            replicas: [first, second],
            sides: [one, other],
            operator: postgres(&url).await,
        }
    }

    /// Lets `begin` start something on each of the two replicas, once for each order of their
    /// statements, and `check` judge what came of it. Returns how many orders there were.
    ///
    /// **Shape:** both get the number of the run. Every run begins at the same state of whatever it touches.
    pub async fn every_order<T>(
        &self,
        begin: impl AsyncFn(u32, [Arc<R>; 2]) -> [JoinHandle<T>; 2],
        check: impl AsyncFn(u32, [T; 2]),
    ) -> u32 {
        // Which side went at each point where both could: the tree of choices is walked in depth.
        let (mut choices, mut run) = (Vec::<bool>::new(), 0);
        loop {
            run += 1;
            let tasks = begin(run, self.replicas.clone()).await;
            let taken = play(&self.operator, &self.sides, &tasks, &choices).await;
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

/// Where a side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its next statement waits at the gate.
    Held,
    /// It waits for a lock of the other side.
    Blocked,
    Done,
}

impl Side {
    async fn standing<T>(&self, operator: &Client, task: &JoinHandle<T>) -> Option<Standing> {
        const WAITS: &str = "SELECT FROM pg_stat_activity 
             WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'";
        if task.is_finished() {
            return Some(Standing::Done);
        }
        if self.gate.is_held() {
            return Some(Standing::Held);
        }
        let waiting = operator.query(WAITS, &[&self.name]).await.expect("an answer");
        (!waiting.is_empty()).then_some(Standing::Blocked)
    }
}

/// One run: follows `choices`, then lets the first side go wherever both can. All the choices that
/// it made.
async fn play<T>(
    operator: &Client,
    sides: &[Side; 2],
    tasks: &[JoinHandle<T>; 2],
    choices: &[bool],
) -> Vec<bool> {
    let (mut taken, mut groups) = (Vec::new(), [0, 0]);
    loop {
        let standing = eventually(PATIENCE, "both sides stand still", async || {
            let one = sides[0].standing(operator, &tasks[0]).await?;
            let other = sides[1].standing(operator, &tasks[1]).await?;
            // One that waits for a side that is done has only not noticed yet.
            let settled = !matches!(
                (one, other),
                (Standing::Blocked, Standing::Done) | (Standing::Done, Standing::Blocked)
            );
            settled.then_some([one, other])
        });
        let next = match standing.await {
            [Standing::Done, Standing::Done] => return taken,
            [Standing::Held, Standing::Held] => {
                let choice = choices.get(taken.len()).copied().unwrap_or(false);
                taken.push(choice);
                usize::from(choice)
            }
            [Standing::Held, _] => 0,
            [_, Standing::Held] => 1,
            standing => panic!("nobody can go on: {standing:?}"),
        };
        let statements = sides[next].groups.get(groups[next]).copied().unwrap_or(1);
        groups[next] += 1;
        sides[next].gate.step(statements);
    }
}
