//! The auditors inside the services, as their metrics show them, and damage for them to find.

use tokio_postgres::error::SqlState;

use super::{Deployment, data_in};
use crate::{PATIENCE, eventually, postgres, write_past};

/// Switches triggers off for the session, and drops every check of the schema. It gives up before
/// PostgreSQL looks for a deadlock (`deadlock_timeout`, 1 s), of which a reader of several tables
/// might be the victim.
const NO_PROTECTION: &str = "SET session_replication_role = replica;
     DO $$
     DECLARE found record;
     BEGIN
         PERFORM set_config('lock_timeout', '100ms', true);
         FOR found IN SELECT conrelid::regclass AS relation, conname FROM pg_constraint
                      WHERE contype = 'c' AND connamespace = current_schema()::regnamespace LOOP
             EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.relation, found.conname);
         END LOOP;
     END $$";

impl Deployment {
    /// The value of a metric, summed over all programs.
    pub async fn counted(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name} is not a number in\n{metrics}"))
    }

    /// Waits until every auditor has made a whole round that began after this call.
    pub async fn audited(&self) {
        let mut expected = Vec::new();
        for service in self.auditors() {
            let name = format!(r#"audit_rounds_total{{service="{service}"}}"#);
            // One round may be under way already, and each replica has its own auditor.
            let rounds = self.counted(&name).await + 2 * self.programs.addresses().0.len() as u64;
            expected.push((name, rounds));
        }
        for (name, rounds) in expected {
            eventually(4 * PATIENCE, &name, || async {
                (self.counted(&name).await >= rounds).then_some(())
            })
            .await;
        }
    }

    /// The services whose auditors have metrics.
    pub fn auditors(&self) -> &'static [&'static str] {
        if self.form.is_apart() {
            &["orders", "inventory"]
        } else {
            &["orders", "inventory", "lastro"]
        }
    }

    /// Each invariant with the service that audits it.
    pub fn audited_invariants(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("inventory", "INV-1"),
            ("inventory", "INV-2"),
            ("inventory", "INV-3"),
            ("orders", "INV-4"),
            ("lastro", "INV-5"),
            ("orders", "INV-7"),
            ("inventory", "INV-8"),
            ("orders", "INV-9"),
            ("orders", "INV-10"),
            ("inventory", "INV-10"),
            ("inventory", "INV-11"),
            ("orders", "INV-13"),
            ("inventory", "INV-13"),
        ];
        all.into_iter().filter(|(service, _)| self.auditors().contains(service)).collect()
    }

    /// Writes to a database past all of its protection while its service runs. `{name}` in `sql`
    /// stands for the id of an order. Returns how many rows were written.
    pub async fn write_past(&self, database: &str, sql: &str, names: &[(&str, &str)]) -> u64 {
        let id = |id: &str| match self.environment.databases {
            Some(_) => format!("'{id}'"),
            None => format!("x'{}'", id.replace('-', "")),
        };
        let sql = names
            .iter()
            .fold(sql.to_owned(), |sql, (name, its)| sql.replace(&format!("{{{name}}}"), &id(its)));
        match &self.environment.databases {
            None => write_past(&data_in(self.folder()).join(format!("{database}.db")), &sql),
            Some(databases) => {
                let url =
                    if database == "orders" { &databases.orders } else { &databases.inventory };
                let client = postgres(url).await;
                eventually(PATIENCE, "neither triggers nor checks", async || {
                    match client.batch_execute(NO_PROTECTION).await {
                        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => None,
                        Err(error) => panic!("{NO_PROTECTION}: {error}"),
                        Ok(()) => Some(()),
                    }
                })
                .await;
                let changed = client
                    .execute(&sql, &[])
                    .await
                    .unwrap_or_else(|error| panic!("{sql}: {error}"));
                assert!(changed > 0, "{sql} changes nothing");
                changed
            }
        }
    }
}
