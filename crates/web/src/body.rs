//! Strict reading of a JSON request body, in two steps: bytes to a tree ([`parse`]), and the tree to what a handler
//! needs ([`Reader`]), which collects everything that is wrong and not just the first.
//!
//! serde's derive would stop at the first fault, cannot tell where it was, takes an array for an object, lets a
//! repeated key win silently, and reads `19.99` through a float.

pub use reader::Reader;
pub use tree::{MAX_DEPTH, parse};
pub use values::{Parsed, boolean, integer, one_of, text, text_not_blank};

mod reader;
mod tree;
mod values;

/// A JSON object.
///
/// **Shape:** members in document order; no name occurs twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Node)>);

/// Any JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Null,
    Bool(bool),
    /// The digits exactly as they were sent, well-formed by the grammar of RFC 8259: `19.90`, `1e400`, `-0`.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Object),
}

impl Object {
    /// The members, in document order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(name, node)| (name.as_str(), node))
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().find_map(|(its, node)| (its == name).then_some(node))
    }
}

impl Node {
    /// What it is, in the words of a message to a person: "must be a string, not {…}".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Escapes a member's name for a JSON Pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The member's name that [`escape`] escaped.
fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
