//! The programs of one deployment, and which of them answers a request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::environment::Environment;
use super::form::Form;
use crate::clock_states::parse_time;
use crate::{Launch, PATIENCE, Program};

/// The programs of one deployment, all of them serving.
#[derive(Debug, Default)]
pub struct Programs {
    /// The programs that take orders; in a form of one process, the only program.
    pub orders: Vec<Program>,
    /// The Inventory Services that are separate processes.
    inventory: Vec<Program>,
    /// The addresses of services that run in the test process: Order Services, then Inventory
    /// Services.
    within: [Vec<SocketAddr>; 2],
    /// The number of requests so far: the replicas take turns.
    turn: AtomicUsize,
}

impl Programs {
    /// Starts the programs in `folder`. `how` changes how the programs that take orders are
    /// started.
    pub(crate) async fn start(
        form: Form,
        folder: &Path,
        environment: &Environment,
        how: impl Fn(Launch) -> Launch,
    ) -> Self {
        let mut programs = Self::default();
        for number in 0..form.replicas() {
            let orders = how(environment.taking_orders(form, folder, number));
            programs.orders.push(orders.serving().await);
            if form.is_apart() {
                let inventory = environment.keeping_stock(form, folder, number);
                programs.inventory.push(inventory.serving().await);
            }
        }
        programs
    }

    /// Services that run in the test process at these addresses.
    pub(crate) fn within(orders: Vec<SocketAddr>, inventory: Vec<SocketAddr>) -> Self {
        Self { within: [orders, inventory], ..Self::default() }
    }

    /// How the programs are started.
    pub(crate) fn launches(form: Form, folder: &Path, environment: &Environment) -> Vec<Launch> {
        let orders =
            (0..form.replicas()).map(|number| environment.taking_orders(form, folder, number));
        let apart = if form.is_apart() { form.replicas() } else { 0 };
        let inventory = (0..apart).map(|number| environment.keeping_stock(form, folder, number));
        orders.chain(inventory).collect()
    }

    /// Starts the programs that have ended.
    pub(crate) async fn restart_ended(
        &mut self,
        form: Form,
        folder: &Path,
        environment: &Environment,
    ) {
        let ended = |(_, program): &(usize, &mut Program)| !program.is_running();
        for (number, program) in self.orders.iter_mut().enumerate().filter(ended) {
            *program = environment.taking_orders(form, folder, number).serving().await;
        }
        for (number, program) in self.inventory.iter_mut().enumerate().filter(ended) {
            *program = environment.keeping_stock(form, folder, number).serving().await;
        }
    }

    /// The time of the last line that each program has logged, on the clock that it sees.
    pub(crate) fn last_logged(&self) -> Vec<OffsetDateTime> {
        let logged = |program: &Program| {
            let log = program.log();
            let line: Value = serde_json::from_str(log.lines().last()?).ok()?;
            parse_time(line["timestamp"].as_str()?)
        };
        self.all().map(|program| logged(program).expect("a line with a time")).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Program> {
        self.orders.iter().chain(&self.inventory)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Program> {
        self.orders.iter_mut().chain(&mut self.inventory)
    }

    /// The address of a running replica that answers `path`; the replicas take turns, as behind a
    /// gateway.
    pub fn address_of(&self, path: &str) -> SocketAddr {
        let is_apart = !self.inventory.is_empty() || !self.within[1].is_empty();
        let (orders, inventory) = self.addresses();
        let (programs, mut replicas) = if is_apart && path.starts_with("/api/inventory") {
            (&self.inventory, inventory)
        } else {
            (&self.orders, orders)
        };
        if replicas.is_empty() {
            replicas = programs.iter().map(Program::address).collect();
        }
        replicas[self.turn.fetch_add(1, Ordering::Relaxed) % replicas.len()]
    }

    /// The addresses of the running Order Services, and of the running Inventory Services that are
    /// separate processes.
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let running = |programs: &[Program], within: &[SocketAddr]| {
            let running = programs.iter().filter(|program| program.is_running());
            running.map(Program::address).chain(within.iter().copied()).collect()
        };
        let [orders, inventory] = &self.within;
        (running(&self.orders, orders), running(&self.inventory, inventory))
    }

    /// Sends SIGKILL to all programs at once.
    pub fn kill(&self) {
        self.all().filter(|program| program.is_running()).for_each(Program::kill);
    }

    /// Sends SIGKILL to every Inventory Service. Returns false if there is no separate process.
    pub fn kill_inventory(&self) -> bool {
        self.inventory.iter().filter(|program| program.is_running()).for_each(Program::kill);
        !self.inventory.is_empty()
    }

    /// Sends SIGTERM to all programs that run.
    pub fn terminate(&self) {
        self.all().filter(|program| program.is_running()).for_each(Program::terminate);
    }

    /// Ends every Inventory Service that is a separate process in an orderly way.
    ///
    /// # Panics
    ///
    /// Panics if one does not end like that.
    pub async fn end_inventory(&mut self) {
        self.inventory.iter().for_each(Program::terminate);
        for program in &mut self.inventory {
            assert_eq!(program.ended(PATIENCE).await, Some(0), "{}", program.log());
        }
    }

    /// Waits until all programs have ended and returns the worst exit code; `None` if a signal
    /// ended one.
    pub async fn ended(&mut self, deadline: Duration) -> Option<i32> {
        let mut worst = Some(0);
        for program in self.all_mut() {
            let code = program.ended(deadline).await;
            worst = code.zip(worst).map(|(code, worst)| code.max(worst));
        }
        worst
    }

    /// Whether a program has ended.
    pub fn one_has_ended(&self) -> bool {
        self.all().any(|program| !program.is_running())
    }

    /// The files that programs which have ended kept their data in, in a form that has files.
    pub(crate) fn files_of_ended(&self, form: Form) -> Vec<&'static str> {
        let one_of = |programs: &[Program]| programs.iter().any(|program| !program.is_running());
        let orders = one_of(&self.orders).then_some("orders.db");
        let inventory = if form.is_apart() { one_of(&self.inventory) } else { orders.is_some() };
        orders.into_iter().chain(inventory.then_some("inventory.db")).collect()
    }

    /// The exit codes of those that have ended; None if a signal did it.
    pub async fn exit_codes_of_ended(&mut self) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for program in self.all_mut().filter(|program| !program.is_running()) {
            codes.push(program.ended(PATIENCE).await);
        }
        codes
    }

    /// The last lines that each program has logged.
    pub fn log(&self) -> String {
        self.all().map(Program::log).collect()
    }

    /// The memory that all programs hold, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.all().map(Program::resident_bytes).sum()
    }
}
