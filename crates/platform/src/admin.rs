//! Who makes an administrative change, for the admin log of a service.

/// Who asks for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// Who it is; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
}
