//! The forms in which the two services run. All of them owe clients the same behaviour.

/// Which programs a deployment consists of, and what joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `lastro`: one process, SQLite files, and a queue in its memory between the services.
    Embedded,
    /// `lastro` with a broker between its services.
    Broker,
    /// `order-service` and `inventory-service`, each with a SQLite file, and a broker between them.
    Processes,
    /// The same on PostgreSQL.
    Postgres,
    /// Two replicas of each on PostgreSQL.
    Replicas,
}

impl Form {
    /// The form that `LASTRO_TEST_FORM` names; [`Form::Embedded`] unless it is set.
    ///
    /// # Panics
    ///
    /// If it names none of them.
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

    /// Whether the services are processes of their own.
    pub fn is_apart(self) -> bool {
        !matches!(self, Self::Embedded | Self::Broker)
    }

    /// How many programs there are of each kind.
    pub fn replicas(self) -> usize {
        if self == Self::Replicas { 2 } else { 1 }
    }

    /// How many programs a deployment consists of.
    pub fn programs(self) -> usize {
        if self.is_apart() { 2 * self.replicas() } else { 1 }
    }
}
