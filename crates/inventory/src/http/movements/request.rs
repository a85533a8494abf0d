//! Parses the body of a movement into the types of the core.

use contract::{Digest, LocationId, ProductId, Quantity};
use inventory_core::admin::Requester;
use inventory_core::decide::{Change, MovementRequest};
use inventory_core::stock::{RequestCause, RequestId};
use platform::clock::Ids;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use web::body::{self, Node, Object, Parsed, Reader};
use web::problem::{FaultCode, Problem};

use super::super::MAX_TEXT;

/// The most units that one adjustment adds or removes.
const MAX_ADJUSTMENT: i64 = 1_000_000;
/// The most units that a count may find.
const MAX_COUNT: i64 = 1_000_000_000;

/// A stock movement to record. Its kind says what else it has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(discriminator(property_name = "kind", mapping(
    ("receive" = "#/components/schemas/NewReceipt"),
    ("adjust" = "#/components/schemas/NewAdjustment"),
    ("count" = "#/components/schemas/NewCount"),
    ("quarantine" = "#/components/schemas/NewQuarantineMovement"),
    ("unquarantine" = "#/components/schemas/NewQuarantineMovement"),
    ("write_off" = "#/components/schemas/NewQuarantineMovement"),
)))]
#[expect(
    dead_code,
    reason = "describes the body to readers of the API; bodies are read by `Reader`, fault by fault"
)]
pub(in crate::http) enum NewMovement {
    Receipt(NewReceipt),
    Adjustment(NewAdjustment),
    Count(NewCount),
    Quarantine(NewQuarantineMovement),
}

/// Units that came in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in crate::http) struct NewReceipt {
    #[schema(inline)]
    kind: ReceiptKind,
    /// The units received.
    #[schema(example = 10, minimum = 1, maximum = 1_000_000)]
    quantity: i64,
    /// `main` if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    /// Why the stock moves.
    #[schema(max_length = 200)]
    reason: Option<String>,
    /// What the movement belongs to, such as the number of a delivery note.
    #[schema(example = "PO-7", max_length = 200)]
    reference: Option<String>,
}

/// A correction by a difference.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in crate::http) struct NewAdjustment {
    #[schema(inline)]
    kind: AdjustmentKind,
    /// The units added, but not 0.
    #[schema(example = -1, minimum = -1_000_000, maximum = 1_000_000)]
    quantity: i64,
    /// `main` if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    /// Why the stock moves.
    #[schema(example = "broken", min_length = 1, max_length = 200)]
    reason: String,
    /// What the movement belongs to.
    #[schema(max_length = 200)]
    reference: Option<String>,
}

/// A count of the units on hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in crate::http) struct NewCount {
    #[schema(inline)]
    kind: CountKind,
    /// The units counted.
    #[schema(example = 7, minimum = 0, maximum = 1_000_000_000)]
    quantity: i64,
    /// `main` if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    /// Why the stock was counted.
    #[schema(example = "stocktaking", min_length = 1, max_length = 200)]
    reason: String,
    /// What the movement belongs to.
    #[schema(max_length = 200)]
    reference: Option<String>,
    /// The units on hand when counting began. If the stock on hand has changed since, the count is
    /// refused.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    expected_on_hand: Option<i64>,
}

/// Units that go into quarantine, come out of it, or leave the stock from there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in crate::http) struct NewQuarantineMovement {
    #[schema(inline)]
    kind: QuarantineKind,
    /// The units: at most those that are available to quarantine them, and else at most those that
    /// are quarantined.
    #[schema(example = 2, minimum = 1, maximum = 1_000_000)]
    quantity: i64,
    /// `main` if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    /// Why the stock moves.
    #[schema(example = "scratched", min_length = 1, max_length = 200)]
    reason: String,
    /// What the movement belongs to.
    #[schema(max_length = 200)]
    reference: Option<String>,
}

/// Makes a type for the one kind of a movement, which is all that tells its shape from others.
macro_rules! kinds {
    ($($name:ident $kind:ident),+) => {$(
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        enum $name {
            $kind,
        }
    )+};
}
kinds!(ReceiptKind Receive, AdjustmentKind Adjust, CountKind Count);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum QuarantineKind {
    Quarantine,
    Unquarantine,
    WriteOff,
}

/// The kinds of movement that a request can record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Receive,
    Adjust,
    Count,
    Quarantine,
    Unquarantine,
    WriteOff,
}

const KINDS: [(&str, Kind); 6] = [
    ("receive", Kind::Receive),
    ("adjust", Kind::Adjust),
    ("count", Kind::Count),
    ("quarantine", Kind::Quarantine),
    ("unquarantine", Kind::Unquarantine),
    ("write_off", Kind::WriteOff),
];

/// Reads a movement, or returns every fault.
pub(super) fn movement(
    product_id: ProductId,
    request_id: RequestId,
    requester: Requester,
    object: &Object,
) -> Result<MovementRequest, Problem> {
    let mut body = Reader::new(object);
    let kind = body.required("kind", body::one_of(&KINDS));
    let quantity = body.required("quantity", quantity(kind));
    let location_id = body.optional("location_id", super::super::id::<LocationId>);
    let reason = match kind {
        Some(Kind::Receive) | None => body.optional("reason", body::text(MAX_TEXT)),
        Some(_) => body.required("reason", body::text_not_blank(MAX_TEXT)),
    };
    let reference = body.optional("reference", body::text(MAX_TEXT));
    let expected = body.optional("expected_on_hand", expected_on_hand(kind));
    body.finish(|| {
        let change = change(kind?, quantity?, expected);
        let location_id = location_id.unwrap_or_else(LocationId::main);
        let digest =
            digest(&product_id, &location_id, change, [reason.as_deref(), reference.as_deref()]);
        let actor = requester.actor.clone();
        let cause = RequestCause { request_id, digest, reason, reference, actor };
        Some(MovementRequest { product_id, location_id, change, cause, requester })
    })
}

/// The id of a request: equal for every repeat with the same key for the same product, and unique
/// without a key (R4). The key names the client that it belongs to. One key serves all products of
/// a delivery, as a person would expect.
pub(super) fn request_id(product_id: &ProductId, key: Option<String>, ids: &dyn Ids) -> RequestId {
    match key {
        // A UUIDv8 (RFC 9562) of a hash.
        Some(key) => {
            let digest = Digest::of(format!("{product_id}\0{key}").as_bytes());
            RequestId(uuid::Builder::from_custom_bytes(digest.0).into_uuid().into_bytes())
        }
        None => RequestId(Uuid::into_bytes(ids.uuid())),
    }
}

fn quantity(kind: Option<Kind>) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| {
        let range = match kind {
            Some(Kind::Receive | Kind::Quarantine | Kind::Unquarantine | Kind::WriteOff) => {
                1..=i64::from(Quantity::MAX)
            }
            Some(Kind::Adjust) => -MAX_ADJUSTMENT..=MAX_ADJUSTMENT,
            Some(Kind::Count) => 0..=MAX_COUNT,
            // The range of an unknown kind is unknown, so any whole number passes.
            None => i64::MIN..=i64::MAX,
        };
        match body::integer(range)(node)? {
            0 if kind == Some(Kind::Adjust) => {
                Err((FaultCode::OUT_OF_RANGE, "must not be 0".to_owned()))
            }
            units => Ok(units),
        }
    }
}

fn expected_on_hand(kind: Option<Kind>) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| match kind {
        Some(Kind::Count) | None => body::integer(0..=MAX_COUNT)(node),
        Some(_) => Err((FaultCode::UNKNOWN_FIELD, "is allowed only for a count".to_owned())),
    }
}

fn change(kind: Kind, quantity: i64, expected: Option<i64>) -> Change {
    let units = || {
        let units = u32::try_from(quantity).ok().and_then(|units| Quantity::new(units).ok());
        units.expect("the range of a quantity was checked")
    };
    match kind {
        Kind::Receive => Change::Receive(units()),
        Kind::Quarantine => Change::Quarantine(units()),
        Kind::Unquarantine => Change::Unquarantine(units()),
        Kind::WriteOff => Change::WriteOff(units()),
        Kind::Adjust => Change::Adjust(quantity),
        Kind::Count => Change::Count { on_hand: quantity, expected },
    }
}

/// The digest of every parsed member. Two requests with equal digests make the same movement.
/// Digests are stored, so this function must never change its results.
fn digest(
    product_id: &ProductId,
    location_id: &LocationId,
    change: Change,
    texts: [Option<&str>; 2],
) -> Digest {
    let (quantity, expected) = match change {
        Change::Receive(quantity)
        | Change::Quarantine(quantity)
        | Change::Unquarantine(quantity)
        | Change::WriteOff(quantity) => (quantity.units(), None),
        Change::Adjust(units) => (units, None),
        Change::Count { on_hand, expected } => (on_hand, expected),
    };
    let mut text = format!("{product_id}\0{location_id}\0{}\0{quantity}", change.kind().as_str());
    // No member contains a control character, so "\n" marks an absent one unambiguously.
    for member in [expected.map(|units| units.to_string()).as_deref(), texts[0], texts[1]] {
        text.push('\0');
        text.push_str(member.unwrap_or("\n"));
    }
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use platform::clock::{ManualClock, SystemIds, Timestamp};

    use super::*;

    fn read(text: &str) -> Result<MovementRequest, Vec<String>> {
        let object = body::parse(text.as_bytes()).expect("an object");
        let product_id = "MUG".parse().expect("an id");
        movement(product_id, RequestId([0; 16]), Requester::default(), &object).map_err(|problem| {
            let listed =
                |fault: &web::problem::Fault| format!("{:?} {}", fault.at, fault.code.as_str());
            problem.faults.iter().map(listed).collect()
        })
    }

    fn change_of(text: &str) -> Change {
        read(text).expect("a movement").change
    }

    fn faults(text: &str) -> Vec<String> {
        read(text).expect_err("faults")
    }

    #[test]
    fn each_kind_has_limits_of_its_own() {
        assert_eq!(
            change_of(r#"{"kind":"receive","quantity":1000000}"#).kind().as_str(),
            "receive"
        );
        assert_eq!(
            change_of(r#"{"kind":"adjust","quantity":-1000000,"reason":"x"}"#),
            Change::Adjust(-1_000_000)
        );
        let count = Change::Count { on_hand: 1_000_000_000, expected: Some(0) };
        assert_eq!(
            change_of(
                r#"{"kind":"count","quantity":1000000000,"reason":"x","expected_on_hand":0}"#
            ),
            count
        );
        for (kind, quantity) in [
            ("receive", "0"),
            ("receive", "1000001"),
            ("adjust", "0"),
            ("adjust", "1000001"),
            ("adjust", "-1000001"),
            ("count", "-1"),
            ("count", "1000000001"),
            ("quarantine", "0"),
            ("unquarantine", "1000001"),
            ("write_off", "-1"),
        ] {
            let listed =
                faults(&format!(r#"{{"kind":"{kind}","quantity":{quantity},"reason":"x"}}"#));
            assert_eq!(listed, [r#"Pointer("/quantity") out_of_range"#], "{kind} {quantity}");
        }
    }

    #[test]
    fn every_kind_but_a_receipt_needs_a_reason() {
        for kind in ["adjust", "count", "quarantine", "unquarantine", "write_off"] {
            let listed = faults(&format!(r#"{{"kind":"{kind}","quantity":1}}"#));
            assert_eq!(listed, [r#"Pointer("/reason") required"#]);
        }
        assert!(read(r#"{"kind":"receive","quantity":1,"reason":null}"#).is_ok());
    }

    #[test]
    fn only_a_count_expects_something() {
        for kind in ["receive", "adjust", "quarantine", "unquarantine", "write_off"] {
            let listed = faults(&format!(
                r#"{{"kind":"{kind}","quantity":1,"reason":"x","expected_on_hand":1}}"#
            ));
            assert_eq!(listed, [r#"Pointer("/expected_on_hand") unknown_field"#]);
        }
        assert!(
            read(r#"{"kind":"receive","quantity":1,"expected_on_hand":null}"#).is_ok(),
            "null is absent"
        );
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let listed = faults(
            r#"{"kind":"steal","quantity":"1","location_id":"..","reference":7,"colour":"red"}"#,
        );
        let expected =
            [("kind", "bad_format"), ("quantity", "wrong_type"), ("location_id", "bad_format")];
        let rest = [("reference", "wrong_type"), ("colour", "unknown_field")];
        let expected =
            expected.into_iter().chain(rest).map(|(at, code)| format!("Pointer(\"/{at}\") {code}"));
        assert_eq!(listed, expected.collect::<Vec<_>>());
    }

    #[test]
    fn every_member_makes_another_request() {
        let texts = [
            r#"{"kind":"count","quantity":1,"reason":"x"}"#,
            r#"{"kind":"count","quantity":2,"reason":"x"}"#,
            r#"{"kind":"adjust","quantity":1,"reason":"x"}"#,
            r#"{"kind":"quarantine","quantity":1,"reason":"x"}"#,
            r#"{"kind":"unquarantine","quantity":1,"reason":"x"}"#,
            r#"{"kind":"write_off","quantity":1,"reason":"x"}"#,
            r#"{"kind":"count","quantity":1,"reason":"y"}"#,
            r#"{"kind":"count","quantity":1,"reason":"x","reference":"x"}"#,
            r#"{"kind":"count","quantity":1,"reason":"x","location_id":"SHOP"}"#,
            r#"{"kind":"count","quantity":1,"reason":"x","expected_on_hand":1}"#,
        ];
        let digests: std::collections::BTreeSet<_> =
            texts.iter().map(|text| read(text).expect("a movement").cause.digest).collect();
        assert_eq!(digests.len(), texts.len());
        let same = read(
            r#"{"location_id":"main","reason":"x","reference":null,"quantity":1,"kind":"count"}"#,
        );
        assert_eq!(
            same.expect("a movement").cause.digest,
            read(texts[0]).expect("a movement").cause.digest
        );
    }

    #[test]
    fn letters_that_are_composed_otherwise_make_the_same_request() {
        let of = |letter: &str| {
            let texts = format!(r#""reason":"caf{letter}","reference":"N{letter}""#);
            let request = read(&format!(r#"{{"kind":"count","quantity":1,{texts}}}"#));
            request.expect("a movement").cause
        };
        assert_eq!(of("e\u{301}"), of("\u{e9}"));
        assert_eq!(of("e\u{301}").reason.as_deref(), Some("caf\u{e9}"));
    }

    /// Movements store the digest, so a repeated request must have the same one in every version.
    #[test]
    fn the_digest_of_a_request_is_pinned() {
        let request =
            read(r#"{"kind":"receive","quantity":5,"reference":"PO-7"}"#).expect("a movement");
        assert_eq!(request.cause.digest, Digest::of(b"MUG\0main\0receive\x005\0\n\0\n\0PO-7"));
    }

    #[test]
    fn a_key_makes_one_request_id_of_a_product_and_no_key_makes_unique_ones() {
        let ids = SystemIds::new(std::sync::Arc::new(ManualClock::at(Timestamp(1))));
        let of = |product: &str, key: Option<&str>| {
            request_id(&product.parse().expect("an id"), key.map(str::to_owned), &ids)
        };
        assert_eq!(of("MUG", Some("K")), of("MUG", Some("K")));
        assert_ne!(of("MUG", Some("K")), of("MUG", Some("L")));
        assert_ne!(of("MUG", Some("K")), of("TEE", Some("K")));
        assert_ne!(of("MUG", None), of("MUG", None));
        assert_eq!(Uuid::from_bytes(of("MUG", Some("K")).0).get_version_num(), 8);
    }
}
