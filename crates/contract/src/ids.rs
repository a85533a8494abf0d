//! The ids of orders, products and locations.
//!
//! A value of these types is well-formed. It does not say that the order, the product or the
//! location exists.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The longest product or location id, in bytes (all of them ASCII).
pub const MAX_ID_LENGTH: usize = 64;

/// The text is not an id. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an id must be 1 to 64 letters, digits, dots, underscores or hyphens, and start with a letter or a digit"
)]
pub struct BadId;

/// The id of an order: a UUIDv7 (RFC 9562) that the Order Service made when it accepted the order.
///
/// Ids sort by the time at which they were made, as far as the clocks of the processes agree. The
/// first 48 bits are that time, in milliseconds since 1970 UTC (RFC 9562, section 5.7).
///
/// In JSON, it is a string in the hyphenated form in lower case. A reader of messages also takes
/// the other forms that crate `uuid` reads; [`FromStr`] takes the hyphenated form in either case.
///
/// ```
/// use contract::{BadId, OrderId};
///
/// let text = "01939c5e-6f70-7abc-8def-0123456789ab";
/// assert_eq!(text.parse::<OrderId>()?.to_string(), text);
/// assert_eq!(text.to_uppercase().parse::<OrderId>()?, text.parse()?);
/// assert_eq!(text.replace('-', "").parse::<OrderId>(), Err(BadId));
/// # Ok::<_, BadId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = BadId;

    /// Reads the hyphenated form, in either case (RFC 9562, section 4), and no other form.
    ///
    /// # Errors
    ///
    /// [`BadId`] if the text is not a UUID in that form. Any version of UUID is accepted.
    fn from_str(text: &str) -> Result<Self, BadId> {
        if text.len() != Hyphenated::LENGTH {
            return Err(BadId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| BadId)
    }
}

/// Whether the text can be the id of a product, a location or a customer.
///
/// The form is `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. Such a text is safe in a URL path, in a log line
/// and in a subject of the broker.
pub fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_ID_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Reads an id from the text where it stands, without a copy in between.
struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = BadId>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            /// Checks the text with [`is_id`] and keeps it as it is.
            ///
            /// # Errors
            ///
            /// [`BadId`] if it cannot be an id.
            fn from_str(text: &str) -> Result<Self, BadId> {
                if is_id(text) { Ok(Self(text.into())) } else { Err(BadId) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Reads an id of a message, as [`FromStr`] does.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The id of a product, which the operator of the shop chose. Cloning it is cheap.
    ///
    /// In JSON, it is a string that [`is_id`] accepts. Ids compare byte by byte, so upper and lower
    /// case are different, and numbers do not sort by value.
    ///
    /// ```
    /// use contract::{BadId, ProductId};
    ///
    /// let [nine, ten]: [ProductId; 2] = ["9".parse()?, "10".parse()?];
    /// assert!(ten < nine);
    /// assert_ne!("Mug".parse::<ProductId>()?, "mug".parse()?);
    /// assert_eq!("a mug".parse::<ProductId>(), Err(BadId));
    /// # Ok::<_, BadId>(())
    /// ```
    ProductId
}

text_id! {
    /// The id of a location that holds stock, which the operator of the shop chose. Cloning it is
    /// cheap.
    ///
    /// It is written and sorted like a [`ProductId`].
    LocationId
}

impl LocationId {
    /// The location `main`: it always exists, and a movement without a location happens there.
    pub fn main() -> Self {
        Self("main".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain_and_starts_with_a_letter_or_digit() {
        let longest = "a".repeat(64);
        for good in ["789", "a", "Mug.blue_2-x", &longest] {
            assert!(good.parse::<ProductId>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            ".a",
            "-a",
            "_a",
            "a b",
            "a/b",
            "..",
            "*",
            ">",
            "a\0",
            "a\u{202e}",
            "é",
            "' OR 1=1",
            &too_long,
        ] {
            assert_eq!(bad.parse::<ProductId>(), Err(BadId), "{bad}");
        }
    }

    #[test]
    fn an_id_keeps_the_text_from_which_it_was_read() {
        let id: ProductId = "Mug.blue_2-x".parse().expect("an id");
        assert_eq!(
            [id.to_string(), format!("{id:?}"), id.as_str().to_owned()],
            ["Mug.blue_2-x"; 3]
        );
        assert_eq!(LocationId::main().as_str(), "main");
        let json = serde_json::to_string(&id).expect("a string");
        assert_eq!(json, "\"Mug.blue_2-x\"");
        for text in [&json, r#""Mug.\u0062lue_2-x""#] {
            assert_eq!(serde_json::from_str::<ProductId>(text).expect("an id"), id);
        }
        for bad in ["\"a b\"", "7", "null", "[\"a\"]"] {
            assert!(serde_json::from_str::<ProductId>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_order_id_has_one_form_and_is_written_in_lower_case() {
        let text = "01939c5e-6f70-7abc-8def-0123456789ab";
        for same in [text, "01939C5E-6F70-7ABC-8DEF-0123456789AB"] {
            assert_eq!(same.parse::<OrderId>().expect("a UUID").to_string(), text);
        }
        for other in
            ["01939c5e6f707abc8def0123456789ab", "{01939c5e-6f70-7abc-8def-0123456789ab}", "", "7"]
        {
            assert_eq!(other.parse::<OrderId>(), Err(BadId), "{other}");
        }
    }
}
