//! Declares a channel at the broker: creates its stream and consumer if they are missing, compares
//! them with what is needed, and repairs them where that is possible.
//!
//! The comparison is needed because an operator may change either at any time, and because an older
//! broker silently ignores settings that it does not know.

use std::error::Error;
use std::fmt;

use crate::pairing::DatabaseId;

pub(super) use consumer::consumer;
#[cfg(test)]
pub(super) use consumer::is_needed as is_needed_consumer;
pub(super) use owners::Owners;
pub(super) use stream::{NeededStream, delete as delete_stream, find as find_stream, stream};
#[cfg(test)]
pub(super) use stream::{is_needed as is_needed_stream, needed as needed_stream};

mod consumer;
mod owners;
mod stream;

/// Why a stream or consumer is not as needed, and what an operator can do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error("{difference}; delete it, and the service creates it again")]
    Differs { difference: Difference },
    #[error(
        "{difference}, and the broker refuses to change that: {error}; change it, or delete it, and the service creates it again"
    )]
    Unchangeable { difference: Difference, error: String },
    #[error(
        "the stream {name} belongs to another {service} database ({found}) and not to this one ({own}); use another channel (nats://…?channel=NAME), or start once with --replace-peer if this database was made anew"
    )]
    Taken { name: String, service: &'static str, found: DatabaseId, own: DatabaseId },
    #[error(
        "the stream {name} belongs to another {service} database ({found}) than the one that this database knows ({known}); use another channel (nats://…?channel=NAME), or start once with --replace-peer if the {service} database was made anew"
    )]
    OtherPeer { name: String, service: &'static str, found: DatabaseId, known: DatabaseId },
    #[error("{name} is sealed; delete it, and the service creates it again")]
    Sealed { name: String },
    #[error(
        "the consumer {name} of {stream} pushes messages elsewhere; delete it, and the service creates it again"
    )]
    Pushes { name: String, stream: String },
    #[error(
        "{others} receives from {stream} what belongs to the service; delete that consumer, and the service creates its own"
    )]
    Crowded { others: String, stream: String },
    #[error("{stream} receives on {subject}, which belongs to {name}; take the subject from it")]
    SubjectTaken { name: String, stream: String, subject: String },
    #[error(
        "cannot create {name}: {error}; give JetStream room for 64 MiB more (max_file_store, or the limit of the account)"
    )]
    NoStorage { name: String, error: Box<dyn Error + Send + Sync> },
    #[error(
        "{name} is missing, and the broker does not create it, perhaps for lack of a permission; is the service that receives from it running?"
    )]
    NotCreated { name: String },
    #[error(
        "{name} must be deleted, and the broker does not let the service do that: {error}; run: nats stream rm -f {name}; the service creates it again, and what it held is sent again"
    )]
    NotDeleted { name: String, error: String },
    #[error("cannot create {name}: {error}")]
    Refused { name: String, error: Box<dyn Error + Send + Sync> },
}

/// One setting of a stream or consumer that is not as it must be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} of {name} is {found} and must be {needed}")]
pub(super) struct Difference {
    name: String,
    what: &'static str,
    found: String,
    needed: String,
}

fn refused(name: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Misfit {
    Misfit::Refused { name: name.to_owned(), error: error.into() }
}

/// Returns the name of a channel's stream, which cannot contain dots.
pub(super) fn stream_name(channel: &str) -> String {
    channel.replace('.', "-")
}

/// Compares one setting of `name`.
fn differs<T: PartialEq + fmt::Debug>(
    name: &str,
    what: &'static str,
    needed: &T,
    found: &T,
) -> Option<Difference> {
    (needed != found).then(|| Difference {
        name: name.to_owned(),
        what,
        found: format!("{found:?}"),
        needed: format!("{needed:?}"),
    })
}
