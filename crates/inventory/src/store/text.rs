//! What both engines keep in the same form: a rejection's shortages as JSON, and a state that its
//! rows tell together.

use contract::LocationId;
use contract::answers::{Allocation, Shortage};
use inventory_core::reservation::{Before, Seen, Shortfall, State, StateName};
use serde::{Deserialize, Serialize};

/// An element of `reservations.shortages`: the shortage as the contract sends it, and its evidence.
#[derive(Serialize, Deserialize)]
struct ShortfallText {
    #[serde(flatten)]
    shortage: Shortage,
    seen: Vec<SeenText>,
}

#[derive(Serialize, Deserialize)]
struct SeenText {
    location_id: LocationId,
    seq: i64,
}

/// # Errors
///
/// Returns an error if the column was edited by hand or is damaged.
pub(super) fn shortfalls(text: Option<&str>) -> Result<Option<Vec<Shortfall>>, serde_json::Error> {
    let Some(text) = text else { return Ok(None) };
    let parsed: Vec<ShortfallText> = serde_json::from_str(text)?;
    let seen = |seen: SeenText| Seen { location_id: seen.location_id, seq: seen.seq };
    let shortfall = |short: ShortfallText| Shortfall {
        shortage: short.shortage,
        seen: short.seen.into_iter().map(seen).collect(),
    };
    Ok(Some(parsed.into_iter().map(shortfall).collect()))
}

/// The other way round. A reservation that was never short has no text.
pub(super) fn shortages_text(shortfalls: &[Shortfall]) -> Option<String> {
    let seen = |seen: &Seen| SeenText { location_id: seen.location_id.clone(), seq: seen.seq };
    let text = |short: &Shortfall| ShortfallText {
        shortage: short.shortage.clone(),
        seen: short.seen.iter().map(seen).collect(),
    };
    let texts: Vec<_> = shortfalls.iter().map(text).collect();
    let json = || serde_json::to_string(&texts).expect("shortages have string keys");
    (!texts.is_empty()).then(json)
}

/// Which allocations and shortages there are says what a released reservation was before.
pub(super) fn state(
    name: StateName,
    allocations: Vec<Allocation>,
    shortfalls: Option<Vec<Shortfall>>,
) -> State {
    match (name, shortfalls) {
        (StateName::Reserved, _) => State::Reserved(allocations),
        (StateName::Shipped, _) => State::Shipped(allocations),
        (StateName::Rejected, shortfalls) => State::Rejected(shortfalls.unwrap_or_default()),
        (StateName::Released, Some(shortfalls)) => State::Released(Before::Rejected(shortfalls)),
        (StateName::Released, None) if allocations.is_empty() => State::Released(Before::Absent),
        (StateName::Released, None) => State::Released(Before::Reserved(allocations)),
    }
}
