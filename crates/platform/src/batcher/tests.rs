use std::sync::Mutex;

use super::*;
use crate::failure::Cause;

/// A database in memory: remembers every batch, and fails as the script says before it works.
#[derive(Default)]
struct Ledger {
    batches: Mutex<Vec<Vec<u32>>>,
    failures: Mutex<Vec<Failure>>,
    poison: Option<u32>,
    gate: Option<Arc<tokio::sync::Semaphore>>,
    begun: std::sync::atomic::AtomicUsize,
    linger: Duration,
}

#[async_trait]
impl Commit<u32, u32> for Ledger {
    fn linger(&self) -> Duration {
        self.linger
    }

    async fn commit(&self, batch: Arc<[u32]>) -> Result<Vec<u32>, Failure> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("an open gate").forget();
        }
        if let Some(failure) = self.failures.lock().expect("the script").pop() {
            return Err(failure);
        }
        if self.poison.is_some_and(|poison| batch.contains(&poison)) {
            return Err(Failure::suspect(std::io::Error::other("a poisoned command")));
        }
        self.batches.lock().expect("the batches").push(batch.to_vec());
        Ok(batch.iter().map(|command| command * 10).collect())
    }
}

fn cause() -> Cause {
    Arc::new(std::io::Error::other("the test wants it"))
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn batcher(ledger: Ledger) -> (Batcher<u32, u32>, Committer<u32, u32>, Arc<Ledger>) {
    let ledger = Arc::new(ledger);
    let (batcher, committer) = Batcher::new(ledger.clone(), Arc::new(|_| {}));
    (batcher, committer, ledger)
}

/// Queues commands without waiting for their answers.
fn queue(
    batcher: &Batcher<u32, u32>,
    command: u32,
) -> tokio::task::JoinHandle<Result<u32, NotDone>> {
    let batcher = batcher.clone();
    tokio::spawn(async move { batcher.submit(command).await })
}

#[tokio::test]
async fn what_is_queued_is_one_batch_and_each_gets_its_own_answer() {
    let (batcher, committer, ledger) = batcher(Ledger::default());
    let asked: Vec<_> = (1..=5).map(|command| queue(&batcher, command)).collect();
    testbed::eventually(testbed::PATIENCE, "all are queued", || async {
        (committer.queued().await == 5).then_some(())
    })
    .await;
    assert_eq!(committer.tick().await.expect("no fatal failure"), 5);
    for (command, asked) in (1..=5).zip(asked) {
        assert_eq!(asked.await.expect("no panic"), Ok(command * 10));
    }
    assert_eq!(*ledger.batches.lock().expect("the batches"), [[1, 2, 3, 4, 5]]);
}

#[tokio::test]
async fn commands_that_arrive_during_a_commit_are_the_next_batch() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (batcher, committer, ledger) =
        batcher(Ledger { gate: Some(gate.clone()), ..Ledger::default() });
    let stop = CancellationToken::new();
    let running = tokio::spawn(committer.run(stop.clone()));
    let first = queue(&batcher, 1);
    testbed::eventually(testbed::PATIENCE, "the first is being committed", || async {
        (ledger.begun.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let rest = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit_all(vec![2, 3, 4], later()).await }
    });
    testbed::eventually(testbed::PATIENCE, "the others are queued", || async {
        (batcher.queue.capacity() == MAX_QUEUE - 3).then_some(())
    })
    .await;
    gate.add_permits(2);
    assert_eq!(first.await.expect("no panic"), Ok(10));
    assert_eq!(rest.await.expect("no panic"), [Ok(20), Ok(30), Ok(40)]);
    assert_eq!(*ledger.batches.lock().expect("the batches"), [vec![1], vec![2, 3, 4]]);
    stop.cancel();
    running.await.expect("no panic").expect("a clean end");
    assert_eq!(batcher.submit(5).await, Err(NotDone::ShuttingDown));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (batcher, committer, _) = batcher(Ledger::default());
    let asked: Vec<_> = (0..10_000).map(|command| queue(&batcher, command)).collect();
    testbed::eventually(testbed::PATIENCE, "the queue is full", || async {
        (batcher.queue.capacity() == 0).then_some(())
    })
    .await;
    assert_eq!(batcher.submit(1).await, Err(NotDone::Overloaded));
    drop(committer);
    for asked in asked {
        assert_eq!(asked.await.expect("no panic"), Err(NotDone::OutcomeUnknown));
    }
}

#[tokio::test]
async fn however_much_a_worker_brings_requests_find_room_beside_it() {
    let (batcher, committer, ledger) = batcher(Ledger::default());
    let worker = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit_all((0..12_000).collect(), later()).await }
    });
    testbed::eventually(testbed::PATIENCE, "as much as a worker may queue is queued", || async {
        (committer.queued().await == MAX_BATCH).then_some(())
    })
    .await;
    let request = queue(&batcher, 7);
    let running = tokio::spawn(committer.run(CancellationToken::new()));
    assert_eq!(request.await.expect("no panic"), Ok(70));
    let answers = worker.await.expect("no panic");
    assert_eq!(answers, (0..12_000).map(|command| Ok(command * 10)).collect::<Vec<_>>());
    drop(batcher);
    running.await.expect("no panic").expect("no failure");
    let batches: Vec<_> =
        ledger.batches.lock().expect("the batches").iter().map(Vec::len).collect();
    assert!(batches.len() <= 7, "a worker's batches are not torn: {batches:?}");
}

#[tokio::test]
async fn one_that_waited_too_long_in_the_queue_is_never_begun() {
    let (batcher, committer, ledger) = batcher(Ledger::default());
    let late = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.submit_by(1, Instant::now(), later()).await }
    });
    let live = queue(&batcher, 2);
    testbed::eventually(testbed::PATIENCE, "both are queued", || async {
        (committer.queued().await == 2).then_some(())
    })
    .await;
    committer.tick().await.expect("no fatal failure");
    assert_eq!(late.await.expect("no panic"), Err(NotDone::Overloaded));
    assert_eq!(live.await.expect("no panic"), Ok(20));
    assert_eq!(*ledger.batches.lock().expect("the batches"), [[2]]);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_waiting_and_not_the_command() {
    let (batcher, committer, ledger) = batcher(Ledger::default());
    let asked = queue(&batcher, 1);
    testbed::eventually(testbed::PATIENCE, "it is queued", || async {
        (committer.queued().await == 1).then_some(())
    })
    .await;
    asked.abort();
    let _ = asked.await;
    committer.tick().await.expect("no fatal failure");
    assert_eq!(*ledger.batches.lock().expect("the batches"), [[1]]);
}

#[tokio::test(start_paused = true)]
async fn busy_and_unknown_commits_are_decided_again() {
    let failures = Mutex::new(vec![Failure::Unknown(cause()), Failure::Busy(cause())]);
    let (batcher, committer, ledger) = batcher(Ledger { failures, ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    assert_eq!(batcher.submit(1).await, Ok(10));
    assert_eq!(*ledger.batches.lock().expect("the batches"), [[1]]);
}

/// The commit was sent, and the database died: whether it was done is unknown, however clearly it
/// is away afterwards.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_never_called_undone() {
    for then in [
        Failure::Unavailable(cause()),
        Failure::Busy(cause()),
        Failure::Full(cause()),
        Failure::Suspect(cause()),
    ] {
        let failures = Mutex::new([vec![then; 30], vec![Failure::Unknown(cause())]].concat());
        let (batcher, committer, _) = batcher(Ledger { failures, ..Ledger::default() });
        tokio::spawn(committer.run(CancellationToken::new()));
        assert_eq!(batcher.submit(1).await, Err(NotDone::OutcomeUnknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_meets_a_row_of_another_replica_is_decided_again() {
    let failures = Mutex::new(vec![Failure::suspect(std::io::Error::other("made meanwhile"))]);
    let (batcher, committer, _) = batcher(Ledger { failures, ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    assert_eq!(batcher.submit(1).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_for_a_moment_fails_no_command() {
    let failures = Mutex::new(vec![Failure::Unavailable(cause()); 10]);
    let (batcher, committer, _) = batcher(Ledger { failures, ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    assert_eq!(batcher.submit(1).await, Ok(10));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_stuck_commit_no_longer_than_its_deadline() {
    let gate = Some(Arc::new(tokio::sync::Semaphore::new(0)));
    let (batcher, committer, _) = batcher(Ledger { gate, ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    let begun = Instant::now();
    assert_eq!(batcher.submit(1).await, Err(NotDone::OutcomeUnknown));
    assert_eq!(begun.elapsed().as_secs(), (REQUEST_WAIT + GRACE).as_secs());
}

/// Behind a commit that is stuck: nothing was done, and nothing will be, so nothing else is said.
#[tokio::test(start_paused = true)]
async fn a_command_that_is_never_begun_is_refused_before_its_deadline() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (batcher, committer, ledger) =
        batcher(Ledger { gate: Some(gate.clone()), ..Ledger::default() });
    let stop = CancellationToken::new();
    let running = tokio::spawn(committer.run(stop.clone()));
    let first = queue(&batcher, 1);
    while ledger.begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    assert_eq!(batcher.submit(2).await, Err(NotDone::Overloaded));
    assert_eq!(begun.elapsed().as_secs(), QUEUE_WAIT.as_secs());
    gate.add_permits(2);
    assert_eq!(first.await.expect("no panic"), Ok(10));
    stop.cancel();
    running.await.expect("no panic").expect("a clean end");
    assert_eq!(
        *ledger.batches.lock().expect("the batches"),
        [[1]],
        "what was given up is not executed"
    );
}

#[tokio::test]
async fn committers_of_one_queue_work_side_by_side() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (batcher, committer, ledger) =
        batcher(Ledger { gate: Some(gate.clone()), ..Ledger::default() });
    let stop = CancellationToken::new();
    let running =
        [committer.clone(), committer].map(|committer| tokio::spawn(committer.run(stop.clone())));
    let mut asked = Vec::new();
    for command in [1, 2] {
        asked.push(queue(&batcher, command));
        testbed::eventually(testbed::PATIENCE, "it is begun", || async {
            (ledger.begun.load(Ordering::SeqCst) == asked.len()).then_some(())
        })
        .await;
    }
    stop.cancel();
    gate.add_permits(2);
    for (asked, answer) in asked.into_iter().zip([10, 20]) {
        assert_eq!(asked.await.expect("no panic"), Ok(answer));
    }
    for running in running {
        running.await.expect("no panic").expect("a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_called_unknown_at_the_deadline() {
    let failures = Mutex::new(vec![Failure::Unknown(cause()); 100_000]);
    let (batcher, committer, _) = batcher(Ledger { failures, ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    let deadline = Instant::now() + Duration::from_secs(5);
    let results = batcher.submit_by(1, deadline, deadline).await;
    assert_eq!(results, Err(NotDone::OutcomeUnknown));
}

#[tokio::test]
async fn one_bad_command_is_refused_and_its_neighbours_go_through() {
    let (batcher, committer, ledger) = batcher(Ledger { poison: Some(2), ..Ledger::default() });
    tokio::spawn(committer.run(CancellationToken::new()));
    let results = batcher.submit_all(vec![1, 2, 3], later()).await;
    assert_eq!(results, [Ok(10), Err(NotDone::Poisoned), Ok(30)]);
    assert!(ledger.batches.lock().expect("the batches").iter().flatten().eq([1, 3].iter()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_by_its_kind_and_the_next_batch_works() {
    let whatever_is_tried = 1 + usize::try_from(MAX_RERUNS).expect("a few");
    for (failures, expected) in [
        (vec![Failure::Full(cause())], NotDone::StorageFull),
        (vec![Failure::Unavailable(cause()); whatever_is_tried], NotDone::Unavailable),
        (vec![Failure::Busy(cause()); whatever_is_tried], NotDone::Overloaded),
    ] {
        let (batcher, committer, _) =
            batcher(Ledger { failures: Mutex::new(failures), ..Ledger::default() });
        tokio::spawn(committer.run(CancellationToken::new()));
        assert_eq!(batcher.submit(1).await, Err(expected));
        assert_eq!(batcher.submit(1).await, Ok(10));
    }
}

#[tokio::test]
async fn storage_that_cannot_be_trusted_ends_the_committer_and_answers_every_waiter() {
    let failures = Mutex::new(vec![Failure::Fatal(cause())]);
    let (batcher, committer, _) = batcher(Ledger { failures, ..Ledger::default() });
    let running = tokio::spawn(committer.run(CancellationToken::new()));
    assert_eq!(batcher.submit(1).await, Err(NotDone::OutcomeUnknown));
    assert!(matches!(running.await.expect("no panic"), Err(Failure::Fatal(_))));
    assert_eq!(batcher.submit(1).await, Err(NotDone::ShuttingDown));
}

#[tokio::test]
async fn a_shutdown_executes_what_is_queued() {
    let (batcher, committer, _) = batcher(Ledger::default());
    let asked: Vec<_> = (0..50).map(|command| queue(&batcher, command)).collect();
    testbed::eventually(testbed::PATIENCE, "all are queued", || async {
        (committer.queued().await == 50).then_some(())
    })
    .await;
    let stop = CancellationToken::new();
    stop.cancel();
    committer.run(stop).await.expect("a clean end");
    for (command, asked) in (0..50).zip(asked) {
        assert_eq!(asked.await.expect("no panic"), Ok(command * 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_lingers_after_one_of_several_commands() {
    const LINGER: Duration = Duration::from_millis(2);
    let (batcher, committer, ledger) = batcher(Ledger { linger: LINGER, ..Ledger::default() });
    let stop = CancellationToken::new();
    let running = tokio::spawn(committer.run(stop.clone()));
    let started = Instant::now();
    let took = |from: Instant| from.elapsed();
    batcher.submit_all(vec![1, 2], later()).await;
    assert_eq!(took(started), Duration::ZERO, "nothing was before it");

    let third = queue(&batcher, 3);
    tokio::time::sleep(LINGER / 2).await;
    let fourth = queue(&batcher, 4);
    for (command, asked) in [(3, third), (4, fourth)] {
        assert_eq!(asked.await.expect("no panic"), Ok(command * 10));
    }
    assert_eq!(took(started), LINGER);

    batcher.submit(5).await.expect("executed");
    assert_eq!(took(started), 2 * LINGER, "the one before was of two");
    batcher.submit(6).await.expect("executed");
    assert_eq!(took(started), 2 * LINGER, "the one before was alone");

    let full: Vec<u32> = (100..).take(MAX_BATCH).collect();
    batcher.submit_all(full.clone(), later()).await;
    batcher.submit_all(full, later()).await;
    assert_eq!(took(started), 2 * LINGER, "a full batch waits for nothing");
    let small: Vec<_> =
        ledger.batches.lock().expect("the batches").iter().take(4).cloned().collect();
    assert_eq!(small, [vec![1, 2], vec![3, 4], vec![5], vec![6]]);
    stop.cancel();
    running.await.expect("no panic").expect("no fatal failure");
}
