//! A row of `reservations`, whose packed columns have one form on both engines.
//!
//! `allocations` is
//! `[[product_no, location_no, promised, released, shipped, [movement_no, …]], …]`, and `shortages`
//! is `{"revision":1,"short":[["456",1,0,"out_of_stock",[[location_no, movement_no], …]], …]}`. A
//! short product has its id there, because it may be unknown. `returns` is
//! `[[product_no, "SHOP", restocked, quarantined, written_off, location_no, [movement_no, …]], …]`:
//! the location that the client named has its id, because it may be unknown; the other one is where
//! the units are booked.

use std::fmt::Display;

use contract::{
    Digest, LocationId, MAX_ALLOCATIONS, OrderId, ProductId, Quantity, Returned, ReturnedUnits,
    Revision, Shortage, ShortageReason,
};
use inventory_core::reservation::{
    Holding, Rejection, Reservation, ReturnedStock, Seen, Shortfall,
};
use platform::failure::Failure;
use serde::{Deserialize, Serialize};
use storage::Misfit;

use super::numbers::{LocationNo, Numbers, ProductNo};

/// The columns of a row, as they are stored.
pub(super) struct ReservationRow {
    pub(super) order_id: OrderId,
    pub(super) revision: i64,
    pub(super) digest: Digest,
    pub(super) allocations: String,
    pub(super) shortages: Option<String>,
    pub(super) returns: Option<String>,
    pub(super) created_at_micros: i64,
    pub(super) updated_at_micros: i64,
}

/// A row whose text was parsed, and whose products and locations are still numbers.
pub(super) struct PackedReservation {
    row: ReservationRow,
    holdings: Vec<PackedHolding>,
    rejection: Option<PackedRejection>,
    returns: Vec<PackedReturn>,
}

/// `[product_no, location_no, promised, released, shipped, [movement_no, …]]`
#[derive(Serialize, Deserialize)]
struct PackedHolding(ProductNo, LocationNo, i64, i64, i64, Vec<i64>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedRejection {
    revision: Revision,
    short: Vec<PackedShortfall>,
}

/// `[product_id, requested, available, reason, [[location_no, movement_no], …]]`
#[derive(Serialize, Deserialize)]
struct PackedShortfall(ProductId, Quantity, i64, ShortageReason, Vec<(LocationNo, i64)>);

/// `[product_no, location_id, restocked, quarantined, written_off, location_no, [movement_no, …]]`
#[derive(Serialize, Deserialize)]
struct PackedReturn(ProductNo, LocationId, u32, u32, u32, LocationNo, Vec<i64>);

/// What a row cannot mean.
fn misfit(order_id: OrderId, column: &'static str, value: impl Display) -> Misfit {
    Misfit::new("reservations", order_id, column, value)
}

impl ReservationRow {
    /// Parses the packed columns.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if a column was edited by hand or is damaged.
    pub(super) fn parse(self) -> Result<PackedReservation, Misfit> {
        let holdings = serde_json::from_str(&self.allocations)
            .map_err(|error| misfit(self.order_id, "allocations", error))?;
        let rejection = match &self.shortages {
            None => None,
            Some(text) => Some(
                serde_json::from_str(text)
                    .map_err(|error| misfit(self.order_id, "shortages", error))?,
            ),
        };
        let returns = match &self.returns {
            None => Vec::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| misfit(self.order_id, "returns", error))?,
        };
        Ok(PackedReservation { row: self, holdings, rejection, returns })
    }
}

impl PackedReservation {
    /// The products whose ids [`unpack`](Self::unpack) needs.
    pub(super) fn products(&self) -> impl Iterator<Item = ProductNo> + '_ {
        let returned = self.returns.iter().map(|returned| returned.0);
        self.holdings.iter().map(|holding| holding.0).chain(returned)
    }

    /// The locations whose ids [`unpack`](Self::unpack) needs.
    pub(super) fn locations(&self) -> impl Iterator<Item = LocationNo> + '_ {
        let short = self.rejection.iter().flat_map(|rejection| &rejection.short);
        let seen = short.flat_map(|short| short.4.iter().map(|(location, _)| *location));
        let booked = self.returns.iter().map(|returned| returned.5);
        self.holdings.iter().map(|holding| holding.1).chain(seen).chain(booked)
    }

    /// Puts ids in the place of numbers, and checks what the domain demands of a reservation.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the row was edited by hand or is damaged.
    pub(super) fn unpack(self, numbers: &Numbers) -> Result<Reservation, Misfit> {
        let Self { row, holdings, rejection, returns } = self;
        let order_id = row.order_id;
        let revision = u32::try_from(row.revision).ok().and_then(|n| Revision::try_from(n).ok());
        let revision = revision.ok_or_else(|| misfit(order_id, "revision", row.revision))?;
        let holdings: Vec<_> = holdings
            .into_iter()
            .map(|holding| named_holding(holding, numbers))
            .collect::<Result<_, _>>()
            .map_err(|why| misfit(order_id, "allocations", why))?;
        check_holdings(&holdings).map_err(|why| misfit(order_id, "allocations", why))?;
        let rejection = rejection
            .map(|packed| named_rejection(packed, revision, numbers))
            .transpose()
            .map_err(|why| misfit(order_id, "shortages", why))?;
        let returns =
            named_returns(returns, numbers).map_err(|why| misfit(order_id, "returns", why))?;
        Ok(Reservation {
            order_id,
            revision,
            digest: row.digest,
            holdings,
            rejection,
            returns,
            created_at_micros: row.created_at_micros,
            updated_at_micros: row.updated_at_micros,
        })
    }
}

fn named_holding(packed: PackedHolding, numbers: &Numbers) -> Result<Holding, String> {
    let PackedHolding(product, location, promised, released, shipped, movements) = packed;
    let product_id = numbers.product_id(product);
    let location_id = numbers.location_id(location);
    Ok(Holding {
        product_id: product_id.ok_or_else(|| format!("of the unknown product {product}"))?.clone(),
        location_id: location_id
            .ok_or_else(|| format!("at the unknown location {location}"))?
            .clone(),
        promised,
        released,
        shipped,
        movements,
    })
}

/// Whether these can be the holdings of an order. [`Reservation::facts`] relies on it.
fn check_holdings(holdings: &[Holding]) -> Result<(), &'static str> {
    let key = |holding: &Holding| (holding.product_id.clone(), holding.location_id.clone());
    let is_possible = |holding: &Holding| {
        holding.promised > 0
            && (0..=holding.promised).contains(&holding.released)
            && (0..=holding.allocated()).contains(&holding.shipped)
            && holding.allocated() <= i64::from(Quantity::MAX)
    };
    if holdings.len() > MAX_ALLOCATIONS {
        Err("longer than an order may have it")
    } else if !holdings.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
        Err("not sorted by product and location")
    } else if !holdings.iter().all(is_possible) {
        Err("of units that do not add up")
    } else if !holdings.iter().all(|holding| holding.movements.is_sorted_by(|a, b| a < b)) {
        Err("not sorted by movement")
    } else {
        Ok(())
    }
}

fn named_rejection(
    packed: PackedRejection,
    reached: Revision,
    numbers: &Numbers,
) -> Result<Rejection, String> {
    let PackedRejection { revision, short } = packed;
    if revision > reached {
        return Err(format!("of revision {revision}, which the order has not reached"));
    }
    if short.is_empty() {
        return Err("empty".to_owned());
    }
    if !short.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err("not sorted by product".to_owned());
    }
    let shortfalls = short.into_iter().map(|short| named_shortfall(short, numbers));
    Ok(Rejection { revision, shortfalls: shortfalls.collect::<Result<_, _>>()? })
}

fn named_shortfall(packed: PackedShortfall, numbers: &Numbers) -> Result<Shortfall, String> {
    let PackedShortfall(product_id, requested, available, reason, seen) = packed;
    let named = |(location, movement): (LocationNo, i64)| {
        let location_id = numbers.location_id(location);
        let location_id = location_id.ok_or_else(|| format!("at the unknown location {location}"));
        Ok(Seen { location_id: location_id?.clone(), movement })
    };
    Ok(Shortfall {
        shortage: Shortage { product_id, requested, available, reason },
        seen: seen.into_iter().map(named).collect::<Result<_, String>>()?,
    })
}

/// What came back, if it can be that of an order. [`Reservation::returned`] relies on it.
fn named_returns(
    packed: Vec<PackedReturn>,
    numbers: &Numbers,
) -> Result<Vec<ReturnedStock>, String> {
    let named = |packed: PackedReturn| {
        let PackedReturn(product, location_id, restocked, quarantined, written_off, at, movements) =
            packed;
        let product_id = numbers.product_id(product);
        let product_id = product_id.ok_or_else(|| format!("of the unknown product {product}"))?;
        let booked_at = numbers.location_id(at);
        let booked_at = booked_at.ok_or_else(|| format!("at the unknown location {at}"))?.clone();
        let product_id = product_id.clone();
        let units = ReturnedUnits { product_id, location_id, restocked, quarantined, written_off };
        Ok(ReturnedStock { units, booked_at, movements })
    };
    let returns: Vec<_> = packed.into_iter().map(named).collect::<Result<_, String>>()?;
    let units: Vec<_> = returns.iter().map(|found| found.units.clone()).collect();
    Returned::try_from(units).map_err(|bad| bad.to_string())?;
    if returns.iter().all(|found| found.movements.is_sorted_by(|a, b| a < b)) {
        Ok(returns)
    } else {
        Err("not sorted by movement".to_owned())
    }
}

/// The column `allocations` of a reservation.
///
/// # Errors
///
/// [`Failure::Suspect`] if a holding is of a product or location that the batch does not know.
pub(super) fn allocations_text(
    reservation: &Reservation,
    numbers: &Numbers,
) -> Result<String, Failure> {
    let packed = |holding: &Holding| {
        Ok(PackedHolding(
            numbers.product_no(&holding.product_id)?,
            numbers.location_no(&holding.location_id)?,
            holding.promised,
            holding.released,
            holding.shipped,
            holding.movements.clone(),
        ))
    };
    let holdings: Vec<_> =
        reservation.holdings.iter().map(packed).collect::<Result<_, Failure>>()?;
    Ok(serde_json::to_string(&holdings).expect("arrays of numbers are JSON"))
}

/// The column `returns` of a reservation, which is NULL unless something came back.
///
/// # Errors
///
/// [`Failure::Suspect`] if it is of a product or at a location that the batch does not know.
pub(super) fn returns_text(
    reservation: &Reservation,
    numbers: &Numbers,
) -> Result<Option<String>, Failure> {
    if reservation.returns.is_empty() {
        return Ok(None);
    }
    let packed = |found: &ReturnedStock| {
        let ReturnedUnits { product_id, location_id, restocked, quarantined, written_off } =
            &found.units;
        Ok(PackedReturn(
            numbers.product_no(product_id)?,
            location_id.clone(),
            *restocked,
            *quarantined,
            *written_off,
            numbers.location_no(&found.booked_at)?,
            found.movements.clone(),
        ))
    };
    let returns: Vec<_> = reservation.returns.iter().map(packed).collect::<Result<_, Failure>>()?;
    Ok(Some(serde_json::to_string(&returns).expect("arrays of numbers and ids are JSON")))
}

/// The column `shortages` of a reservation, which is NULL unless the order was ever short.
///
/// # Errors
///
/// [`Failure::Suspect`] if a shortage cites a location that the batch does not know.
pub(super) fn shortages_text(
    reservation: &Reservation,
    numbers: &Numbers,
) -> Result<Option<String>, Failure> {
    let Some(rejection) = &reservation.rejection else { return Ok(None) };
    let packed = |short: &Shortfall| {
        let seen = short.seen.iter();
        let seen = seen.map(|seen| Ok((numbers.location_no(&seen.location_id)?, seen.movement)));
        Ok(PackedShortfall(
            short.shortage.product_id.clone(),
            short.shortage.requested,
            short.shortage.available,
            short.shortage.reason,
            seen.collect::<Result<_, Failure>>()?,
        ))
    };
    let short = rejection.shortfalls.iter().map(packed).collect::<Result<_, Failure>>()?;
    let packed = PackedRejection { revision: rejection.revision, short };
    Ok(Some(serde_json::to_string(&packed).expect("its keys are strings")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        let mut numbers = Numbers::default();
        numbers.add_product(ProductNo(7), "456".parse().expect("an id"));
        numbers.add_product(ProductNo(3), "789".parse().expect("an id"));
        numbers.add_location(LocationNo(1), "main".parse().expect("an id"));
        numbers.add_location(LocationNo(2), "SHOP".parse().expect("an id"));
        numbers
    }

    fn read(allocations: &str, shortages: Option<&str>) -> Result<Reservation, String> {
        read_all(allocations, shortages, None)
    }

    fn read_all(
        allocations: &str,
        shortages: Option<&str>,
        returns: Option<&str>,
    ) -> Result<Reservation, String> {
        let row = ReservationRow {
            order_id: OrderId(uuid::Uuid::from_u128(1)),
            revision: 2,
            digest: Digest([1; 16]),
            allocations: allocations.to_owned(),
            shortages: shortages.map(str::to_owned),
            returns: returns.map(str::to_owned),
            created_at_micros: 1,
            updated_at_micros: 2,
        };
        let parsed = row.parse().and_then(|packed| packed.unpack(&numbers()));
        parsed.map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn what_is_packed_reads_back() {
        let allocations = "[[7,2,5,1,2,[8,9,12]],[7,1,1,0,0,[10]],[3,1,2,0,0,[11]]]";
        let shortages = r#"{"revision":1,"short":[["456",3,2,"out_of_stock",[[2,9],[1,8]]],["nowhere",1,0,"unknown_product",[]]]}"#;
        let reservation = read(allocations, Some(shortages)).expect("a reservation");
        assert_eq!(allocations_text(&reservation, &numbers()).expect("known"), allocations);
        let again = shortages_text(&reservation, &numbers()).expect("known");
        assert_eq!(again.as_deref(), Some(shortages));
        let returns = r#"[[7,"DEPOT",1,0,2,1,[13]],[7,"SHOP",0,1,0,2,[14,15]]]"#;
        let reservation = read_all(allocations, None, Some(returns)).expect("a reservation");
        let again = returns_text(&reservation, &numbers()).expect("known");
        assert_eq!(again.as_deref(), Some(returns));
        let plain = read("[]", None).expect("a tombstone");
        assert_eq!(shortages_text(&plain, &numbers()).expect("known"), None);
        assert_eq!(returns_text(&plain, &numbers()).expect("known"), None);
        // Reserved, released and reserved again.
        let often = "[[7,1,2000000,1000000,5,[8,9,12]]]";
        let reservation = read(often, None).expect("a reservation");
        assert_eq!(allocations_text(&reservation, &numbers()).expect("known"), often);
    }

    #[test]
    fn what_no_reservation_can_be_is_named() {
        for (allocations, why) in [
            ("[7]", "allocations is invalid type"),
            ("[[8,1,1,0,0,[1]]]", "of the unknown product 8"),
            ("[[7,9,1,0,0,[1]]]", "at the unknown location 9"),
            ("[[3,1,1,0,0,[1]],[7,1,1,0,0,[2]]]", "not sorted by product and location"),
            ("[[7,1,1,0,0,[1]],[7,1,1,0,0,[2]]]", "not sorted by product and location"),
            ("[[7,1,0,0,0,[1]]]", "units that do not add up"),
            ("[[7,1,1000001,0,0,[1]]]", "units that do not add up"),
            ("[[7,1,5,-1,0,[1]]]", "units that do not add up"),
            ("[[7,1,5,3,3,[1]]]", "units that do not add up"),
            ("[[7,1,5,0,0,[2,2]]]", "not sorted by movement"),
        ] {
            let message = read(allocations, None).expect_err(allocations);
            assert!(message.contains(why), "{allocations}: {message}");
        }
        for (shortages, why) in [
            ("7", "shortages is invalid type"),
            (r#"{"revision":1,"short":[]}"#, "shortages is empty"),
            (r#"{"revision":3,"short":[["456",1,0,"out_of_stock",[]]]}"#, "of revision 3"),
            (r#"{"revision":1,"short":[["456",1,0,"out_of_stock",[[9,1]]]]}"#, "location 9"),
            (r#"{"revision":1,"short":[["456",0,0,"out_of_stock",[]]]}"#, "quantity must be"),
            (r#"{"revision":1,"short":[["456",1,0,"lost",[]]]}"#, "unknown variant"),
        ] {
            let message = read("[]", Some(shortages)).expect_err(shortages);
            assert!(message.contains(why), "{shortages}: {message}");
        }
        for (returns, why) in [
            ("7", "returns is invalid type"),
            (r#"[[8,"SHOP",1,0,0,1,[1]]]"#, "of the unknown product 8"),
            (r#"[[7,"SHOP",1,0,0,9,[1]]]"#, "at the unknown location 9"),
            (r#"[[7,"?",1,0,0,1,[1]]]"#, "returns is"),
            (r#"[[7,"SHOP",0,0,0,1,[1]]]"#, "1 to 1000000 units"),
            (r#"[[7,"SHOP",-1,2,0,1,[1]]]"#, "invalid value"),
            (r#"[[7,"SHOP",1,0,0,1,[1]],[7,"SHOP",1,0,0,1,[2]]]"#, "must be sorted"),
            (r#"[[7,"SHOP",1,0,0,1,[2,2]]]"#, "not sorted by movement"),
        ] {
            let message = read_all("[]", None, Some(returns)).expect_err(returns);
            assert!(message.contains(why), "{returns}: {message}");
        }
    }
}
