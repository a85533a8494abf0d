//! The forms in which the two services run. Clients get the same behaviour from all of them.

/// Which programs a deployment consists of, and what joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `lastro`: one process, SQLite files, and a queue in memory between the services.
    Embedded,
    /// `lastro` with a broker between its services.
    Broker,
    /// `order-service` and `inventory-service`, each with a SQLite file, and a broker between them.
    Processes,
    /// `order-service` and `inventory-service`, each with a PostgreSQL database, and a broker
    /// between them.
    Postgres,
    /// Two replicas of each service on PostgreSQL.
    Replicas,
}

impl Form {
    /// The form that `LASTRO_TEST_FORM` names; [`Form::Embedded`] unless it is set.
    ///
    /// # Panics
    ///
    /// Panics if the variable names no form.
    pub fn under_test() -> Self {
        match std::env::var("LASTRO_TEST_FORM").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("broker") => Self::Broker,
            Ok("processes") => Self::Processes,
            Ok("postgres") => Self::Postgres,
            Ok("replicas") => Self::Replicas,
            Ok(other) => panic!(
                "LASTRO_TEST_FORM={other} must be embedded, broker, processes, postgres or replicas"
            ),
        }
    }

    /// Whether a broker joins the services.
    pub fn has_broker(self) -> bool {
        self != Self::Embedded
    }

    /// Whether the data lies in files.
    pub fn has_files(self) -> bool {
        !matches!(self, Self::Postgres | Self::Replicas)
    }

    /// Whether the services are separate processes.
    pub fn is_apart(self) -> bool {
        !matches!(self, Self::Embedded | Self::Broker)
    }

    /// The number of replicas of each program.
    pub fn replicas(self) -> usize {
        if self == Self::Replicas { 2 } else { 1 }
    }

    /// The number of programs in a deployment.
    pub fn programs(self) -> usize {
        if self.is_apart() { 2 * self.replicas() } else { 1 }
    }
}
