//! A stored value that the schema allows and the domain does not.

use std::fmt::Display;

use platform::failure::Failure;
use rusqlite::types::Type;

/// A column whose value the domain does not allow: the table was edited by hand, or is damaged.
#[derive(Debug, thiserror::Error)]
#[error("{table} {row}: {column} is {value}")]
pub struct Misfit {
    table: &'static str,
    row: String,
    column: &'static str,
    value: String,
}

impl Misfit {
    /// Describes the value. `row` is what an operator calls the row.
    pub fn new(
        table: &'static str,
        row: impl Display,
        column: &'static str,
        value: impl Display,
    ) -> Self {
        Self { table, row: row.to_string(), column, value: value.to_string() }
    }

    /// What an operator calls the row.
    pub fn row(&self) -> &str {
        &self.row
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
