//! From where the admin logs are read: from the databases, or from the services over HTTP.
//!
//! A flag decides. Without one, the logs are read over HTTP if a variable names a service, and from
//! the databases otherwise, also if variables name those.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error, FromArgMatches};

use platform::config::UsageError;

/// The flags that name the databases.
const OF_DATABASES: [&str; 6] = [
    "data_dir",
    "orders_database_url",
    "orders_database_url_file",
    "inventory_database_url",
    "inventory_database_url_file",
    "config",
];
/// The flags that name the services.
const OF_SERVICES: [&str; 2] = ["url", "inventory_url"];
/// The flags of a connection to the services.
const OF_CONNECTION: [&str; 3] = ["key_file", "ca_file", "timeout"];

/// From where the logs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Databases,
    Services,
}

/// Which flags and variables name a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// The flags, as they are written.
    databases: Vec<String>,
    services: Vec<String>,
    connection: Vec<String>,
    /// Whether a variable names a service.
    variable: bool,
}

impl Named {
    fn by(matches: &ArgMatches) -> Self {
        let is = |name: &str, source| matches.value_source(name) == Some(source);
        let flags = |names: &[&str]| {
            let given = names.iter().filter(|name| is(name, ValueSource::CommandLine));
            given.map(|name| format!("--{}", name.replace('_', "-"))).collect()
        };
        Self {
            databases: flags(&OF_DATABASES),
            services: flags(&OF_SERVICES),
            connection: flags(&OF_CONNECTION),
            variable: OF_SERVICES.iter().any(|name| is(name, ValueSource::EnvVariable)),
        }
    }

    /// Chooses the source.
    ///
    /// # Errors
    ///
    /// The flags contradict each other.
    pub(super) fn source(&self) -> Result<Source, UsageError> {
        let Self { databases, services, connection, variable } = self;
        let of_services = services.first().or(connection.first());
        match (databases.first(), of_services) {
            (Some(database), Some(service)) => Err(UsageError(format!(
                "{database} and {service} exclude each other: the logs are read from the databases, or over HTTP"
            ))),
            (None, Some(flag)) if services.is_empty() && !variable => Err(UsageError(format!(
                "{flag} needs --url or LASTRO_URL: without an address, the databases are read"
            ))),
            (None, Some(_)) => Ok(Source::Services),
            (None, None) if *variable => Ok(Source::Services),
            (_, None) => Ok(Source::Databases),
        }
    }
}

impl FromArgMatches for Named {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self::by(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::by(matches);
        Ok(())
    }
}

/// Adds no arguments of its own.
impl clap::Args for Named {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(databases: &[&str], services: &[&str], connection: &[&str], variable: bool) -> Named {
        let [databases, services, connection] = [databases, services, connection]
            .map(|flags| flags.iter().map(|flag| (*flag).to_owned()).collect());
        Named { databases, services, connection, variable }
    }

    #[test]
    fn a_flag_decides_and_without_one_an_address_in_a_variable() {
        for variable in [false, true] {
            let by = |databases: &[&str], services: &[&str], connection: &[&str]| {
                named(databases, services, connection, variable).source().ok()
            };
            assert_eq!(by(&["--data-dir"], &[], &[]), Some(Source::Databases));
            assert_eq!(by(&[], &["--url"], &["--key-file"]), Some(Source::Services));
            assert_eq!(by(&["--config"], &["--url"], &[]), None);
            assert_eq!(by(&["--config"], &[], &["--key-file"]), None);
            let without = if variable { Source::Services } else { Source::Databases };
            assert_eq!(by(&[], &[], &[]), Some(without));
            let with_key = variable.then_some(Source::Services);
            assert_eq!(by(&[], &[], &["--key-file"]), with_key, "a key needs an address");
        }
    }
}
