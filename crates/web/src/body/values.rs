//! Readers of single values. A service adds its own for ids, money and quantities: any function
//! from a [`Node`] to a [`Parsed`] value.

use std::ops::RangeInclusive;

use super::{Node, NotExact, scaled};
use crate::problem::FaultCode;

/// The value, or its fault: a code, and a sentence that continues after the member's name ("must be
/// …").
pub type Parsed<T> = Result<T, (FaultCode, String)>;

/// Reads a whole number in any notation: `5`, `5.0` or `5e0`, but not `5.5` or `"5"`.
pub fn integer(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| {
        let Node::Number(text) = node else { return Err(wrong_type("a whole number", node)) };
        match scaled(text, 0) {
            Ok(value) if range.contains(&value) => Ok(value),
            Err(NotExact::Decimals | NotExact::NotANumber) => {
                Err((FaultCode::WRONG_TYPE, "must be a whole number".to_owned()))
            }
            Ok(_) | Err(NotExact::Range) => Err((
                FaultCode::OUT_OF_RANGE,
                format!("must be from {} to {}", range.start(), range.end()),
            )),
        }
    }
}

/// Reads `true` or `false`.
pub fn boolean() -> impl Fn(&Node) -> Parsed<bool> {
    |node| match node {
        Node::Bool(value) => Ok(*value),
        other => Err(wrong_type("a boolean", other)),
    }
}

/// Reads one name of a closed list and returns the value beside it.
pub fn one_of<T: Copy>(choices: &[(&'static str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let Node::String(text) = node else { return Err(wrong_type("a string", node)) };
        let chosen = choices.iter().find_map(|(name, value)| (name == text).then_some(*value));
        chosen.ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            (FaultCode::BAD_FORMAT, format!("must be one of {}", names.join(", ")))
        })
    }
}

pub(super) fn wrong_type(expected: &str, found: &Node) -> (FaultCode, String) {
    (FaultCode::WRONG_TYPE, format!("must be {expected}, not {}", found.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{code, node};

    #[test]
    fn an_integer_is_a_whole_number_within_the_range() {
        for (json, expected) in [
            ("1", Ok(1)),
            ("1000", Ok(1000)),
            ("-5", Ok(-5)),
            ("-0", Ok(0)),
            ("0", Ok(0)),
            ("1001", Err(FaultCode::OUT_OF_RANGE)),
            ("-6", Err(FaultCode::OUT_OF_RANGE)),
            ("9223372036854775808", Err(FaultCode::OUT_OF_RANGE)),
            ("-99999999999999999999999999999999", Err(FaultCode::OUT_OF_RANGE)),
            ("1.0", Ok(1)),
            ("1e3", Ok(1000)),
            ("1.0E0", Ok(1)),
            ("0.5", Err(FaultCode::WRONG_TYPE)),
            ("1e-3", Err(FaultCode::WRONG_TYPE)),
            ("1e400", Err(FaultCode::OUT_OF_RANGE)),
            ("\"5\"", Err(FaultCode::WRONG_TYPE)),
            ("true", Err(FaultCode::WRONG_TYPE)),
            ("null", Err(FaultCode::WRONG_TYPE)),
            ("[1]", Err(FaultCode::WRONG_TYPE)),
            ("{}", Err(FaultCode::WRONG_TYPE)),
        ] {
            assert_eq!(code(integer(-5..=1000)(&node(json))), expected, "{json}");
        }
    }

    #[test]
    fn the_whole_range_of_an_i64_can_be_asked_for() {
        let any = integer(i64::MIN..=i64::MAX);
        assert_eq!(any(&node("-9223372036854775808")), Ok(i64::MIN));
        assert_eq!(any(&node("9223372036854775807")), Ok(i64::MAX));
    }

    #[test]
    fn a_message_says_what_was_expected_and_what_was_found() {
        assert_eq!(
            integer(1..=9)(&node("\"5\"")).unwrap_err().1,
            "must be a whole number, not a string"
        );
        assert_eq!(integer(1..=9)(&node("1.5")).unwrap_err().1, "must be a whole number");
        assert_eq!(integer(1..=9)(&node("10")).unwrap_err().1, "must be from 1 to 9");
        assert_eq!(boolean()(&node("1")).unwrap_err().1, "must be a boolean, not a number");
    }

    #[test]
    fn a_choice_is_one_of_the_names() {
        let kind = one_of(&[("receive", 'r'), ("count", 'c')]);
        assert_eq!(kind(&node("\"count\"")), Ok('c'));
        assert_eq!(
            kind(&node("\"Count\"")),
            Err((FaultCode::BAD_FORMAT, "must be one of receive, count".to_owned()))
        );
        assert_eq!(code(kind(&node("1"))), Err(FaultCode::WRONG_TYPE));
    }
}
