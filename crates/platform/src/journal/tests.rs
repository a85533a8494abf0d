use std::sync::Mutex;

use super::*;

/// A journal that answers what a test has prepared, and then that nothing is new.
#[derive(Debug, Default)]
struct Prepared {
    answers: Mutex<Vec<Result<Numbers, Failure>>>,
    asked_at: Mutex<Vec<Instant>>,
}

impl Prepared {
    fn asked(&self) -> Vec<Instant> {
        self.asked_at.lock().expect("nothing panics under this lock").clone()
    }
}

#[async_trait]
impl Journal for Prepared {
    async fn number(&self) -> Result<Numbers, Failure> {
        self.asked_at.lock().expect("nothing panics under this lock").push(Instant::now());
        let mut answers = self.answers.lock().expect("nothing panics under this lock");
        if answers.is_empty() { Ok(at(0)) } else { answers.remove(0) }
    }
}

fn at(last: i64) -> Numbers {
    Numbers { last, more: false }
}

/// The worker, running on a journal that gives these answers.
struct World {
    journal: Arc<Prepared>,
    tail: Arc<Tail>,
    shutdown: CancellationToken,
    worker: tokio::task::JoinHandle<Result<(), Failure>>,
}

fn world(answers: Vec<Result<Numbers, Failure>>) -> World {
    let journal = Arc::new(Prepared { answers: Mutex::new(answers), ..Prepared::default() });
    let tail = Arc::new(Tail::default());
    let numbering = Numbering { service: "test", journal: journal.clone(), tail: tail.clone() };
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(numbering.run(shutdown.clone()));
    World { journal, tail, shutdown, worker }
}

#[derive(Debug, thiserror::Error)]
#[error("a test wants it")]
struct Wanted;

fn unavailable() -> Failure {
    Failure::Unavailable(Arc::new(Wanted))
}

#[tokio::test(start_paused = true)]
async fn a_commit_wakes_the_worker_and_many_commits_wake_it_no_more_often_than_its_pace() {
    let world = world(vec![Ok(at(1)), Ok(at(2)), Ok(at(3))]);
    let begun = Instant::now();
    tokio::time::sleep(PACE + Duration::from_millis(1)).await;
    world.tail.committed();
    world.tail.wait_for(Position::behind(1)).await;
    assert_eq!(begun.elapsed(), PACE + Duration::from_millis(1), "at once");
    (0..100).for_each(|_| world.tail.committed());
    world.tail.wait_for(Position::behind(2)).await;
    assert_eq!(begun.elapsed(), PACE * 2 + Duration::from_millis(1));
    assert_eq!(world.journal.asked().len(), 3);
    assert_eq!(world.tail.last(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_commit_the_timer_wakes_the_worker() {
    let world = world(vec![Ok(at(0)), Ok(at(5))]);
    let begun = Instant::now();
    world.tail.wait_for(Position { commit: 5, entry: 0 }).await;
    assert_eq!(begun.elapsed(), PERIOD);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_without_a_number_is_numbered_without_waiting_for_the_timer() {
    let world = world(vec![Ok(Numbers { last: 1000, more: true }), Ok(at(1001))]);
    let begun = Instant::now();
    world.tail.wait_for(Position::behind(1000)).await;
    assert_eq!(begun.elapsed(), PACE);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_and_the_end_of_the_journal_never_falls() {
    let answers = vec![Ok(at(7)), Err(unavailable()), Err(unavailable()), Ok(at(6)), Ok(at(8))];
    let world = world(answers);
    world.tail.wait_for(Position { commit: 7, entry: 3 }).await;
    let mut last = world.tail.last.subscribe();
    last.mark_unchanged();
    last.changed().await.expect("the tail lives");
    assert_eq!((*last.borrow(), world.journal.asked().len()), (8, 5), "6 was told to nobody");
    assert!(!world.worker.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_ends_the_worker() {
    let world = world(vec![Ok(at(0)), Err(Failure::Fatal(Arc::new(Wanted)))]);
    let ended = world.worker.await.expect("no panic");
    assert!(matches!(ended, Err(Failure::Fatal(_))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_worker_at_once() {
    let world = world(Vec::new());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    world.shutdown.cancel();
    world.worker.await.expect("no panic").expect("no failure");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_position_is_waited_for_until_its_row_is_numbered() {
    let tail = Tail::default();
    tail.reached(3);
    tail.wait_for(Position { commit: 3, entry: 9 }).await;
    let early = tokio::time::timeout(PERIOD, tail.wait_for(Position::behind(3))).await;
    assert!(early.is_err());
    let reach = async {
        tokio::time::sleep(PERIOD).await;
        tail.reached(4);
    };
    tokio::join!(tail.wait_for(Position::behind(3)), reach);
    assert_eq!((Position::START, tail.last()), (Position::behind(0), 4));
}
