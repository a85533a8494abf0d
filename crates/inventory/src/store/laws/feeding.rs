//! The journal below the event feed (R29, INV-13).

use std::collections::BTreeMap;

use platform::audit::{Audit, Findings, JournalAudit, Progress, ReadBudget};
use platform::journal::{Numbers, Position, Recorded};

use super::*;
use crate::store::{StockEntry, StockKey, StockMoved};

/// Numbers whatever was committed, and returns the highest number.
pub(crate) async fn numbered(journal: &dyn Journal) -> i64 {
    loop {
        let Numbers { last, more } = journal.number().await.expect("numbers");
        if !more {
            return last;
        }
    }
}

/// Reads on from a position to the end, page by page.
pub(crate) async fn read_from(
    feed: &dyn StockFeedStore,
    from: Position,
    limit: u32,
) -> Vec<Recorded<StockMoved>> {
    let mut read: Vec<Recorded<StockMoved>> = Vec::new();
    loop {
        let from = read.last().map_or(from, |last| last.next);
        let page = feed.made(from, limit).await.expect("a page").into_iter().map(readable);
        let page: Vec<_> = page.collect();
        assert!(page.len() <= limit as usize, "{page:?}");
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

fn readable(Recorded { entry, next }: Recorded<StockEntry>) -> Recorded<StockMoved> {
    Recorded { entry: entry.moved.expect("a movement"), next }
}

/// Checks that the journal covers each movement once, and that the entries of a stock key follow one
/// another as its movements do. What an entry says is what the ledger says.
pub(crate) async fn must_cover_every_movement(
    feed: &dyn StockFeedStore,
    audit: &dyn StockAuditStore,
    last: i64,
) {
    let read = read_from(feed, Position::START, 7).await;
    let behind = read.last().map_or(Position::START, |last| last.next);
    assert_eq!(behind, Position::behind(last));
    let mut movements = BTreeMap::new();
    for stored in audit.movements_after(None, 100_000).await.expect("a page") {
        let movement = stored.row.expect("a movement").movement;
        movements.insert((key(&movement), movement.seq()), movement);
    }
    let mut covered = BTreeMap::<StockKey, i64>::new();
    for Recorded { entry, .. } in &read {
        let stock_key = (entry.product_id.clone(), entry.location_id.clone());
        let before = covered.insert(stock_key.clone(), entry.to_seq).unwrap_or(0);
        assert_eq!((entry.from_seq, entry.level.last_seq), (before + 1, entry.to_seq), "{entry:?}");
        let last = &movements[&(stock_key, entry.to_seq)];
        assert_eq!((entry.level, entry.last_movement), (last.after, last.number()));
        assert_eq!(entry.at_micros, last.created_at_micros);
    }
    let mut ends = BTreeMap::new();
    for (stock_key, seq) in movements.into_keys() {
        ends.insert(stock_key, seq);
    }
    assert_eq!(covered, ends);
}

fn key(movement: &Movement) -> StockKey {
    (movement.product_id.clone(), movement.location_id.clone())
}

impl Fresh {
    async fn journal_must_cover_every_movement(&self) {
        let last = numbered(&*self.journal).await;
        must_cover_every_movement(&*self.feed, &*self.audit, last).await;
    }
}

pub(crate) async fn every_movement_is_covered_by_one_entry_of_the_journal_in_its_order(
    fresh: Fresh,
) {
    assert_eq!(numbered(&*fresh.journal).await, 0);
    fresh.run([stocked("MUG", 9), stocked("TEE", 3)].concat()).await;
    fresh.run(vec![put_location("shop", 1), received("MUG", "shop", 2)]).await;
    let both = [("MUG", 2), ("TEE", 1)];
    fresh.run(vec![place(1, &both), place(2, &both), place(3, &[("MUG", 1)])]).await;
    fresh.run(vec![cancel(1, &both), received("TEE", "main", 5), place(4, &[("TEE", 2)])]).await;
    fresh.journal_must_cover_every_movement().await;
    let whole = read_from(&*fresh.feed, Position::START, 100).await;
    let many = whole.iter().filter(|one| one.entry.from_seq < one.entry.to_seq).count();
    assert!(many >= 2, "{whole:?}");
}

pub(crate) async fn what_moves_nothing_makes_no_entry(fresh: Fresh) {
    fresh.run(stocked("MUG", 1).to_vec()).await;
    fresh.run(vec![place(1, &[("MUG", 1)])]).await;
    assert_eq!(numbered(&*fresh.journal).await, 2);
    fresh.run(vec![put("TEE"), put_location("shop", 2), received("MUG", "main", 1)]).await;
    fresh
        .run(vec![place(1, &[("MUG", 1)]), place(2, &[("MUG", 1)]), place(3, &[("CUP", 1)])])
        .await;
    assert_eq!(numbered(&*fresh.journal).await, 2, "replays, rejections, and what is no stock");
    fresh.journal_must_cover_every_movement().await;
}

pub(crate) async fn the_journal_reads_the_same_from_every_position_in_pages_of_any_size(
    fresh: Fresh,
) {
    let names: Vec<String> = (1..=9).map(|n| format!("P{n}")).collect();
    for names in names.chunks(4) {
        fresh.run(names.iter().flat_map(|name| stocked(name, 5)).collect()).await;
        let lines: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        fresh.run(vec![place(lines.len() as u128, &lines)]).await;
    }
    numbered(&*fresh.journal).await;
    let whole = read_from(&*fresh.feed, Position::START, 1000).await;
    assert_eq!(whole.len(), 4 + 4 + 4 + 1 + 1);
    for limit in [1, 2, 3, 5, 100] {
        assert_eq!(read_from(&*fresh.feed, Position::START, limit).await, whole);
    }
    for (index, recorded) in whole.iter().enumerate() {
        let rest = read_from(&*fresh.feed, recorded.next, 3).await;
        assert_eq!(rest, whole[index + 1..], "from {:?}", recorded.next);
    }
}

/// A reader that follows the numbers while others commit and number misses nothing.
pub(crate) async fn the_journal_is_whole_while_it_is_numbered_and_read_beside_commits(
    fresh: Fresh,
) {
    const PRODUCTS: [&str; 3] = ["A", "B", "C"];
    fresh.run(PRODUCTS.into_iter().flat_map(|name| stocked(name, 100)).collect()).await;
    let deciders: Vec<_> = (0..6u128)
        .map(|decider| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let lines = [(PRODUCTS[n % 3], 1), (PRODUCTS[(n + 1) % 3], 1)];
                    let number = decider * 100 + n as u128;
                    let batch: Arc<[_]> = Arc::new([place(number, &lines)]);
                    run_until_done(&*store, batch).await;
                    let batch: Arc<[_]> = Arc::new([cancel(number, &lines)]);
                    run_until_done(&*store, batch).await;
                }
            })
        })
        .collect();
    let mut followed: Vec<Recorded<StockMoved>> = Vec::new();
    while !deciders.iter().all(tokio::task::JoinHandle::is_finished) {
        let (one, other) = tokio::join!(fresh.journal.number(), fresh.journal.number());
        let last = one.expect("numbers").last.max(other.expect("numbers").last);
        let from = followed.last().map_or(Position::START, |last| last.next);
        let page = read_from(&*fresh.feed, from, 10).await;
        let reached = page.last().map_or(from, |last| last.next);
        assert!(reached >= Position::behind(last), "{reached:?} is not behind {last}");
        followed.extend(page);
    }
    for decider in deciders {
        decider.await.expect("no panic");
    }
    numbered(&*fresh.journal).await;
    let from = followed.last().map_or(Position::START, |last| last.next);
    followed.extend(read_from(&*fresh.feed, from, 10).await);
    assert_eq!(followed, read_from(&*fresh.feed, Position::START, 50).await);
    fresh.journal_must_cover_every_movement().await;
}

const SMALL: ReadBudget = ReadBudget { page: 3, below: 5, round: u32::MAX };

/// What one round of the audit of the journal finds.
async fn audited(fresh: &Fresh, budget: ReadBudget) -> Vec<String> {
    let mut audit = JournalAudit::new(fresh.audit.clone(), budget);
    let mut findings = Findings::default();
    while audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
    findings.violations.into_iter().map(|violation| violation.offender).collect()
}

/// INV-13, while stock moves, and while its entries have no numbers yet.
pub(crate) async fn an_audit_beside_commits_and_numbers_raises_no_alarm(fresh: Fresh) {
    fresh.run([stocked("MUG", 90), stocked("TEE", 90)].concat()).await;
    let deciders: Vec<_> = (0..3u128)
        .map(|decider| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                for n in 0..12 {
                    let lines = [(["MUG", "TEE"][n % 2], 1), ("MUG", 1)];
                    let batch: Arc<[_]> = Arc::new([place(decider * 100 + n as u128, &lines)]);
                    run_until_done(&*store, batch).await;
                }
            })
        })
        .collect();
    while !deciders.iter().all(tokio::task::JoinHandle::is_finished) {
        for budget in [SMALL, ReadBudget::SHORT] {
            assert_eq!(audited(&fresh, budget).await, [""; 0]);
        }
        fresh.journal.number().await.expect("numbers");
    }
    assert_eq!(audited(&fresh, SMALL).await, [""; 0], "some have no number");
    numbered(&*fresh.journal).await;
    assert_eq!(audited(&fresh, SMALL).await, [""; 0]);
}

pub(crate) async fn whatever_is_wrong_with_the_journal_is_named(fresh: Fresh) {
    fresh.run(stocked("MUG", 9).to_vec()).await;
    fresh.run(stocked("TEE", 9).to_vec()).await;
    fresh.run(vec![place(1, &[("MUG", 1)]), place(2, &[("MUG", 1)])]).await;
    fresh.run(vec![place(3, &[("TEE", 1)])]).await;
    numbered(&*fresh.journal).await;
    assert_eq!(audited(&fresh, SMALL).await, [""; 0]);
    fresh.damage("DELETE FROM journal WHERE no = 4").await;
    let lost = audited(&fresh, SMALL).await;
    assert!(
        matches!(&lost[..], [one] if one.starts_with("the journal lacks entry 2 of the ledger"))
    );
    fresh.damage("DELETE FROM journal WHERE no = 2").await;
    let gap = audited(&fresh, ReadBudget::SHORT).await;
    assert_eq!(gap, ["the journal has no row 2, but row 3"]);
    fresh.damage("UPDATE stock SET last_seq = 2 WHERE product_no = {MUG}").await;
    let ahead = audited(&fresh, ReadBudget::SHORT).await;
    assert!(ahead[1].starts_with("row 3 of the journal: entry 3 of the ledger"), "{ahead:?}");
    fresh.damage("UPDATE journal SET entries = substr(entries, 1, 11) WHERE no = 3").await;
    let unreadable = audited(&fresh, SMALL).await;
    assert!(unreadable.iter().any(|one| one.starts_with("row 3 of the journal cannot be read")));
}
