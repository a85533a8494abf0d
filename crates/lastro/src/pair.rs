//! Whether the two databases of one program belong together (R31).

use std::sync::Arc;

use platform::pairing::{Identity, Names, Pairing};
use platform::process::ProgramError;

/// Lets the two databases know each other. `anew` forgets whom they knew before.
///
/// # Errors
///
/// One of them knows another peer, and nothing has changed; or one cannot be read.
pub(crate) async fn pair(
    [orders, stock]: [&Arc<Pairing>; 2],
    anew: bool,
) -> Result<(), ProgramError> {
    if anew {
        orders.forget().await?;
        stock.forget().await?;
    }
    refuse_strangers(orders.identity(), stock.identity())?;
    orders.meet(stock.id()).await?;
    stock.meet(orders.id()).await?;
    Ok(())
}

/// Refuses two databases of which one knows another peer: what they say of each other would mean
/// nothing.
///
/// # Errors
///
/// They do not belong together.
pub(crate) fn refuse_strangers(orders: Identity, stock: Identity) -> Result<(), ProgramError> {
    for (names, own, other) in [(orders::NAMES, orders, stock), (inventory::NAMES, stock, orders)] {
        let Some(known) = own.peer.filter(|known| *known != other.id) else { continue };
        let (Names { own: service, peer: other_service }, own, other) = (names, own.id, other.id);
        return Err(ProgramError::Failed(format!(
            "the {service} database ({own}) belongs to the {other_service} database {known} and not to this one ({other}); name the databases of one deployment, or start lastro once with --replace-peer if one of them was made anew"
        )));
    }
    Ok(())
}
