//! Bytes to a tree. A malformed body is refused here, with its first error.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Node, Object, escape};
use crate::problem::{Code, Problem};

/// How deep objects and arrays may nest; the body itself is the first level.
pub const MAX_DEPTH: usize = 32;

/// Reads one JSON object, strictly.
///
/// # Errors
///
/// 400 `malformed_json` if the body is not UTF-8, starts with a byte order mark, is incomplete, is
/// not an object, or has text after the object; if an object at any level has one name twice; if a
/// string has a lone surrogate; if the body is nested deeper than [`MAX_DEPTH`].
pub fn parse(bytes: &[u8]) -> Result<Object, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| malformed(format!("the body is not UTF-8 at byte {}", e.valid_up_to())))?;
    if text.starts_with('\u{feff}') {
        return Err(malformed("the body must not start with a byte order mark"));
    }
    // serde_json and `read` recurse, so the depth is checked before they see the text.
    if deeper_than(MAX_DEPTH, bytes) {
        return Err(malformed(format!("the body is nested deeper than {MAX_DEPTH} levels")));
    }
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|e| malformed(format!("the body is not well-formed JSON: {e}")))?;
    match read(raw)? {
        Node::Object(object) => Ok(object),
        other => Err(malformed(format!("the body must be an object, not {}", other.kind()))),
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(Code::MALFORMED_JSON, detail)
}

/// Whether brackets nest deeper than `limit`. Brackets in strings do not count. The result may be
/// wrong for malformed text, which the parser refuses anyway.
fn deeper_than(limit: usize, bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// An error in a body with valid grammar, and the JSON Pointer to it.
struct Broken {
    what: String,
    pointer: String,
}

impl Broken {
    fn here(what: impl Into<String>) -> Self {
        Self { what: what.into(), pointer: String::new() }
    }

    /// Extends the pointer on the way out of the recursion, so that a valid body costs no pointers.
    fn within(self, name: &str) -> Self {
        Self { pointer: format!("/{}{}", escape(name), self.pointer), ..self }
    }
}

impl From<Broken> for Problem {
    fn from(Broken { what, pointer }: Broken) -> Self {
        malformed(format!("{what} in {}", if pointer.is_empty() { "the body" } else { &pointer }))
    }
}

/// Reads one level of the tree. serde_json has checked the grammar of `raw`, so the first byte
/// shows the kind of value. Numbers stay text: a float never holds them.
fn read(raw: &RawValue) -> Result<Node, Broken> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'{') => Node::Object(read_members(text)?),
        Some(b'[') => Node::Array(read_items(text)?),
        Some(b'"') => Node::String(level(text)?),
        Some(b't') => Node::Bool(true),
        Some(b'f') => Node::Bool(false),
        Some(b'n') => Node::Null,
        _ => Node::Number(text.to_owned()),
    })
}

fn read_members(text: &str) -> Result<Object, Broken> {
    let Members(members) = level(text)?;
    let mut names = BTreeSet::new();
    if let Some((twice, _)) = members.iter().find(|(name, _)| !names.insert(name.as_str())) {
        return Err(Broken::here(format!("the member {twice:?} occurs twice")));
    }
    let read_member = |(name, raw): (String, &RawValue)| match read(raw) {
        Ok(node) => Ok((name, node)),
        Err(broken) => Err(broken.within(&name)),
    };
    members.into_iter().map(read_member).collect::<Result<_, _>>().map(Object)
}

fn read_items(text: &str) -> Result<Vec<Node>, Broken> {
    let items: Vec<&RawValue> = level(text)?;
    let read_item = |(index, raw): (usize, &&RawValue)| {
        read(raw).map_err(|broken| broken.within(&index.to_string()))
    };
    items.iter().enumerate().map(read_item).collect()
}

/// Lets serde_json read text that it has scanned before; only a lone surrogate can still fail. The
/// position in serde_json's message is cut off: it counts from the start of `text`, not of the
/// body.
fn level<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Broken> {
    serde_json::from_str(text).map_err(|e| {
        let message = e.to_string();
        Broken::here(message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what))
    })
}

/// The members of one object in order, with repeated names, which a map would hide.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detail_of(body: &[u8]) -> String {
        let problem = parse(body).expect_err("must be refused");
        assert_eq!((problem.code, problem.faults.len()), (Code::MALFORMED_JSON, 0));
        problem.detail
    }

    #[test]
    fn what_breaks_the_grammar_is_refused_with_its_position() {
        for (body, column) in [
            ("", 0),
            ("   ", 3),
            ("{", 1),
            (r#"{"a":1"#, 6),
            (r#"{"a":"#, 5),
            (r#"{"a":1} x"#, 9),
            (r#"{"a":1}{}"#, 8),
            (r#"{"a":1,}"#, 8),
            (r#"{"a":01}"#, 7),
            (r#"{"a":+1}"#, 6),
            (r#"{"a":NaN}"#, 6),
            (r#"{'a':1}"#, 2),
            ("{\"a\":\"\t\"}", 6),
        ] {
            let detail = detail_of(body.as_bytes());
            assert!(detail.starts_with("the body is not well-formed JSON: "), "{body}: {detail}");
            assert!(detail.ends_with(&format!(" at line 1 column {column}")), "{body}: {detail}");
        }
    }

    #[test]
    fn what_is_not_one_object_without_repetitions_is_refused_with_the_reason() {
        for (body, detail) in [
            ("[]", "the body must be an object, not an array"),
            ("null", "the body must be an object, not null"),
            ("\"{}\"", "the body must be an object, not a string"),
            ("19.99", "the body must be an object, not a number"),
            ("true", "the body must be an object, not a boolean"),
            ("\u{feff}{}", "the body must not start with a byte order mark"),
            (r#"{"a":1,"b":2,"a":1}"#, r#"the member "a" occurs twice in the body"#),
            (r#"{"a":1,"\u0061":1}"#, r#"the member "a" occurs twice in the body"#),
            (r#"{"l":[{}, {"x/y":{"q":1,"q":2}}]}"#, r#"the member "q" occurs twice in /l/1/x~1y"#),
        ] {
            assert_eq!(detail_of(body.as_bytes()), detail, "{body}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_wherever_it_stands() {
        for (body, position) in [
            (r#"{"a":{"b":["\ud800"]}}"#, " in /a/b/0"),
            (r#"{"a":"\udc00"}"#, " in /a"),
            (r#"{"a":"\ud83d\u0041"}"#, " in /a"),
            (r#"{"\ud800":1}"#, " in the body"),
        ] {
            assert!(detail_of(body.as_bytes()).ends_with(position), "{body}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_where_they_stand() {
        assert_eq!(detail_of(b"{\"a\":\"\xff\"}"), "the body is not UTF-8 at byte 6");
        assert_eq!(detail_of(b"{\"a\":\"\xed\xa0\x80\"}"), "the body is not UTF-8 at byte 6");
    }

    #[test]
    fn nesting_is_counted_as_brackets_outside_of_strings() {
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            detail_of(nested(MAX_DEPTH + 1).as_bytes()),
            "the body is nested deeper than 32 levels"
        );
        let brackets_in_a_string = format!(r#"{{"a":"\"{}"}}"#, "[{".repeat(100));
        assert!(parse(brackets_in_a_string.as_bytes()).is_ok());
        let many_beside_each_other = format!(r#"{{"a":[{}[]]}}"#, "[],".repeat(1000));
        assert!(parse(many_beside_each_other.as_bytes()).is_ok());
    }

    #[test]
    fn a_hundred_thousand_levels_do_no_harm() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let closed = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(detail_of(closed.as_bytes()), "the body is nested deeper than 32 levels");
            assert_eq!(
                detail_of(open.repeat(100_000).as_bytes()),
                "the body is nested deeper than 32 levels"
            );
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_members_their_order() {
        let object = parse(
            br#" {"z":1e400, "a":19.990,"m":[-0, 123456789012345678901234567890, null, true, "\u00e9\ud83d\ude00"]} "#,
        )
        .unwrap();
        let number = |text: &str| Node::Number(text.to_owned());
        let items = vec![
            number("-0"),
            number("123456789012345678901234567890"),
            Node::Null,
            Node::Bool(true),
            Node::String("é😀".to_owned()),
        ];
        let members: Vec<_> = object.members().collect();
        assert_eq!(
            members,
            [("z", &number("1e400")), ("a", &number("19.990")), ("m", &Node::Array(items))]
        );
    }

    /// The tree, written as JSON again.
    fn print(node: &Node) -> String {
        match node {
            Node::Null => "null".to_owned(),
            Node::Bool(value) => value.to_string(),
            Node::Number(text) => text.clone(),
            Node::String(text) => serde_json::to_string(text).unwrap(),
            Node::Array(items) => {
                format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(","))
            }
            Node::Object(Object(members)) => {
                let member = |(name, node): &(String, Node)| {
                    format!("{}:{}", serde_json::to_string(name).unwrap(), print(node))
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Node::Null),
            any::<bool>().prop_map(Node::Bool),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?".prop_map(Node::Number),
            any::<String>().prop_map(Node::String),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Node::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Node::Object(Object(members.into_iter().collect()))),
            ]
        })
    }

    const PIECES: &[&str] = &[
        "{", "}", "[", "]", "\"", "\\", ":", ",", "a", "1", ".", "e", "-", "\\u", "d800", "null",
        " ", "\n", "é",
    ];

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_text_of_json_pieces_makes_it_panic(pieces in prop::collection::vec(
            prop::sample::select(PIECES), 0..60,
        )) {
            let _ = parse(pieces.concat().as_bytes());
        }

        #[test]
        fn what_is_printed_reads_back_the_same(node in any_node()) {
            let body = format!("{{\"a\":{}}}", print(&node));
            let object = parse(body.as_bytes()).unwrap();
            prop_assert_eq!(object.get("a"), Some(&node));
        }
    }
}
