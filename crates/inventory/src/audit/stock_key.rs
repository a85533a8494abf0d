//! INV-1 to INV-3: one stock row against its ledger and against the reservations.

use inventory_core::stock::{Level, Movement};
use platform::audit::{Findings, ReadBudget};
use platform::failure::Failure;

use super::held::{Counted, Held};
use super::ledger::{read, take};
use super::{INV_1, INV_2, INV_3};
use crate::store::{AuditStore, StockAudit, StockKey};

/// The older movements of one stock key get one part in this many of a step's budget per round.
const SHARE_OF_OLDER: u32 = 5;

/// How far a ledger was read and found correct.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    /// The sum of its movements up to the newest that was read.
    newest: Level,
    /// The sum of the movements that the current pass has read again.
    again: Level,
    /// The sum that the pass must reach: `newest` at its beginning.
    again_to: Level,
}

/// The audit of one stock key, which may take several steps. Movements that are added meanwhile are
/// read in the next round.
#[derive(Debug)]
pub(super) struct StockKeyAudit {
    row: StockAudit,
    ledger: Remembered,
    /// The most new movements of this round. Others are read in the passes over the older ones.
    newer: u32,
    /// The most movements that are read again in this round.
    stretch: u32,
    stage: Stage,
    sound: bool,
}

#[derive(Debug)]
enum Stage {
    Newer,
    Older,
    Held(Held),
    Over,
}

impl StockKeyAudit {
    /// Begins with the checks on the row alone. The row, its held units and the end of its ledger
    /// come from one snapshot.
    pub(super) fn begin(
        row: StockAudit,
        remembered: Option<Remembered>,
        budget: ReadBudget,
        findings: &mut Findings,
    ) -> Self {
        findings.checked(INV_2, 1);
        let before = findings.violations.len();
        findings.demand(INV_2, row.level.last_seq == row.newest_seq, || {
            let (known, written) = (row.level.last_seq, row.newest_seq);
            format!("{}: the row knows of {known} movements, its ledger of {written}", at(&row))
        });
        if let Some(held) = row.held {
            judge_held(&row, row.level.reserved, held, findings);
        }
        let sound = findings.violations.len() == before;
        // If the row's ledger became shorter, forget what was read.
        let known = remembered.filter(|known| known.newest.last_seq <= row.level.last_seq);
        let mut ledger = known.unwrap_or_default();
        if ledger.again_to == Level::default() {
            ledger.again_to = ledger.newest;
        }
        let stretch = (budget.below / SHARE_OF_OLDER).max(1);
        Self { row, ledger, newer: budget.round, stretch, stage: Stage::Newer, sound }
    }

    /// Reads at most `left` rows and subtracts them from it. Returns whether the stock key is done.
    pub(super) async fn go_on(
        &mut self,
        store: &dyn AuditStore,
        left: &mut u32,
        findings: &mut Findings,
    ) -> Result<bool, Failure> {
        let before = findings.violations.len();
        let result = self.read_on(store, left, findings).await;
        self.sound &= findings.violations.len() == before;
        result
    }

    async fn read_on(
        &mut self,
        store: &dyn AuditStore,
        left: &mut u32,
        findings: &mut Findings,
    ) -> Result<bool, Failure> {
        loop {
            let done = match &mut self.stage {
                Stage::Over => return Ok(true),
                Stage::Newer => self.read_newer(store, left, findings).await?,
                Stage::Older => self.read_older(store, left, findings).await?,
                Stage::Held(held) => match held.read(store, left, findings).await? {
                    Counted::NotYet => false,
                    Counted::InVain => true,
                    Counted::All { reserved, held } => {
                        judge_held(&self.row, reserved, held, findings);
                        true
                    }
                },
            };
            if !done {
                return Ok(false);
            }
            self.stage = match &self.stage {
                Stage::Newer => Stage::Older,
                Stage::Older if self.row.held.is_none() => {
                    Stage::Held(Held::at(stock_key(&self.row), self.newer))
                }
                Stage::Older | Stage::Held(_) | Stage::Over => Stage::Over,
            };
        }
    }

    /// Replays the new movements, up to the row's last one.
    async fn read_newer(
        &mut self,
        store: &dyn AuditStore,
        left: &mut u32,
        findings: &mut Findings,
    ) -> Result<bool, Failure> {
        let last = self.row.level.last_seq;
        let begin = last - i64::from(self.newer);
        if self.ledger.newest.last_seq < begin {
            if *left == 0 {
                return Ok(false);
            }
            let movements = read(store, &stock_key(&self.row), begin - 1, begin, 1).await?;
            take(left, findings, movements.len());
            // A missing movement is noticed when the next one is replayed.
            self.ledger.newest = movements
                .first()
                .map_or(Level { last_seq: begin, ..Level::default() }, |at| at.after);
        }
        while self.ledger.newest.last_seq < last {
            if *left == 0 {
                return Ok(false);
            }
            let movements =
                read(store, &stock_key(&self.row), self.ledger.newest.last_seq, last, *left)
                    .await?;
            take(left, findings, movements.len());
            if movements.is_empty() {
                break;
            }
            for movement in &movements {
                self.ledger.newest = replay(self.ledger.newest, movement, findings);
            }
        }
        let found = self.ledger.newest;
        findings.demand(INV_2, found == self.row.level, || {
            format!("{}: the row says {:?}, its movements {found:?}", at(&self.row), self.row.level)
        });
        Ok(true)
    }

    /// Replays a stretch of older movements again, to check that the ledger has not changed.
    async fn read_older(
        &mut self,
        store: &dyn AuditStore,
        left: &mut u32,
        findings: &mut Findings,
    ) -> Result<bool, Failure> {
        let Remembered { again, again_to, .. } = self.ledger;
        let missing = again_to.last_seq - again.last_seq;
        let stretch = u32::try_from(missing).unwrap_or(u32::MAX).min(self.stretch);
        if *left < stretch {
            return Ok(false);
        }
        let mut broken_off = false;
        if stretch > 0 {
            let movements =
                read(store, &stock_key(&self.row), again.last_seq, again_to.last_seq, stretch)
                    .await?;
            take(left, findings, movements.len());
            broken_off = movements.len() < stretch as usize;
            for movement in &movements {
                self.ledger.again = replay(self.ledger.again, movement, findings);
            }
        }
        if broken_off || self.ledger.again.last_seq >= again_to.last_seq {
            let found = std::mem::take(&mut self.ledger.again);
            self.ledger.again_to = Level::default();
            findings.demand(INV_2, found == again_to, || {
                format!(
                    "{}: its movements came to {again_to:?} before, and now to {found:?}",
                    at(&self.row)
                )
            });
        }
        Ok(true)
    }

    pub(super) fn name(&self) -> String {
        at(&self.row)
    }

    /// Returns what the next round need not read; `None` after a violation, so that the next round
    /// reads the whole ledger again.
    pub(super) fn remembered(self) -> Option<(StockKey, Remembered)> {
        self.sound.then(|| (stock_key(&self.row), self.ledger))
    }
}

fn stock_key(row: &StockAudit) -> StockKey {
    (row.product_id.clone(), row.location_id.clone())
}

fn at(row: &StockAudit) -> String {
    format!("{} at {}", row.product_id, row.location_id)
}

fn judge_held(row: &StockAudit, reserved: i64, held: i64, findings: &mut Findings) {
    findings.checked(INV_3, 1);
    findings.demand(INV_3, reserved == held, || {
        format!("{}: {reserved} reserved, but reservations hold {held}", at(row))
    });
}

fn replay(before: Level, movement: &Movement, findings: &mut Findings) -> Level {
    let after = Level {
        on_hand: before.on_hand + movement.deltas.on_hand,
        reserved: before.reserved + movement.deltas.reserved,
        last_seq: before.last_seq + 1,
    };
    let stock_key = || {
        format!("{} at {}, movement {}", movement.product_id, movement.location_id, movement.seq())
    };
    findings.checked(INV_1, 1);
    findings.demand(INV_1, 0 <= after.reserved && after.reserved <= after.on_hand, || {
        format!("{}: {} reserved of {} on hand", stock_key(), after.reserved, after.on_hand)
    });
    findings.demand(INV_2, after == movement.after, || {
        format!(
            "{}: it says {:?}, the ones before add up to {after:?}",
            stock_key(),
            movement.after
        )
    });
    // Report a gap once, and go on from the movement behind it.
    movement.after
}
