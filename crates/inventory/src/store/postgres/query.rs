//! Reads for requests, each of them on one snapshot.

use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use storage::journal;
use storage::postgres::{Parameter, Transaction};

use super::super::holders::HolderSearch;
use super::super::moved;
use super::super::numbers::Numbers;
use super::super::search_key::search_key;
use super::super::{HolderFilter, HolderPage, MovementFilter, ProductFilter, StockEntry};
use super::audit::{MOVEMENTS, stored};
use super::load::{LOCATIONS, levels_of, unpack, uuids};
use super::rows::{self, movement_columns, movement_names, product_columns, reservation_columns};

const LEVELS_OF: &str =
    "SELECT stock.product_no, location_id, on_hand, reserved, quarantined, last_seq, last_movement
     FROM stock LEFT JOIN locations ON locations.location_no = stock.location_no
     WHERE stock.product_no = ANY($1::integer[])";

pub(super) const RESERVATIONS: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id"
);

/// Every statement of this module, but for those of pages.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 3] = [LEVELS_OF, RESERVATIONS, journal::READ_POSTGRES];

pub(super) async fn product(
    snapshot: &Transaction<'_>,
    id: &ProductId,
) -> Result<Option<ProductStock>, Failure> {
    let filter =
        ProductFilter { ids: Some(vec![id.clone()]), limit: 1, ..ProductFilter::default() };
    Ok(products(snapshot, &filter).await?.pop())
}

/// Entries of the journal, each with its last movement.
pub(super) async fn made(
    snapshot: &Transaction<'_>,
    from: Position,
    limit: u32,
) -> Result<Vec<Recorded<StockEntry>>, Failure> {
    let entries = journal::read_postgres(snapshot, from, limit, moved::unpack).await?;
    let rows = snapshot.query(MOVEMENTS, [&moved::numbers(&entries)]).await?;
    let movement = |row| stored(rows::column(row, "movement_no")?, rows::movement(row));
    let movements = rows.iter().map(movement).collect::<Result<_, Failure>>()?;
    Ok(moved::entries(entries, movements))
}

pub(super) async fn locations(snapshot: &Transaction<'_>) -> Result<Vec<Location>, Failure> {
    let rows = snapshot.query(LOCATIONS, []).await?;
    rows.iter().map(|row| rows::location(row).map(|(_, location)| location)).collect()
}

pub(super) async fn reservation(
    snapshot: &Transaction<'_>,
    order_id: OrderId,
) -> Result<Option<Reservation>, Failure> {
    let rows = snapshot.query(RESERVATIONS, [&uuids(&[order_id])]).await?;
    Ok(unpack(snapshot, &rows, &mut Numbers::default()).await?.pop())
}

pub(super) async fn products(
    snapshot: &Transaction<'_>,
    filter: &ProductFilter,
) -> Result<Vec<ProductStock>, Failure> {
    let limit = i64::from(filter.limit);
    let after = filter.after.as_ref().map(|id| id.as_str());
    let sought = filter.text.as_ref().map(|text| search_key(text));
    let ids: Option<Vec<&str>> =
        filter.ids.as_ref().map(|ids| ids.iter().map(|id| id.as_str()).collect());
    let mut values: Vec<Parameter<'_>> = vec![&limit];
    values.extend(after.iter().map(|value| value as Parameter<'_>));
    values.extend(sought.iter().map(|value| value as Parameter<'_>));
    values.extend(ids.iter().map(|value| value as Parameter<'_>));
    let sql = product_page(after.is_some(), sought.is_some(), ids.is_some(), filter.low_stock);
    let found = snapshot.query_with(&sql, &values).await?;
    let found: Vec<_> = found.iter().map(rows::product).collect::<Result<_, _>>()?;
    let numbers: Vec<i32> = found.iter().map(|(number, _)| number.0).collect();
    let mut levels = levels_of(&snapshot.query(LEVELS_OF, [&numbers]).await?)?;
    let mut page = Vec::with_capacity(found.len());
    for (number, product) in found {
        page.push(ProductStock { product, levels: levels.remove(&number).unwrap_or_default() });
    }
    Ok(page)
}

/// The statement of a page. Each of the first three conditions takes a parameter, in this order,
/// from the second on.
pub(super) fn product_page(after: bool, sought: bool, ids: bool, low_stock: bool) -> String {
    let mut sql = concat!("SELECT ", product_columns!(), " FROM products WHERE true").to_owned();
    let conditions = [
        (after, "product_id > $#"),
        // Without LIKE, in which some characters would have a meaning of their own.
        (sought, "(strpos(lower(product_id), $#) = 1 OR strpos(search_name, $#) > 0)"),
        (ids, "product_id = ANY($#::text[])"),
    ];
    let wanted =
        conditions.into_iter().filter_map(|(wanted, condition)| wanted.then_some(condition));
    for (number, condition) in (2..).zip(wanted) {
        sql.push_str(&format!(" AND {}", condition.replace('#', &format!("{number}"))));
    }
    if low_stock {
        sql.push_str(
            " AND low_stock_at IS NOT NULL
              AND (SELECT coalesce(sum(on_hand - reserved - quarantined), 0) FROM stock
                   WHERE stock.product_no = products.product_no) <= low_stock_at",
        );
    }
    sql + " ORDER BY product_id LIMIT $1"
}

/// Follows the chain of the ledger: one look-up per movement, in one statement.
pub(super) async fn movements(
    snapshot: &Transaction<'_>,
    filter: &MovementFilter,
) -> Result<Vec<Movement>, Failure> {
    let limit = i64::from(filter.limit);
    let product = filter.product_id.as_str();
    let location = filter.location_id.as_ref().map(|id| id.as_str());
    let mut values: Vec<Parameter<'_>> = vec![&limit];
    match &filter.from {
        Some(from) => values.push(from),
        None => {
            values.push(&product);
            values.extend(location.iter().map(|value| value as Parameter<'_>));
        }
    }
    let sql = movement_page(location.is_some(), filter.from.is_some());
    let rows = snapshot.query_with(&sql, &values).await?;
    let page = rows.iter().map(rows::movement).collect::<Result<_, _>>()?;
    Ok(filter.checked(page)?)
}

/// The orders that hold a product: two look-ups per movement, back to the oldest holder.
pub(super) async fn holders(
    snapshot: &Transaction<'_>,
    filter: HolderFilter,
) -> Result<Option<HolderPage>, Failure> {
    let Some(stock) = product(snapshot, &filter.product_id).await? else { return Ok(None) };
    let mut search = HolderSearch::new(filter, &stock.levels);
    let mut numbers = Numbers::default();
    while let Some(asked) = search.movements() {
        let movements = movements(snapshot, &asked).await?;
        let orders = uuids(&HolderSearch::orders(&movements));
        let rows = snapshot.query(RESERVATIONS, [&orders]).await?;
        let found = unpack(snapshot, &rows, &mut numbers).await?;
        let reservations = found.into_iter().map(|found| (found.order_id, found)).collect();
        search.take(&asked, &movements, &reservations);
    }
    Ok(Some(search.finish()))
}

/// The statement of a page, which begins at a number, or at the newest movement, which the stock
/// rows know. Each step looks one movement up: a planner that has not seen the table grow yet would
/// rather read it whole.
pub(super) fn movement_page(one_location: bool, from: bool) -> String {
    let first = match (from, one_location) {
        (true, _) => "$2::bigint",
        (false, false) => {
            "(SELECT max(last_movement) FROM stock JOIN products USING (product_no) WHERE product_id = $2)"
        }
        (false, true) => {
            "(SELECT last_movement FROM stock JOIN products USING (product_no) JOIN locations USING (location_no)
              WHERE product_id = $2 AND location_id = $3)"
        }
    };
    let next = if one_location { "previous" } else { "previous_of_product" };
    let columns = movement_columns!();
    let names = movement_names!();
    format!(
        "WITH RECURSIVE page AS (
             SELECT movements.*, 1::bigint AS place FROM movements WHERE movement_no = {first}
             UNION ALL
             SELECT next.*, page.place + 1 FROM page CROSS JOIN LATERAL
                 (SELECT * FROM movements WHERE movement_no = page.{next} LIMIT 1) AS next
             WHERE page.place < $1
         )
         SELECT {columns} FROM page AS movements {names} ORDER BY movements.place"
    )
}
