//! A proxy before PostgreSQL that understands enough of the protocol to cut a connection around a
//! COMMIT, and to let statements through one by one.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::{PATIENCE, eventually};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server receives the COMMIT: nothing is committed.
    Before,
    /// After the server has committed and before the client gets the reply.
    After,
}

/// Forwards connections to one PostgreSQL server.
///
/// Dropping it closes all connections.
#[derive(Debug)]
pub struct Commits {
    address: SocketAddr,
    plan: Arc<Plan>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Plan {
    next: Mutex<Option<Cut>>,
    /// One writing transaction in this many is cut; 0 cuts none.
    every: AtomicU32,
    passed: AtomicU32,
    cuts: AtomicU32,
    /// If set, each statement of a transaction that may write needs a permit.
    gate: Option<Semaphore>,
    /// Statements that wait for a permit: at most one per connection.
    held: AtomicI64,
    /// Statements that came and were not let through yet.
    waiting: AtomicI64,
    /// Permits that were given and are not used yet.
    stepped: AtomicI64,
    /// Messages that were sent to the server and have no reply yet.
    outstanding: AtomicI64,
}

impl Plan {
    /// Where the next writing transaction is cut, if at all. The two cuts alternate.
    fn next(&self) -> Option<Cut> {
        if let Some(cut) = self.next.lock().expect("nothing panics under this lock").take() {
            self.cuts.fetch_add(1, Ordering::SeqCst);
            return Some(cut);
        }
        let every = self.every.load(Ordering::SeqCst);
        if every == 0 || self.passed.fetch_add(1, Ordering::SeqCst) % every != every - 1 {
            return None;
        }
        let is_even = self.cuts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        Some(if is_even { Cut::After } else { Cut::Before })
    }
}

impl Commits {
    /// Starts a proxy to the server at a port of this machine.
    pub async fn to(port: u16) -> Self {
        Self::with(port, Plan::default()).await
    }

    /// Starts a proxy in which each statement waits until [`Self::step`] lets it through.
    pub async fn gated(port: u16) -> Self {
        Self::with(port, Plan { gate: Some(Semaphore::new(0)), ..Plan::default() }).await
    }

    async fn with(port: u16, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let plan = Arc::new(plan);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, port, plan.clone()));
        Self { address, plan, _accepting: accepting }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts the connection around the next COMMIT of a transaction that has written.
    pub fn cut_next(&self, cut: Cut) {
        *self.plan.next.lock().expect("nothing panics under this lock") = Some(cut);
    }

    /// Cuts the connection around every `every`th COMMIT of a writing transaction, after and before
    /// the COMMIT in turn. 0 stops the cutting.
    pub fn cut(&self, every: u32) {
        self.plan.every.store(every, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u32 {
        self.plan.cuts.load(Ordering::SeqCst)
    }

    /// Lets this many statements through.
    pub fn step(&self, statements: usize) {
        self.plan.stepped.fetch_add(i64::try_from(statements).expect("a few"), Ordering::SeqCst);
        self.plan.gate.as_ref().expect("a gate").add_permits(statements);
    }

    /// Whether a statement waits for a permit and none is left.
    pub fn is_held(&self) -> bool {
        let [held, stepped, outstanding] =
            [&self.plan.held, &self.plan.stepped, &self.plan.outstanding]
                .map(|count| count.load(Ordering::SeqCst));
        held > 0 && stepped == 0 && outstanding == 0
    }

    /// How many statements have come and were not let through: those that were sent together, before
    /// the reply to the first of them.
    pub fn waiting(&self) -> usize {
        usize::try_from(self.plan.waiting.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// Lets the statements of a transaction through, as many at once as it sends together: without
    /// waiting for the reply to the first of them.
    ///
    /// # Panics
    ///
    /// The transaction does not send exactly so many.
    pub async fn step_through(&self, together: &[usize]) {
        for &statements in together {
            let all = async || (self.is_held() && self.waiting() == statements).then_some(());
            eventually(PATIENCE, &format!("{statements} statements at once"), all).await;
            self.step(statements);
        }
    }

    /// Takes back the permits that are not used yet.
    pub fn stop(&self) {
        let gate = self.plan.gate.as_ref().expect("a gate");
        gate.forget_permits(gate.available_permits());
        self.plan.stepped.store(0, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, port: u16, plan: Arc<Plan>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let plan = plan.clone();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            // Messages are small and wait for one another's replies.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let replies = Arc::new(Replies::default());
            // The end of either direction closes both.
            tokio::select! {
                () = forward_requests(from_client, to_server, &plan, &replies) => {}
                () = forward_replies(from_server, to_client, &plan, &replies) => {}
            }
            // Replies of a closed connection do not come any more.
            plan.outstanding
                .fetch_sub(replies.outstanding.load(Ordering::SeqCst), Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What the two directions of one connection share.
#[derive(Debug, Default)]
struct Replies {
    /// Once set, nothing reaches the client, and the server's next ReadyForQuery ends the
    /// connection.
    muted: AtomicBool,
    /// This connection's messages without a reply.
    outstanding: AtomicI64,
}

fn sent(plan: &Plan, replies: &Replies) {
    plan.outstanding.fetch_add(1, Ordering::SeqCst);
    replies.outstanding.fetch_add(1, Ordering::SeqCst);
}

/// Reads one message of the protocol: its type, and all of its bytes. The first message of a
/// connection has no type.
async fn message(from: &mut OwnedReadHalf, typed: bool) -> Option<(u8, Vec<u8>)> {
    let kind = if typed { from.read_u8().await.ok()? } else { 0 };
    let length = from.read_u32().await.ok()?;
    let mut whole = Vec::new();
    if typed {
        whole.push(kind);
    }
    whole.extend(length.to_be_bytes());
    let head = whole.len();
    whole.resize(head + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    from.read_exact(&mut whole[head..]).await.ok()?;
    Some((kind, whole))
}

async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    replies: &Replies,
) {
    let Some((_, start)) = message(&mut from, false).await else { return };
    sent(plan, replies);
    if to.write_all(&start).await.is_err() {
        return;
    }
    let waiting = Waiting { plan, statements: AtomicI64::new(0) };
    let (came, mut messages) = mpsc::unbounded_channel();
    let reading = async {
        while let Some((kind, whole)) = message(&mut from, true).await {
            waiting.add(i64::from(ends_statement(kind)));
            if came.send((kind, whole)).is_err() {
                break;
            }
        }
        drop(came);
        // What came is forwarded to its end.
        pending::<()>().await;
    };
    tokio::select! {
        () = reading => {}
        () = forward_messages(&mut messages, &mut to, &waiting, replies) => {}
    }
}

/// Only a simple query or a Sync ends a statement.
fn ends_statement(kind: u8) -> bool {
    matches!(kind, b'Q' | b'S')
}

/// The statements of one connection that came and were not let through.
struct Waiting<'plan> {
    plan: &'plan Plan,
    statements: AtomicI64,
}

impl Waiting<'_> {
    fn add(&self, statements: i64) {
        self.statements.fetch_add(statements, Ordering::SeqCst);
        self.plan.waiting.fetch_add(statements, Ordering::SeqCst);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.add(-self.statements.load(Ordering::SeqCst));
    }
}

async fn forward_messages(
    messages: &mut mpsc::UnboundedReceiver<(u8, Vec<u8>)>,
    to: &mut OwnedWriteHalf,
    waiting: &Waiting<'_>,
    replies: &Replies,
) {
    let plan = waiting.plan;
    let mut held = Vec::new();
    let mut said = Said::default();
    while let Some((kind, whole)) = messages.recv().await {
        said.note(kind, &whole);
        let ends = kind == b'Q' && whole[5..].starts_with(b"COMMIT");
        held.extend(whole);
        if !ends_statement(kind) {
            continue;
        }
        match &plan.gate {
            Some(gate) if said.may_write => pass(gate, plan, replies).await,
            _ => sent(plan, replies),
        }
        waiting.add(-1);
        match if ends && said.wrote { plan.next() } else { None } {
            Some(Cut::Before) => return,
            Some(Cut::After) => replies.muted.store(true, Ordering::SeqCst),
            None => {}
        }
        if to.write_all(&held).await.is_err() {
            return;
        }
        held.clear();
        said.may_write &= !ends;
    }
}

/// What a client has said on its connection.
#[derive(Debug, Default)]
struct Said {
    /// Whether each prepared statement writes, by its name.
    statements: HashMap<String, bool>,
    /// Whether there is an open transaction that may write.
    may_write: bool,
    /// Whether that transaction has written.
    wrote: bool,
}

impl Said {
    fn note(&mut self, kind: u8, whole: &[u8]) {
        // The texts follow the type and the length; each ends with a zero byte.
        let mut texts = whole[5..].split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let first = texts.next().unwrap_or_default();
        let second = texts.next().unwrap_or_default();
        match kind {
            b'Q' if first.contains("BEGIN") => {
                self.may_write = !first.contains("READ ONLY");
                self.wrote = false;
            }
            // Parse names a statement, and Bind uses a statement by its name.
            b'P' => {
                self.statements.insert(first.into_owned(), second.starts_with(['I', 'U', 'D']));
            }
            b'B' => {
                let writes = self.statements.get(&*second).copied().unwrap_or(false);
                self.wrote |= self.may_write && writes;
            }
            _ => {}
        }
    }
}

/// Waits at the gate until a statement may pass, and counts it as sent.
async fn pass(gate: &Semaphore, plan: &Plan, replies: &Replies) {
    plan.held.fetch_add(1, Ordering::SeqCst);
    gate.acquire().await.expect("the gate is never closed").forget();
    // Counted before the permit is used, so that an observer always sees the statement: at the
    // gate, on its way, or answered.
    sent(plan, replies);
    plan.stepped.fetch_sub(1, Ordering::SeqCst);
    plan.held.fetch_sub(1, Ordering::SeqCst);
}

async fn forward_replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    replies: &Replies,
) {
    while let Some((kind, whole)) = message(&mut from, true).await {
        if replies.muted.load(Ordering::SeqCst) {
            if kind == b'Z' {
                return;
            }
            continue;
        }
        if to.write_all(&whole).await.is_err() {
            return;
        }
        if kind == b'Z' {
            plan.outstanding.fetch_sub(1, Ordering::SeqCst);
            replies.outstanding.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
