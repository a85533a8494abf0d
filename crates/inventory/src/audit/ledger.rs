//! INV-1, INV-2 and INV-11: the movements in the order of their numbers, each with the ones that it
//! names.

use std::collections::BTreeMap;
use std::fmt::Display;

use contract::ProductId;
use inventory_core::stock::{Cause, Deltas, Level, Movement, MovementKind};
use platform::audit::{Findings, Page, Walk};
use platform::failure::Failure;

use super::{INV_1, INV_2, INV_11};
use crate::store::{MovementAudit, NamedMovement, StockKey, Stored};

/// The most stock keys whose last movement is remembered while a stretch is read.
const MAX_REMEMBERED: usize = 50_000;

/// A walk through the ledger, which knows where the chains of the stretches that it reads end.
#[derive(Debug)]
pub(super) struct LedgerWalk {
    walk: Walk<i64>,
    /// The last movement when the last round began, and when this one did.
    known: Option<i64>,
    last: Option<i64>,
    newer: ChainEnds,
    older: ChainEnds,
}

impl LedgerWalk {
    pub(super) fn new(at_most: u32) -> Self {
        Self {
            walk: Walk::new(at_most),
            known: None,
            last: None,
            newer: ChainEnds::default(),
            older: ChainEnds::default(),
        }
    }

    /// Begins a round. `last` is the highest number of a movement.
    pub(super) fn begin(&mut self, last: Option<i64>) {
        self.walk.begin(last);
        self.known = std::mem::replace(&mut self.last, last);
    }

    pub(super) fn page(&self, rows: u32) -> Option<Page<i64>> {
        self.walk.page(rows)
    }

    /// Notes that the page was read up to the movement `to`.
    pub(super) fn went(&mut self, page: Page<i64>, to: Option<i64>, rows: usize) {
        let ends = self.ends(page);
        ends.read_to = to.or(Some(page.up_to));
        ends.in_a_page = false;
        self.walk.went(to, rows);
    }

    /// The chains of the stretch that the page belongs to.
    fn ends(&mut self, page: Page<i64>) -> &mut ChainEnds {
        if page.after >= self.known { &mut self.newer } else { &mut self.older }
    }

    /// Judges the movements of a page, and returns those that can be decoded.
    ///
    /// # Errors
    ///
    /// Any failure of a row but [`Failure::Suspect`].
    pub(super) fn check(
        &mut self,
        page: Page<i64>,
        rows: Vec<Stored<i64, MovementAudit>>,
        findings: &mut Findings,
    ) -> Result<Vec<Movement>, Failure> {
        let ends = self.ends(page);
        ends.go_on_after(page.after);
        let mut movements = Vec::with_capacity(rows.len());
        for Stored { key, row } in rows {
            let name = format!("movement {key}");
            let Some(row) = findings.readable(INV_2, name, row)? else { continue };
            check_movement(&row, findings);
            ends.check(&row.movement, findings);
            movements.push(row.movement);
        }
        Ok(movements)
    }
}

/// The last movement of each stock key and product in the part of a stretch that was read.
///
/// No two movements may name the same one. While a product is locked, its movements get numbers
/// that exceed all that it had, and each names the last one. So a movement never names one that is
/// older than a movement which was read before it. It may name a younger one, which was committed
/// after its page had been read.
#[derive(Debug, Default)]
struct ChainEnds {
    read_to: Option<i64>,
    /// Whether a page was begun and not finished.
    in_a_page: bool,
    of_stock_keys: BTreeMap<StockKey, i64>,
    of_products: BTreeMap<ProductId, i64>,
}

impl ChainEnds {
    /// Begins a page. Forgets the ends if the page does not follow the last one, or if they are too
    /// many. They are also forgotten if the last step failed in the middle of its page, which is
    /// then read again.
    fn go_on_after(&mut self, after: Option<i64>) {
        let too_many = self.of_stock_keys.len() > MAX_REMEMBERED;
        if self.in_a_page || self.read_to != after || too_many {
            *self = Self::default();
        }
        self.in_a_page = true;
    }

    fn check(&mut self, movement: &Movement, findings: &mut Findings) {
        let number = movement.number();
        let stock_key = (movement.product_id.clone(), movement.location_id.clone());
        let end = self.of_stock_keys.insert(stock_key, number);
        findings.demand(INV_2, end <= movement.previous || end.is_none(), || {
            let named = OrNone(movement.previous);
            let end = OrNone(end);
            format!("{}: it names {named} as the one before it, not {end}", name(movement))
        });
        let end = self.of_products.insert(movement.product_id.clone(), number);
        findings.demand(INV_2, end <= movement.previous_of_product || end.is_none(), || {
            let named = OrNone(movement.previous_of_product);
            let end = OrNone(end);
            format!(
                "{}: it names {named} as the last one of its product, not {end}",
                name(movement)
            )
        });
    }
}

/// The number of a movement that may be missing.
struct OrNone(Option<i64>);

impl Display for OrNone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(number) => write!(f, "movement {number}"),
            None => f.write_str("no movement"),
        }
    }
}

/// What an operator calls a movement.
pub(super) fn name(movement: &Movement) -> String {
    let Movement { product_id, location_id, .. } = movement;
    format!("movement {} ({product_id} at {location_id}, {})", movement.number(), movement.seq())
}

/// Judges a movement by itself and by the movements that it names.
fn check_movement(row: &MovementAudit, findings: &mut Findings) {
    let movement = &row.movement;
    let after = movement.after;
    for invariant in [INV_1, INV_11] {
        findings.checked(invariant, 1);
    }
    findings.demand(INV_1, is_possible(after), || {
        let Level { on_hand, reserved, quarantined, .. } = after;
        let name = name(movement);
        match quarantined {
            0 => format!("{name}: {reserved} reserved of {on_hand} on hand"),
            _ => format!(
                "{name}: {reserved} reserved and {quarantined} quarantined of {on_hand} on hand"
            ),
        }
    });
    if let Err(why) = check_previous(row) {
        findings.violated(INV_2, format!("{}: {why}", name(movement)));
    }
    if let Err(why) = check_previous_of_product(row) {
        findings.violated(INV_2, format!("{}: {why}", name(movement)));
    }
    findings.demand(INV_11, fits_kind(movement), || {
        let Deltas { on_hand, reserved, quarantined } = movement.deltas;
        let kind = movement.kind.as_str();
        let its =
            format!("{}: a {kind} by {on_hand} on hand and {reserved} reserved", name(movement));
        match quarantined {
            0 => its,
            _ => format!("{its}, {quarantined} quarantined"),
        }
    });
}

/// INV-1. Damaged numbers may be of any size.
fn is_possible(level: Level) -> bool {
    let Level { on_hand, reserved, quarantined, .. } = level;
    reserved >= 0 && quarantined >= 0 && reserved.saturating_add(quarantined) <= on_hand
}

/// A movement continues the one that it names at its stock key.
fn check_previous(row: &MovementAudit) -> Result<(), String> {
    let movement = &row.movement;
    let before = match (movement.previous, row.previous) {
        (None, _) => Level::default(),
        (Some(number), None) => {
            return Err(format!("the one before it, movement {number}, does not exist"));
        }
        (Some(number), Some(NamedMovement { same_product, same_location, level })) => {
            if !same_product || !same_location {
                return Err(format!("movement {number} is of another stock key"));
            }
            if number >= movement.number() {
                return Err(format!("movement {number} is not older"));
            }
            level
        }
    };
    // Damaged numbers may be of any size.
    let expected = Level {
        on_hand: before.on_hand.saturating_add(movement.deltas.on_hand),
        reserved: before.reserved.saturating_add(movement.deltas.reserved),
        quarantined: before.quarantined.saturating_add(movement.deltas.quarantined),
        last_seq: before.last_seq.saturating_add(1),
        last_movement: movement.number(),
    };
    if movement.after == expected {
        Ok(())
    } else {
        Err(format!("it says {:?}, the one before it leads to {expected:?}", movement.after))
    }
}

/// A movement names an older one of its product: the one at its stock key, or a younger one.
fn check_previous_of_product(row: &MovementAudit) -> Result<(), String> {
    let movement = &row.movement;
    match (movement.previous_of_product, row.previous_of_product) {
        (named, _) if named < movement.previous => {
            Err("it names an older one of its product than of its stock key".to_owned())
        }
        (Some(number), None) => {
            Err(format!("the last one of its product, movement {number}, does not exist"))
        }
        (Some(number), Some(named)) if !named.same_product => {
            Err(format!("movement {number} is of another product"))
        }
        (Some(number), Some(_)) if number >= movement.number() => {
            Err(format!("movement {number} of its product is not older"))
        }
        (_, _) => Ok(()),
    }
}

/// Whether the deltas and the cause are those of the movement's kind (INV-11).
fn fits_kind(movement: &Movement) -> bool {
    let Deltas { on_hand, reserved, quarantined } = movement.deltas;
    let of_order = matches!(movement.cause, Cause::Order(_));
    let of_request = !of_order;
    match movement.kind {
        MovementKind::Receive => of_request && on_hand > 0 && reserved == 0 && quarantined == 0,
        MovementKind::Adjust | MovementKind::Count => {
            of_request && reserved == 0 && quarantined == 0
        }
        MovementKind::Reserve => of_order && on_hand == 0 && reserved > 0 && quarantined == 0,
        MovementKind::Release => of_order && on_hand == 0 && reserved < 0 && quarantined == 0,
        MovementKind::Ship => of_order && on_hand < 0 && reserved == on_hand && quarantined == 0,
        MovementKind::Unship => of_order && on_hand > 0 && reserved == on_hand && quarantined == 0,
        // Units that were written off are not on hand: it may be by nothing.
        MovementKind::Return => of_order && reserved == 0 && (0..=on_hand).contains(&quarantined),
        MovementKind::Quarantine => of_request && on_hand == 0 && reserved == 0 && quarantined > 0,
        MovementKind::Unquarantine => {
            of_request && on_hand == 0 && reserved == 0 && quarantined < 0
        }
        MovementKind::WriteOff => {
            of_request && on_hand < 0 && reserved == 0 && quarantined == on_hand
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{Digest, LocationId};
    use inventory_core::stock::{RequestCause, RequestId};

    use super::*;

    /// A movement at `main` with its number and the ones that it names.
    fn movement(number: i64, previous: Option<i64>, of_product: Option<i64>) -> Movement {
        let cause = RequestCause {
            request_id: RequestId([0; 16]),
            digest: Digest([0; 16]),
            reason: None,
            reference: None,
            actor: None,
        };
        Movement {
            previous,
            previous_of_product: of_product,
            product_id: "MUG".parse().expect("an id"),
            location_id: LocationId::main(),
            kind: MovementKind::Count,
            deltas: Deltas::default(),
            after: Level { last_movement: number, ..Level::default() },
            cause: Cause::Request(cause),
            created_at_micros: 0,
        }
    }

    fn violations(movements: &[Movement]) -> Vec<String> {
        let mut ends = ChainEnds::default();
        let mut findings = Findings::default();
        movements.iter().for_each(|movement| ends.check(movement, &mut findings));
        findings.violations.into_iter().map(|violation| violation.offender).collect()
    }

    #[test]
    fn a_movement_that_was_committed_late_is_no_fork() {
        // Movement 4 is not in the page that has 3 and 7: it was committed after the page was read.
        let page = [
            movement(3, Some(1), Some(1)),
            movement(7, Some(4), Some(5)),
            movement(9, Some(7), Some(8)),
        ];
        assert_eq!(violations(&page), [""; 0]);
    }

    #[test]
    fn two_movements_that_name_the_same_one_are_a_fork() {
        let [first, second] = [movement(3, None, None), movement(4, Some(3), Some(3))];
        let fork = [first.clone(), second.clone(), movement(5, Some(3), Some(4))];
        let named =
            "movement 5 (MUG at main, 0): it names movement 3 as the one before it, not movement 4";
        assert_eq!(violations(&fork), [named]);
        let fork = [first.clone(), second.clone(), movement(5, Some(4), Some(3))];
        let named = "movement 5 (MUG at main, 0): it names movement 3 as the last one of its product, not movement 4";
        assert_eq!(violations(&fork), [named]);
        let begun_twice = [first, second, movement(5, None, Some(4))];
        let named = "movement 5 (MUG at main, 0): it names no movement as the one before it, not movement 4";
        assert_eq!(violations(&begun_twice), [named]);
    }

    #[test]
    fn the_ends_of_a_stretch_are_forgotten_where_another_one_begins() {
        let mut ends = ChainEnds { read_to: Some(4), ..ChainEnds::default() };
        ends.check(&movement(4, None, None), &mut Findings::default());
        ends.go_on_after(Some(4));
        assert_eq!(ends.of_products.len(), 1);
        ends.in_a_page = false;
        ends.go_on_after(None);
        assert!(ends.of_products.is_empty() && ends.of_stock_keys.is_empty());
    }

    #[test]
    fn a_page_that_is_read_again_after_a_failure_is_no_fork() {
        let mut walk = LedgerWalk::new(100);
        walk.begin(Some(4));
        let page = walk.page(10).expect("movements that were not read");
        let mut findings = Findings::default();
        // The step of the first time failed after it had judged the movements.
        for _ in 0..2 {
            let rows = [movement(3, None, None), movement(4, Some(3), Some(3))].map(|movement| {
                let row = MovementAudit { movement, previous: None, previous_of_product: None };
                Stored { key: row.movement.number(), row: Ok(row) }
            });
            walk.check(page, rows.into(), &mut findings).expect("rows that can be decoded");
        }
        walk.went(page, Some(4), 2);
        let is_fork = |offender: &str| offender.contains(", not movement");
        assert!(!findings.violations.iter().any(|violation| is_fork(&violation.offender)));
    }
}
