//! A value that a schema allows and the domain does not.

use std::fmt::Display;

use platform::failure::Failure;
use rusqlite::types::Type;

/// What a row says that it cannot mean: somebody wrote into the table, or it is damaged.
#[derive(Debug, thiserror::Error)]
#[error("{table} {row}: {column} is {value}")]
pub struct Misfit {
    table: &'static str,
    row: String,
    column: &'static str,
    value: String,
}

impl Misfit {
    /// `row` is what people call it.
    pub fn new(
        table: &'static str,
        row: impl Display,
        column: &'static str,
        value: impl Display,
    ) -> Self {
        Self { table, row: row.to_string(), column, value: value.to_string() }
    }
}

impl From<Misfit> for Failure {
    fn from(misfit: Misfit) -> Self {
        Self::suspect(misfit)
    }
}

impl From<Misfit> for rusqlite::Error {
    fn from(misfit: Misfit) -> Self {
        Self::FromSqlConversionFailure(0, Type::Text, Box::new(misfit))
    }
}
