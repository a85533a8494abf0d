//! Two transactions, statement by statement, in every order that the database allows.

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{Commits, PATIENCE, eventually};

/// One of two transactions that run against each other.
#[derive(Debug)]
pub struct Side {
    /// Before the database, and before this side's connection alone.
    pub gate: Commits,
    /// What its connections are called at the server.
    pub name: &'static str,
    /// How many statements go at once: of each group, only the last one may wait for the other side, or see of it.
    /// What comes after the last group goes one by one.
    pub groups: Vec<usize>,
}

impl Side {
    /// Two of them before one database, each with the URL that leads through its gate.
    pub async fn pair(url: &str, groups: &[usize]) -> [(Self, String); 2] {
        let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok()).expect("a port");
        let side = async |name| {
            let gate = Commits::gated(port).await;
            let behind = url.replace(&format!(":{port}/"), &format!(":{}/", gate.port()));
            (Self { gate, name, groups: groups.to_vec() }, behind)
        };
        [side("first").await, side("second").await]
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

/// Runs what `begin` starts, once for each order of the two sides' statements, and lets `check` judge the results.
/// Returns how many orders there were.
///
/// **Shape:** `begin` gets the number of the run, and both sides begin at the same state of whatever they touch.
pub async fn every_order<T>(
    operator: &Client,
    sides: &[Side; 2],
    begin: impl AsyncFn(u32) -> [JoinHandle<T>; 2],
    check: impl AsyncFn(u32, [T; 2]),
) -> u32 {
    // Which side went at each point where both could: the tree of choices is walked in depth.
    let (mut choices, mut run) = (Vec::<bool>::new(), 0);
    loop {
        run += 1;
        let tasks = begin(run).await;
        let taken = play(operator, sides, &tasks, &choices).await;
        let [first, second] = tasks;
        sides.iter().for_each(|side| side.gate.stop());
        check(run, [first.await.expect("no panic"), second.await.expect("no panic")]).await;
        choices = taken;
        while choices.pop_if(|second| *second).is_some() {}
        match choices.last_mut() {
            Some(last) => *last = true,
            None => return run,
        }
    }
}

/// One run: follows `choices`, then lets the first side go wherever both can. All the choices that it made.
async fn play<T>(operator: &Client, sides: &[Side; 2], tasks: &[JoinHandle<T>; 2], choices: &[bool]) -> Vec<bool> {
    let (mut taken, mut groups) = (Vec::new(), [0, 0]);
    loop {
        let standing = eventually(PATIENCE, "both sides stand still", async || {
            let one = sides[0].standing(operator, &tasks[0]).await?;
            let other = sides[1].standing(operator, &tasks[1]).await?;
            // One that waits for a side that is done has only not noticed yet.
            let settled =
                !matches!((one, other), (Standing::Blocked, Standing::Done) | (Standing::Done, Standing::Blocked));
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
