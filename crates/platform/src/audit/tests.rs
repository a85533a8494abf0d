use std::collections::VecDeque;

use prometheus_client::registry::Registry;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::telemetry::{Metrics, render};

const ODD: Invariant = Invariant { name: "INV-O", says: "every number is odd", counted: "numbers" };
const SMALL: Invariant =
    Invariant { name: "INV-S", says: "every number is small", counted: "numbers" };

/// Audit whose steps are known: numbers to judge, or a failure.
#[derive(Debug)]
struct Script {
    steps: VecDeque<Result<(Vec<u32>, Progress), Failure>>,
}

#[async_trait]
impl Audit for Script {
    fn invariants(&self) -> Vec<Invariant> {
        vec![ODD, SMALL]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        let (numbers, progress) =
            self.steps.pop_front().unwrap_or(Ok((Vec::new(), Progress::RoundOver)))?;
        findings.read(numbers.len());
        for number in numbers {
            findings.checked(ODD, 1);
            findings.demand(ODD, number % 2 == 1, || format!("{number} is even"));
        }
        Ok(progress)
    }
}

fn auditor(steps: Vec<Result<(Vec<u32>, Progress), Failure>>) -> (Auditor, Registry) {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, "test");
    let clock = Arc::new(ManualClock::at(Timestamp(1_500_000)));
    (Auditor::new("shop", Box::new(Script { steps: steps.into() }), metrics.audit, clock), registry)
}

#[track_caller]
fn counted(registry: &Registry, lines: &[&str]) {
    let text = render(registry);
    for line in lines {
        assert!(text.lines().any(|its| its == *line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn findings_are_counted_from_zero_and_again_in_every_round() {
    let round = || Ok((vec![1, 2, 4], Progress::RoundOver));
    let (mut auditor, registry) =
        auditor(vec![Ok((vec![3], Progress::UnderWay)), round(), round()]);
    counted(
        &registry,
        &[
            r#"audit_violations_total{service="shop",invariant="INV-O"} 0"#,
            r#"audit_violations_total{service="shop",invariant="INV-S"} 0"#,
            r#"audit_rounds_total{service="shop"} 0"#,
            r#"audit_rows_total{service="shop"} 0"#,
            r#"audit_failures_total{service="shop"} 0"#,
            r#"audit_last_round_timestamp_seconds{service="shop"} 0.0"#,
        ],
    );
    assert_eq!(auditor.tick().await.expect("a step"), Progress::UnderWay);
    counted(
        &registry,
        &[r#"audit_rows_total{service="shop"} 1"#, r#"audit_rounds_total{service="shop"} 0"#],
    );
    for _ in 0..2 {
        assert_eq!(auditor.tick().await.expect("a step"), Progress::RoundOver);
    }
    counted(
        &registry,
        &[
            r#"audit_violations_total{service="shop",invariant="INV-O"} 4"#,
            r#"audit_violations_total{service="shop",invariant="INV-S"} 0"#,
            r#"audit_rounds_total{service="shop"} 2"#,
            r#"audit_rows_total{service="shop"} 7"#,
            r#"audit_last_round_timestamp_seconds{service="shop"} 1.5"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_asked_again_and_a_damaged_one_ends_the_process() {
    let away = || Err(Failure::Unavailable(Arc::new(std::io::Error::other("away"))));
    let damaged = Err(Failure::Fatal(Arc::new(std::io::Error::other("a corrupt page"))));
    let (auditor, registry) =
        auditor(vec![away(), away(), Ok((vec![1], Progress::UnderWay)), damaged]);
    let ended = auditor.run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(Failure::Fatal(_))), "{ended:?}");
    counted(
        &registry,
        &[r#"audit_failures_total{service="shop"} 3"#, r#"audit_rows_total{service="shop"} 1"#],
    );
}

#[tokio::test(start_paused = true)]
async fn steps_are_paused_between_and_rounds_more_so_and_a_shutdown_waits_for_neither() {
    let (auditor, registry) = auditor(vec![Ok((vec![1], Progress::UnderWay)); 10]);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(auditor.run(shutdown.clone()));
    tokio::time::sleep(10 * MIN_PAUSE + BETWEEN_ROUNDS - Duration::from_millis(1)).await;
    counted(
        &registry,
        &[r#"audit_rows_total{service="shop"} 10"#, r#"audit_rounds_total{service="shop"} 1"#],
    );
    shutdown.cancel();
    running.await.expect("no panic").expect("an orderly end");
}

#[test]
fn the_audit_takes_a_fiftieth_of_the_time_at_most() {
    for took in [0, 1, 7, 100, 600].map(Duration::from_millis) {
        let pause = pause(&Ok(Progress::UnderWay), took);
        assert!(took + pause >= 50 * took && pause >= MIN_PAUSE, "{took:?} and then {pause:?}");
    }
    assert_eq!(
        pause(&Ok(Progress::UnderWay), Duration::from_secs(60)),
        MAX_PAUSE,
        "it is not given up for ever"
    );
    assert_eq!(pause(&Ok(Progress::RoundOver), Duration::ZERO), BETWEEN_ROUNDS);
    let away = Err(Failure::Unavailable(Arc::new(std::io::Error::other("away"))));
    assert_eq!(pause(&away, Duration::ZERO), AFTER_FAILURE);
    assert_eq!(
        ReadBudget::SHORT,
        ReadBudget { page: 100, below: 1_000, round: 5_000 },
        "of what is read"
    );
}

#[tokio::test]
async fn a_sequence_runs_audit_by_audit_and_its_round_ends_with_the_last() {
    let book = |numbers: &[u32]| -> Box<dyn Audit> {
        let mut steps: VecDeque<_> =
            numbers.iter().map(|n| Ok((vec![*n], Progress::UnderWay))).collect();
        steps.push_back(Ok((Vec::new(), Progress::RoundOver)));
        Box::new(Script { steps })
    };
    let mut shelf = AuditSequence::new(vec![book(&[1, 3]), book(&[]), book(&[2])]);
    let mut findings = Findings::default();
    let mut steps = 1;
    while shelf.step(&mut findings).await.expect("a step") == Progress::UnderWay {
        steps += 1;
    }
    assert_eq!((steps, findings.rows, findings.checked["INV-O"]), (6, 3, 3));
    assert_eq!(
        findings.violations,
        [Violation { invariant: ODD, offender: "2 is even".to_owned() }]
    );
}

#[tokio::test]
async fn the_state_has_what_was_done_and_each_offender_once_the_newest_first() {
    let round = |numbers: &[u32]| Ok((numbers.to_vec(), Progress::RoundOver));
    let failed = Err(Failure::suspect(std::io::Error::other("damaged")));
    let (mut auditor, _) = auditor(vec![round(&[1, 2, 4]), round(&[2, 3]), failed]);
    let state = auditor.state();
    let before = state.report();
    assert_eq!((before.rounds, before.last_step_at, before.failing), (0, None, false));
    for _ in 0..2 {
        auditor.tick().await.expect("a step");
    }
    let report = state.report();
    assert_eq!(report.rounds, 2);
    assert_eq!(report.round_ended_at, Some(Timestamp(1_500_000)));
    let counts: Vec<_> =
        report.invariants.iter().map(|it| (it.invariant.name, it.checked, it.violations)).collect();
    assert_eq!(counts, [("INV-O", 5, 3), ("INV-S", 0, 0)]);
    let offenders: Vec<_> = report.offenders.iter().map(|it| it.offender.as_str()).collect();
    assert_eq!(offenders, ["2 is even", "4 is even"]);
    assert!(!report.failing);
    auditor.tick().await.expect_err("it cannot read");
    assert!(state.report().failing);
}

#[tokio::test]
async fn no_more_offenders_are_kept_than_the_maximum() {
    let many = (0..300).map(|n| n * 2).collect();
    let (mut auditor, _) = auditor(vec![Ok((many, Progress::RoundOver))]);
    auditor.tick().await.expect("a step");
    let report = auditor.state().report();
    assert_eq!(report.offenders.len(), MAX_OFFENDERS);
    assert_eq!(report.offenders[0].offender, "598 is even");
    let both = report.clone().with(report);
    assert_eq!(both.offenders.len(), MAX_OFFENDERS);
    assert_eq!((both.invariants.len(), both.invariants[0].violations), (2, 600));
}

#[tokio::test(start_paused = true)]
async fn the_state_says_whether_the_auditor_runs() {
    let (auditor, _) = auditor(Vec::new());
    let state = auditor.state();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(auditor.run(shutdown.clone()));
    while !state.report().running {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.expect("no panic").expect("a shutdown");
    assert!(!state.report().running);
}
