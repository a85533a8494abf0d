//! What the roles of a service may do with its database, and who such a role must not be.

use std::collections::BTreeSet;
use std::fmt::Write;

use tokio_postgres::Error;

use super::connection::Connection;
use super::migrate::Schema;

/// A table of a service: what the service does with it, and whether an audit reads it.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub(super) name: &'static str,
    reads: bool,
    inserts: bool,
    updates: &'static [&'static str],
    deletes: bool,
    audited: bool,
}

impl Table {
    /// A view for people: no role of the service uses it.
    pub const fn for_people(name: &'static str) -> Self {
        Self { name, reads: false, inserts: false, updates: &[], deletes: false, audited: false }
    }

    /// A table that the service only reads.
    pub const fn read(name: &'static str) -> Self {
        Self { reads: true, ..Self::for_people(name) }
    }

    /// A table that the service reads and adds rows to.
    pub const fn appended(name: &'static str) -> Self {
        Self { inserts: true, ..Self::read(name) }
    }

    /// The service also changes these columns. To lock a row takes the right to change one of its
    /// columns.
    #[must_use]
    pub const fn updated(self, columns: &'static [&'static str]) -> Self {
        Self { updates: columns, ..self }
    }

    /// The service also deletes rows.
    #[must_use]
    pub const fn deleted(self) -> Self {
        Self { deletes: true, ..self }
    }

    /// An audit (`lastro verify`) reads the table.
    #[must_use]
    pub const fn audited(self) -> Self {
        Self { audited: true, ..self }
    }
}

/// The table of the migrations. Both roles read which version the schema has.
pub(super) const SCHEMA_MIGRATIONS: Table = Table::read("schema_migrations").audited();

/// The roles that get their privileges with a migration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roles<'a> {
    /// That of the service.
    pub service: Option<&'a str>,
    /// That of an audit, which only reads.
    pub reader: Option<&'a str>,
}

impl<'a> Roles<'a> {
    pub(super) fn each(self) -> impl Iterator<Item = Role<'a>> {
        let of = |name: Option<&'a str>, writes| name.map(|name| Role { name, writes });
        of(self.service, true).into_iter().chain(of(self.reader, false))
    }
}

/// A role and what it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role<'a> {
    name: &'a str,
    /// It is that of the service, and not that of an audit.
    writes: bool,
}

impl Role<'_> {
    /// The statements that give the role its privileges and take away all others that the owner has
    /// given it.
    pub(super) fn grants(self, schema: &Schema, home: &str, sequences: &[String]) -> String {
        let (role, home) = (quoted(self.name), quoted(home));
        let names: Vec<_> = schema.tables().map(|table| table.name).collect();
        let mut sql = format!("REVOKE ALL ON {} FROM {role};", names.join(", "));
        let mut add = |line: String| sql.write_str(&line).expect("a string takes everything");
        add(format!("GRANT USAGE ON SCHEMA {home} TO {role};"));
        if !sequences.is_empty() {
            add(format!("REVOKE ALL ON SEQUENCE {} FROM {role};", sequences.join(", ")));
        }
        if !schema.sequences.is_empty() && self.writes {
            let drawn = schema.sequences.join(", ");
            add(format!("GRANT USAGE ON SEQUENCE {drawn} TO {role};"));
        }
        for table in schema.tables() {
            let name = table.name;
            for privilege in ["SELECT", "INSERT", "DELETE"] {
                if self.may(privilege, &table, "") {
                    add(format!("GRANT {privilege} ON {name} TO {role};"));
                }
            }
            if self.writes && !table.updates.is_empty() {
                let columns = table.updates.join(", ");
                add(format!("GRANT UPDATE ({columns}) ON {name} TO {role};"));
            }
        }
        sql
    }

    /// Whether the role needs a privilege on a table; for `UPDATE`, on a column of it.
    fn may(self, privilege: &str, table: &Table, column: &str) -> bool {
        match privilege {
            "SELECT" if self.writes => table.reads,
            "SELECT" => table.audited,
            "INSERT" => self.writes && table.inserts,
            "UPDATE" => self.writes && table.updates.contains(&column),
            "DELETE" => self.writes && table.deletes,
            _ => false,
        }
    }

    /// Why the role cannot be kept to its privileges, whatever they are. `None` if it can.
    pub(super) async fn unfit(
        self,
        connection: &Connection,
        schema: &Schema,
    ) -> Result<Option<String>, Error> {
        let name = self.name;
        let tables: Vec<_> = schema.tables().map(|table| table.name).collect();
        let rows = connection.query(MIGHT, &[&name, &tables]).await?;
        let Some(row) = rows.first() else {
            let create = format!("CREATE ROLE {} LOGIN PASSWORD '…'", quoted(name));
            return Ok(Some(format!("there is no role {name:?}; create it: {create}")));
        };
        let (attribute, group): (Option<&str>, Option<&str>) =
            (row.get("attribute"), row.get("group"));
        Ok(match (attribute, group) {
            (Some(attribute), _) => Some(format!(
                "the role {name:?} has {attribute} and so could take every right; use a role \
                 without it"
            )),
            (None, Some(owner)) if owner == name => Some(format!(
                "the role {name:?} owns the tables, their schema or the database; use a role that \
                 owns nothing"
            )),
            (None, Some(group)) => Some(format!(
                "the role {name:?} is a member of {group:?} and so could take its rights; use a \
                 role that is not"
            )),
            (None, None) => None,
        })
    }

    /// Which privileges the role has beside those that it needs, from other roles or as everybody
    /// has them. `None` if it has no others.
    pub(super) async fn excess(
        self,
        connection: &Connection,
        schema: &Schema,
        sequences: &[String],
    ) -> Result<Option<String>, Error> {
        let name = self.name;
        let tables: Vec<_> = schema.tables().map(|table| table.name).collect();
        let rows = connection.query(HELD, &[&name, &tables, &sequences]).await?;
        let excess: BTreeSet<_> = rows
            .iter()
            .filter(|row| {
                let (privilege, relation): (&str, &str) =
                    (row.get("privilege"), row.get("relation"));
                match schema.tables().find(|table| table.name == relation) {
                    Some(table) => !self.may(privilege, &table, row.get("column")),
                    // A sequence, or the schema.
                    None => {
                        let is_drawn = schema.sequences.contains(&relation);
                        !(self.writes && is_drawn && privilege == "USAGE")
                    }
                }
            })
            .map(|row| {
                format!("{} on {}", row.get::<_, &str>("privilege"), row.get::<_, &str>("relation"))
            })
            .collect();
        Ok((!excess.is_empty()).then(|| {
            format!(
                "the role {name:?} may do more than it needs: {}; revoke that from PUBLIC, and from \
                 the roles that {name:?} is a member of",
                excess.into_iter().collect::<Vec<_>>().join(", ")
            )
        }))
    }
}

/// All sequences of a schema: those that the service draws from, and those behind columns, which
/// take no privilege to be drawn from.
pub(super) async fn sequences(
    connection: &Connection,
    schema: &Schema,
) -> Result<Vec<String>, Error> {
    let tables: Vec<_> = schema.tables().map(|table| table.name).collect();
    let of_columns = connection.query(SEQUENCES_OF_COLUMNS, &[&tables]).await?;
    let drawn = schema.sequences.iter().map(|name| (*name).to_owned());
    Ok(drawn.chain(of_columns.iter().map(|row| row.get("name"))).collect())
}

const SEQUENCES_OF_COLUMNS: &str = "SELECT DISTINCT pg_class.oid::regclass::text AS name
    FROM pg_class JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = pg_class.oid
    WHERE relkind = 'S' AND refclassid = 'pg_class'::regclass
          AND refobjid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)";

/// What a role is, beside its privileges on tables.
const MIGHT: &str = "SELECT
       CASE WHEN rolsuper THEN 'SUPERUSER' WHEN rolcreaterole THEN 'CREATEROLE'
            WHEN rolreplication THEN 'REPLICATION' END AS attribute,
       (SELECT other.rolname::text FROM pg_roles AS other
        WHERE pg_has_role(me.oid, other.oid, 'MEMBER')
              AND (other.oid <> me.oid AND (other.rolsuper OR other.rolcreaterole OR other.rolreplication)
                   OR other.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
                   OR other.oid IN (SELECT relowner FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM unnest($2::text[]) AS name)
                                    UNION SELECT nspowner FROM pg_namespace WHERE nspname = current_schema()
                                    UNION SELECT datdba FROM pg_database WHERE datname = current_database()))
        ORDER BY other.oid <> me.oid, other.rolname LIMIT 1) AS \"group\"
    FROM pg_roles AS me WHERE rolname = $1::text";

/// Every privilege on these tables, sequences and their schema that a role has, or that it could
/// take from a role that it is a member of, whoever gave it.
const HELD: &str = "WITH holder AS (SELECT rolname AS name FROM pg_roles WHERE pg_has_role($1::text::name, oid, 'MEMBER'))
    SELECT relation, privilege, '' AS \"column\"
    FROM holder, unnest($2::text[]) AS relation, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
    WHERE has_table_privilege(holder.name, to_regclass(relation), privilege)
    UNION SELECT relation, privilege, attname::text
    FROM holder, unnest($2::text[]) AS relation
         JOIN pg_attribute ON attrelid = to_regclass(relation) AND attnum > 0 AND NOT attisdropped,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
    WHERE has_column_privilege(holder.name, attrelid, attnum, privilege)
    UNION SELECT relation, privilege, ''
    FROM holder, unnest($3::text[]) AS relation, unnest(ARRAY['SELECT', 'UPDATE', 'USAGE']) AS privilege
    WHERE has_sequence_privilege(holder.name, to_regclass(relation), privilege)
    UNION SELECT 'the schema ' || current_schema(), 'CREATE', ''
    FROM holder WHERE has_schema_privilege(holder.name, current_schema(), 'CREATE')";

/// The name of a role or of a schema in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
