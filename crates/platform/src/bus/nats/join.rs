//! Joining a channel at the start: a service whose place belongs to another database is refused
//! (R31).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::access::{Access, AccessFiles};
use super::address::Address;
use super::declare::{self, Misfit, Owners};
use super::signature::Signatures;
use super::{ACK_WAIT, Nats, WATCH_PERIOD};
use crate::config::UsageError;
use crate::failure::{Chain, Failure};
use crate::pairing::Pairing;
use crate::telemetry::Metrics;

/// How long a start waits for the broker. One that is away is joined later.
const JOIN_WAIT: Duration = Duration::from_secs(1);
/// How often it is checked whether the broker is there.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A broker, the channel that a deployment uses there, and how a service gets in.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) address: Address,
    pub(super) access: Access,
    pub(super) signatures: Arc<Signatures>,
}

/// The channels of one service.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// The one that it receives from. It owns its stream and consumer.
    pub receives: &'a str,
    /// The one that it publishes to, which belongs to the other service.
    pub sends: &'a str,
}

/// Why a service cannot join its channel, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The channel belongs to another database, or the peer's is another.
    #[error("{0}")]
    OtherDeployment(String),
    /// The database was used on the same channel before, and somewhere else.
    #[error(
        "the {service} database was copied or moved since it was used on the channel {channel}; give a copy a channel of its own (nats://…?channel=NAME), or start once with --replace-peer if no other {service} service uses the original"
    )]
    Copied {
        /// The service.
        service: &'static str,
        /// The channel.
        channel: String,
    },
    /// The service's own database failed. The caller may start again.
    #[error("the {service} database does not tell whom it belongs to: {}", Chain(.source))]
    Database {
        /// The service.
        service: &'static str,
        /// What happened.
        source: Failure,
    },
    /// The broker refuses the service, or is not the broker that the settings name.
    #[error("{0}")]
    Refused(String),
    /// The address or the credentials cannot be used.
    #[error(transparent)]
    Address(#[from] UsageError),
}

impl Broker {
    /// Parses a URL: a comma-separated list of addresses, after which `?replicas=3` makes three
    /// servers of a cluster keep each stream, and `?channel=NAME` separates this deployment from
    /// others on the same broker. Checks the files that secure the connection.
    ///
    /// # Errors
    ///
    /// Returns an error if `url` is malformed, or a file cannot be used.
    pub fn at(url: &str, files: AccessFiles) -> Result<Self, UsageError> {
        let address = Address::parse(url)?;
        let access = files.check(&address)?;
        Ok(Self { address, access, signatures: Arc::new(Signatures::none()) })
    }

    /// Signs the messages of the service that joins, and looks at the signatures of the other's.
    #[must_use]
    pub fn signing(self, signatures: Signatures) -> Self {
        Self { signatures: Arc::new(signatures), ..self }
    }

    /// Connects a service to the channels that it uses. Its consumers are named `service`, so that
    /// its replicas share them.
    ///
    /// A broker that is away is not an error: the connection is attempted for as long as the result
    /// lives. A broker that refuses the service is one: somebody has to change a setting. Until the
    /// broker is there, nobody can tell whose the channel is; afterwards nothing is sent or received
    /// if it is another deployment's.
    ///
    /// With `takes_over`, the channels belong to this database from now on, and what is left in the
    /// one that it receives from is deleted: the senders repeat what is still needed (R7). A service
    /// that begins anew has forgotten its peer before.
    ///
    /// # Errors
    ///
    /// [`JoinError`]; only for a failure of the database is it worth trying again.
    pub async fn join(
        self,
        service: &str,
        pairing: Arc<Pairing>,
        channels: Channels<'_>,
        metrics: Metrics,
        takes_over: bool,
    ) -> Result<Nats, JoinError> {
        let own = pairing.names().own;
        let failed = |source| JoinError::Database { service: own, source };
        let channel = self.address.channel.clone();
        if !pairing.use_on(&channel).await.map_err(failed)? {
            return Err(JoinError::Copied { service: own, channel });
        }
        self.signatures.log();
        let nats = Nats::connect(self, service, pairing, metrics, ACK_WAIT, WATCH_PERIOD).await?;
        let Channels { receives, sends } = channels;
        for channel in [receives, sends] {
            let known = nats.channel(&nats.subject(channel));
            let mut known = known.lock().await;
            known.is_received = channel == receives;
            known.is_to_take_over = takes_over;
        }
        match timeout(JOIN_WAIT, nats.claim([receives, sends], takes_over)).await {
            Ok(Err(misfit @ (Misfit::Taken { .. } | Misfit::OtherPeer { .. }))) => {
                Err(JoinError::OtherDeployment(misfit.to_string()))
            }
            // Whatever else is wrong is noted when the channel is used.
            Ok(_) => Ok(nats),
            Err(_) => match nats.refusal.line().filter(|_| nats.reachable().is_err()) {
                Some(line) => Err(JoinError::Refused(line)),
                None => Ok(nats),
            },
        }
    }
}

impl Nats {
    /// Waits for the broker, and checks that the streams of these channels belong to the service's
    /// deployment, or takes them over.
    async fn claim(&self, channels: [&str; 2], takes_over: bool) -> Result<(), Misfit> {
        while self.reachable().is_err() {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        for channel in channels {
            let subject = self.subject(channel);
            if takes_over {
                // What fails now is done at the next inspection.
                let _ = self.need_stream(&subject).await;
                continue;
            }
            let name = declare::stream_name(&subject);
            if let Some(found) = declare::find_stream(&self.context, &name).await? {
                let demands_signatures = self.signatures.demanded();
                Owners::judge(&found.config, &self.pairing, demands_signatures).await?;
            }
        }
        Ok(())
    }
}
