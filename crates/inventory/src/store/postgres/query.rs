//! Reads for requests, each of them on one snapshot.

use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, Product, ProductStock};
use platform::failure::Failure;
use storage::postgres::{Parameter, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{MovementFilter, ProductFilter};
use super::load::{ALLOCATIONS, LEVELS, LOCATIONS, levels_of};
use super::rows::{self, movement_columns, product_columns, reservation_columns};

const RESERVATIONS: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id"
);

/// Every statement of this module, but for those of pages.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 1] = [RESERVATIONS];

pub(super) async fn product(
    snapshot: &Transaction<'_>,
    id: &ProductId,
) -> Result<Option<ProductStock>, Failure> {
    let filter =
        ProductFilter { ids: Some(vec![id.clone()]), limit: 1, ..ProductFilter::default() };
    Ok(products(snapshot, &filter).await?.pop())
}

pub(super) async fn locations(snapshot: &Transaction<'_>) -> Result<Vec<Location>, Failure> {
    snapshot.query(LOCATIONS, []).await?.iter().map(rows::location).collect()
}

pub(super) async fn products(
    snapshot: &Transaction<'_>,
    filter: &ProductFilter,
) -> Result<Vec<ProductStock>, Failure> {
    let limit = i64::from(filter.limit);
    let after = filter.after.as_ref().map(|id| id.as_str());
    let sought = filter.text.as_ref().map(|text| text.to_lowercase());
    let ids: Option<Vec<&str>> =
        filter.ids.as_ref().map(|ids| ids.iter().map(|id| id.as_str()).collect());
    let mut values: Vec<Parameter<'_>> = vec![&limit];
    values.extend(after.iter().map(|value| value as Parameter<'_>));
    values.extend(sought.iter().map(|value| value as Parameter<'_>));
    values.extend(ids.iter().map(|value| value as Parameter<'_>));
    let sql = product_page(after.is_some(), sought.is_some(), ids.is_some(), filter.low_stock);
    let found = snapshot.query_with(&sql, &values).await?;
    let found: Vec<Product> = found.iter().map(rows::product).collect::<Result<_, _>>()?;
    let ids: Vec<&str> = found.iter().map(|product| product.product_id.as_str()).collect();
    let mut levels = levels_of(&snapshot.query(LEVELS, [&ids]).await?)?;
    let with_levels = |product: Product| {
        let levels = levels.remove(product.product_id.as_str()).unwrap_or_default();
        ProductStock { product, levels }
    };
    Ok(found.into_iter().map(with_levels).collect())
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
            " AND (SELECT coalesce(sum(on_hand - reserved), 0) FROM stock
                   WHERE stock.product_id = products.product_id) <= low_stock_at",
        );
    }
    sql + " ORDER BY product_id LIMIT $1"
}

pub(super) async fn movements(
    snapshot: &Transaction<'_>,
    filter: &MovementFilter,
) -> Result<Vec<Movement>, Failure> {
    let (limit, product) = (i64::from(filter.limit), filter.product_id.as_str());
    let location = filter.location_id.as_ref().map(|id| id.as_str());
    let (before, before_location) =
        (filter.before.as_ref(), filter.before.as_ref().map(|at| at.location_id.as_str()));
    let mut values: Vec<Parameter<'_>> = vec![&limit, &product];
    values.extend(location.iter().map(|value| value as Parameter<'_>));
    if let (Some(before), Some(at)) = (before, &before_location) {
        match location {
            Some(_) => values.push(&before.seq),
            None => values.extend([&before.created_at_micros as Parameter<'_>, at, &before.seq]),
        }
    }
    let rows: Vec<Row> =
        snapshot.query_with(&movement_page(location.is_some(), before.is_some()), &values).await?;
    rows.iter().map(rows::movement).collect()
}

/// The statement of a page. Of one location the ledger's numbers are followed, of all of them the
/// time.
pub(super) fn movement_page(one_location: bool, before: bool) -> String {
    let (place, position, order) = if one_location {
        (" AND location_id = $3", " AND seq < $4", "seq DESC")
    } else {
        let position = " AND (created_at, location_id, seq) < ($3::bigint, $4::text, $5::bigint)";
        ("", position, "created_at DESC, location_id DESC, seq DESC")
    };
    let position = if before { position } else { "" };
    let columns = movement_columns!();
    format!(
        "SELECT {columns} FROM movements WHERE product_id = $2{place}{position} ORDER BY {order} LIMIT $1"
    )
}

pub(super) async fn reservations(
    snapshot: &Transaction<'_>,
    order_ids: &[OrderId],
) -> Result<Vec<Reservation>, Failure> {
    let ids: Vec<Uuid> = order_ids.iter().map(|id| id.0).collect();
    let rows = snapshot.query(RESERVATIONS, [&ids]).await?;
    complete(snapshot, &rows).await
}

/// These reservations with their allocations.
pub(super) async fn complete(
    snapshot: &Transaction<'_>,
    rows: &[Row],
) -> Result<Vec<Reservation>, Failure> {
    let ids: Vec<Uuid> =
        rows.iter().map(|row| rows::column(row, "order_id")).collect::<Result<_, _>>()?;
    rows::reservations(rows, &snapshot.query(ALLOCATIONS, [&ids]).await?)
}
