//! What a key allows.

use std::fmt;
use std::str::FromStr;

/// One thing that a key may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// `orders:write`
    OrdersWrite,
    /// `orders:read`
    OrdersRead,
    /// `orders:cancel`
    OrdersCancel,
    /// `orders:fulfill`
    OrdersFulfill,
    /// `orders:pay`
    OrdersPay,
    /// `stock:read`
    StockRead,
    /// `stock:receive`
    StockReceive,
    /// `stock:adjust`
    StockAdjust,
    /// `catalog:write`
    CatalogWrite,
    /// `locations:write`
    LocationsWrite,
    /// `ledger:read`
    LedgerRead,
    /// `ops:read`
    OpsRead,
    /// `ops:write`
    OpsWrite,
    /// `keys:admin`
    KeysAdmin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 14] = [
        Self::OrdersWrite,
        Self::OrdersRead,
        Self::OrdersCancel,
        Self::OrdersFulfill,
        Self::OrdersPay,
        Self::StockRead,
        Self::StockReceive,
        Self::StockAdjust,
        Self::CatalogWrite,
        Self::LocationsWrite,
        Self::LedgerRead,
        Self::OpsRead,
        Self::OpsWrite,
        Self::KeysAdmin,
    ];

    /// Those that a key of one customer may have: it sees and changes this customer's orders, and
    /// no other.
    pub const OF_A_CUSTOMER: [Self; 4] =
        [Self::OrdersWrite, Self::OrdersRead, Self::OrdersCancel, Self::StockRead];

    /// Whether it allows what only an administrator may do: an attempt without it is recorded.
    pub const fn is_administrative(self) -> bool {
        matches!(
            self,
            Self::StockAdjust
                | Self::CatalogWrite
                | Self::LocationsWrite
                | Self::OpsWrite
                | Self::KeysAdmin
        )
    }

    /// The name, as keys files, tokens and problems have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersWrite => "orders:write",
            Self::OrdersRead => "orders:read",
            Self::OrdersCancel => "orders:cancel",
            Self::OrdersFulfill => "orders:fulfill",
            Self::OrdersPay => "orders:pay",
            Self::StockRead => "stock:read",
            Self::StockReceive => "stock:receive",
            Self::StockAdjust => "stock:adjust",
            Self::CatalogWrite => "catalog:write",
            Self::LocationsWrite => "locations:write",
            Self::LedgerRead => "ledger:read",
            Self::OpsRead => "ops:read",
            Self::OpsWrite => "ops:write",
            Self::KeysAdmin => "keys:admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; the scopes are {list}", list = Scope::ALL.map(Scope::as_str).join(", "))]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// All scopes.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether the set has the scope.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Those that both sets have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The scopes of the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    fn bit(scope: Scope) -> u16 {
        1 << scope as u8
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | Self::bit(scope)))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_found_by_its_name_and_alone_in_its_set() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let only: Scopes = [scope].into_iter().collect();
            assert_eq!(only.iter().collect::<Vec<_>>(), [scope]);
            assert!(Scopes::all().has(scope) && !Scopes::default().has(scope));
        }
        let error = "orders:all".parse::<Scope>().expect_err("no scope").to_string();
        assert!(error.contains("orders:all") && error.contains("stock:receive"), "{error}");
    }
}
