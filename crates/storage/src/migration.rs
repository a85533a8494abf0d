//! The steps of a schema: SQL that is embedded in the program. The database records each applied
//! step with its checksum.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// One step of a schema. A released step is never edited; new ones expand the schema and later ones
/// contract it.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The position among the steps, from 1.
    pub number: i64,
    /// The statements.
    pub sql: &'static str,
}

/// The checksums of the steps that were applied to a database, by number.
pub(crate) type Applied = BTreeMap<i64, Vec<u8>>;

/// Why a program cannot use a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaMismatch {
    /// Steps were applied that the program does not know.
    Newer { found: i64, known: i64 },
    /// A step differs from the one that was applied.
    Changed { number: i64 },
}

impl Migration {
    pub(crate) fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql.as_bytes()).to_vec()
    }
}

/// Returns the steps that are not applied yet, oldest first.
///
/// # Errors
///
/// Returns an error if an applied step differs from the program's, or if more than `ahead` steps
/// were applied that the program does not know. The database must then be left alone.
pub(crate) fn missing<'a>(
    migrations: &'a [Migration],
    applied: &Applied,
    ahead: i64,
) -> Result<Vec<&'a Migration>, SchemaMismatch> {
    let known = migrations.iter().map(|migration| migration.number).max().unwrap_or(0);
    let found = applied.keys().copied().max().unwrap_or(0);
    if found > known + ahead {
        return Err(SchemaMismatch::Newer { found, known });
    }
    let mut missing = Vec::new();
    for migration in migrations {
        match applied.get(&migration.number) {
            Some(checksum) if *checksum == migration.checksum() => {}
            Some(_) => return Err(SchemaMismatch::Changed { number: migration.number }),
            None => missing.push(migration),
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Migration; 2] =
        [Migration { number: 1, sql: "one" }, Migration { number: 2, sql: "two" }];

    fn numbers(applied: &Applied, ahead: i64) -> Result<Vec<i64>, SchemaMismatch> {
        missing(&STEPS, applied, ahead).map(|steps| steps.iter().map(|step| step.number).collect())
    }

    #[test]
    fn what_a_database_has_not_done_yet_is_to_be_done() {
        let first = Applied::from([(1, STEPS[0].checksum())]);
        let both = Applied::from([(1, STEPS[0].checksum()), (2, STEPS[1].checksum())]);
        assert_eq!(numbers(&Applied::new(), 0), Ok(vec![1, 2]));
        assert_eq!(numbers(&first, 0), Ok(vec![2]));
        assert_eq!(numbers(&both, 0), Ok(vec![]));
    }

    #[test]
    fn a_database_that_went_another_way_or_too_far_is_left_alone() {
        let other = Applied::from([(1, STEPS[1].checksum())]);
        assert_eq!(numbers(&other, 0), Err(SchemaMismatch::Changed { number: 1 }));
        let newer =
            Applied::from([(1, STEPS[0].checksum()), (2, STEPS[1].checksum()), (3, vec![0])]);
        assert_eq!(numbers(&newer, 0), Err(SchemaMismatch::Newer { found: 3, known: 2 }));
        assert_eq!(numbers(&newer, 1), Ok(vec![]));
    }
}
