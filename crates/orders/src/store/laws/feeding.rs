//! The journal below the event feed (R29, INV-13).

use std::collections::BTreeMap;

use orders_core::history::EntryKind;
use orders_core::registers::Registers;
use platform::audit::{Audit, Findings, JournalAudit, Progress, ReadBudget};
use platform::journal::{Numbers, Position, Recorded};
use testbed::{PATIENCE, eventually};

use super::*;
use crate::store::{MadeEntry, OrderView};

/// Numbers whatever was committed, and returns the highest number. On a busy machine one look may
/// take longer than a transaction may; the next one goes on.
pub(crate) async fn numbered(journal: &dyn Journal) -> i64 {
    loop {
        let numbers = async || journal.number().await.ok();
        let Numbers { last, more } = eventually(PATIENCE, "numbers", numbers).await;
        if !more {
            return last;
        }
    }
}

/// Reads on from a position to the end, page by page.
pub(crate) async fn read_from(
    feed: &dyn OrderFeedStore,
    from: Position,
    limit: u32,
) -> Vec<Recorded<MadeEntry>> {
    let mut read: Vec<Recorded<MadeEntry>> = Vec::new();
    loop {
        let from = read.last().map_or(from, |last| last.next);
        let page = feed.made(from, limit).await.expect("a page");
        assert!(page.len() <= limit as usize, "{page:?}");
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

/// Checks that the journal, up to its last number, tells the history of each order: each entry
/// once, and in its order.
pub(crate) async fn must_tell_every_history(
    feed: &dyn OrderFeedStore,
    audit: &dyn OrderAuditStore,
    last: i64,
) {
    let read = read_from(feed, Position::START, 7).await;
    must_be_dense(&read, last);
    let mut recorded: BTreeMap<OrderId, Vec<(u32, EntryKind)>> = BTreeMap::new();
    for Recorded { entry, .. } in &read {
        recorded.entry(entry.order_id).or_default().push((entry.seq, entry.kind));
    }
    let mut histories = BTreeMap::new();
    for order in audit.orders_after(None, 10_000).await.expect("a page") {
        histories.insert(order.order_id, kinds_of(&order));
    }
    assert_eq!(recorded, histories);
}

/// What the entries of an order are, by their numbers.
fn kinds_of(order: &OrderAudit) -> Vec<(u32, EntryKind)> {
    let mut registers = Registers::placed(order.terms.ordered());
    let mut kinds = vec![(1, EntryKind::Status(Status::Received))];
    for entry in &order.history {
        kinds.push((entry.seq, EntryKind::of(&registers, entry)));
        let applied = registers.apply(&order.terms, entry.seq, entry.at_micros, &entry.event);
        applied.expect("an entry that follows");
    }
    kinds
}

/// Checks that every number up to `last` is there.
fn must_be_dense<T>(read: &[Recorded<T>], last: i64) {
    let mut position = Position::START;
    for Recorded { next, .. } in read {
        let goes_on = Position { entry: position.entry + 1, ..position };
        assert!(
            [goes_on, Position::behind(position.commit)].contains(next),
            "{position:?} {next:?}"
        );
        position = *next;
    }
    assert_eq!(position, Position::behind(last));
}

impl Fresh {
    async fn journal_must_tell_every_history(&self) {
        let last = numbered(&*self.journal).await;
        must_tell_every_history(&*self.feed, &*self.audit, last).await;
    }

    /// The whole journal: the orders by number, with the numbers of their entries.
    async fn made(&self) -> Vec<(u128, u32)> {
        numbered(&*self.journal).await;
        let read = read_from(&*self.feed, Position::START, 100).await;
        read.iter().map(|one| (one.entry.order_id.0.as_u128(), one.entry.seq)).collect()
    }
}

pub(crate) async fn every_entry_of_a_history_is_in_the_journal_once_and_in_its_order(fresh: Fresh) {
    assert_eq!(numbered(&*fresh.journal).await, 0);
    assert!(fresh.feed.made(Position::START, 10).await.expect("a page").is_empty());
    fresh.run(vec![place(1), place(2), reserved(1)]).await;
    fresh.run(vec![fulfill(1), cancel(2)]).await;
    fresh.run(vec![place(3), reserved(3), fulfill(3), shipped(3), shipped(1)]).await;
    fresh.run(vec![released(2)]).await;
    fresh.journal_must_tell_every_history().await;
    assert_eq!(numbered(&*fresh.journal).await, 4, "a number per transaction, and no other");
}

pub(crate) async fn a_batch_that_is_not_committed_leaves_nothing_in_the_journal(fresh: Fresh) {
    /// Decides well, but changes the first order twice.
    fn twice(now: i64, batch: &[OrderCommand], loaded: LoadedOrders) -> OrdersDecision {
        let mut decision = decide(now, batch, loaded);
        decision.changes.push(decision.changes[0].clone());
        decision
    }
    /// Decides on an order that it takes for received, whatever was loaded.
    fn forgetful(now: i64, batch: &[OrderCommand], mut loaded: LoadedOrders) -> OrdersDecision {
        for order in loaded.orders.values_mut() {
            order.registers.facts = None;
            order.last_seq = 1;
        }
        decide(now, batch, loaded)
    }
    fresh.run(vec![place(1), reserved(1)]).await;
    let bad = [(place(2), twice as orders_core::decide::DecideOrders), (cancel(1), forgetful)];
    for (command, mistaken) in bad {
        fresh.store.run(Arc::new([command]), mistaken).await.expect_err("nothing is written");
    }
    fresh.run(vec![cancel(1), place(2)]).await;
    let made = fresh.made().await;
    assert_eq!(made.iter().filter(|(order, _)| *order == 1).count(), 3, "{made:?}");
    fresh.journal_must_tell_every_history().await;
}

pub(crate) async fn replays_stale_answers_and_refusals_make_no_entry(fresh: Fresh) {
    let with_key = |n| OrderCommand::Place(Box::new(placement(n, Some("key"))));
    fresh.run(vec![with_key(1), with_key(2)]).await;
    fresh.run(vec![rejected(1)]).await;
    let before = (fresh.made().await, numbered(&*fresh.journal).await);
    assert_eq!(before, (vec![(1, 1), (1, 2)], 2));
    fresh.run(vec![with_key(3)]).await;
    fresh.run(vec![rejected(1), cancel(1), fulfill(1), cancel(9)]).await;
    assert_eq!((fresh.made().await, numbered(&*fresh.journal).await), before);
}

pub(crate) async fn the_journal_reads_the_same_from_every_position_in_pages_of_any_size(
    fresh: Fresh,
) {
    for first in [1, 10, 20, 30] {
        let orders = first..first + first % 7;
        fresh.run(orders.clone().map(place).collect()).await;
        fresh.run(orders.flat_map(|n| [reserved(n), fulfill(n)]).collect()).await;
    }
    numbered(&*fresh.journal).await;
    let whole = read_from(&*fresh.feed, Position::START, 1000).await;
    assert_eq!(whole.len(), 3 * (1 + 3 + 6 + 2));
    for limit in [1, 2, 3, 5, 8, 13, 100] {
        assert_eq!(read_from(&*fresh.feed, Position::START, limit).await, whole);
    }
    for (index, recorded) in whole.iter().enumerate() {
        let rest = read_from(&*fresh.feed, recorded.next, 4).await;
        assert_eq!(rest, whole[index + 1..], "from {:?}", recorded.next);
    }
    let behind_a_row = Position { commit: 1, entry: 9 };
    assert_eq!(fresh.feed.made(behind_a_row, 1).await.expect("a page"), whole[1..2]);
}

pub(crate) async fn an_order_is_seen_as_it_was_after_each_of_its_entries(fresh: Fresh) {
    fresh.run(vec![place(1), place(2)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![reserved(1), rejected(2)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![cancel(1), released(1)]).await;
    numbered(&*fresh.journal).await;
    let mut entries: Vec<MadeEntry> = read_from(&*fresh.feed, Position::START, 100)
        .await
        .into_iter()
        .map(|recorded| recorded.entry)
        .collect();
    entries.sort();
    entries.reverse();
    entries.push(entries[1]);
    let views = fresh.feed.views(entries.clone()).await.expect("orders");
    let views: Vec<_> = views.into_iter().map(|view| view.expect("an order")).collect();
    let seen: Vec<_> = views
        .iter()
        .map(|view| {
            let updated = (view.updated_at_micros - START.0) / 1_000_000;
            let units = view.allocated.total();
            (view.order_id, view.status, view.history.len(), units, view.shortages.len(), updated)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (id(2), Status::Rejected, 1, 0, 1, 1),
            (id(2), Status::Received, 0, 0, 0, 0),
            (id(1), Status::Cancelled, 3, 3, 0, 2),
            (id(1), Status::Cancelling, 2, 3, 0, 2),
            (id(1), Status::Confirmed, 1, 3, 0, 1),
            (id(1), Status::Received, 0, 0, 0, 0),
            (id(2), Status::Received, 0, 0, 0, 0),
        ]
    );
    let is_of =
        |(view, entry): (&OrderView, &MadeEntry)| entry.kind == EntryKind::Status(view.status);
    assert!(views.iter().zip(&entries).all(is_of));
    assert_eq!(views[2].terms, placement(1, None).terms);
    let unknown = MadeEntry { order_id: id(1), seq: 5, kind: EntryKind::Amended };
    let nobody = MadeEntry { order_id: id(9), ..unknown };
    let beside = fresh.feed.views(vec![unknown, nobody, entries[0]]).await.expect("a read");
    let [Err(Failure::Suspect(_)), Err(Failure::Suspect(_)), Ok(whole)] = &beside[..] else {
        panic!("{beside:?}")
    };
    assert_eq!(whole.order_id, entries[0].order_id);
}

/// All of them in one read, with a payment between an expiry and the revival that follows it.
pub(crate) async fn an_order_with_many_entries_is_seen_as_it_was_after_each(fresh: Fresh) {
    fresh.run(vec![place_to_pay(1, 60), reserved(1), OrderCommand::expire(id(1))]).await;
    fresh.run(vec![pay(1, "ch_1")]).await;
    let answer = fresh.answer(1).await;
    fresh.run(vec![answer]).await;
    for n in 0..20 {
        let refund = OrderRequest::Refund { reference: format!("re_{n}"), amount_minor: 1 };
        fresh.run(vec![ask(1, refund)]).await;
    }
    let whole = fresh.view(1).await;
    assert_eq!(whole.history.len(), 25);
    let last = u32::try_from(whole.history.len()).expect("few") + 1;
    let entry = |seq| MadeEntry { order_id: id(1), seq, kind: EntryKind::Amended };
    let views = fresh.feed.views((1..=last).map(entry).collect()).await.expect("orders");
    for (seq, view) in (1..).zip(views) {
        let view = view.expect("an order");
        assert_eq!(view.history, whole.history[..seq - 1]);
        let status = view.history.last().map_or(Status::Received, |entry| entry.status);
        assert_eq!(view.status, status, "after entry {seq}");
    }
}

/// A reader that follows the numbers while others commit and number sees each order's entries in
/// order, and at the end all of them.
pub(crate) async fn the_journal_is_whole_while_it_is_numbered_and_read_beside_commits(
    fresh: Fresh,
) {
    let writers: Vec<_> = (0..6u128)
        .map(|writer| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                for n in 0..8 {
                    let order = writer * 100 + n;
                    for command in [place(order), reserved(order), cancel(order), released(order)] {
                        run_until_done(&*store, Arc::new([command])).await;
                    }
                }
            })
        })
        .collect();
    let mut followed: Vec<Recorded<MadeEntry>> = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let (one, other) = tokio::join!(fresh.journal.number(), fresh.journal.number());
        let last = one.expect("numbers").last.max(other.expect("numbers").last);
        let from = followed.last().map_or(Position::START, |last| last.next);
        let page = read_from(&*fresh.feed, from, 10).await;
        let reached = page.last().map_or(from, |last| last.next);
        assert!(reached >= Position::behind(last), "{reached:?} is not behind {last}");
        followed.extend(page);
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    numbered(&*fresh.journal).await;
    let from = followed.last().map_or(Position::START, |last| last.next);
    followed.extend(read_from(&*fresh.feed, from, 10).await);
    assert_eq!(followed, read_from(&*fresh.feed, Position::START, 50).await);
    assert_eq!(followed.len(), 6 * 8 * 4);
    fresh.journal_must_tell_every_history().await;
}

/// What one round of the audit of the journal finds.
pub(crate) async fn audited(
    audit: Arc<dyn OrderAuditStore>,
    budget: ReadBudget,
) -> (Vec<String>, u64) {
    let mut audit = JournalAudit::new(audit, budget);
    let mut findings = Findings::default();
    while audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
    let checked = findings.checked.values().sum();
    (findings.violations.into_iter().map(|one| one.offender).collect(), checked)
}

/// INV-13, while orders are placed and changed, and while their entries have no numbers yet.
pub(crate) async fn an_audit_beside_commits_and_numbers_raises_no_alarm(fresh: Fresh) {
    const SMALL: ReadBudget = ReadBudget { page: 3, below: 5, round: u32::MAX };
    let writers: Vec<_> = (0..3u128)
        .map(|writer| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                for n in 0..15 {
                    let order = writer * 100 + n;
                    for command in [place(order), reserved(order), cancel(order)] {
                        run_until_done(&*store, Arc::new([command])).await;
                    }
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        for budget in [SMALL, ReadBudget::SHORT] {
            let (alarms, _) = audited(fresh.audit.clone(), budget).await;
            assert_eq!(alarms, [""; 0]);
        }
        fresh.journal.number().await.expect("numbers");
    }
    let unnumbered = audited(fresh.audit.clone(), SMALL).await;
    assert_eq!(unnumbered.0, [""; 0]);
    numbered(&*fresh.journal).await;
    assert_eq!(audited(fresh.audit.clone(), SMALL).await, (Vec::new(), 3 * 15 * 3));
}
