//! Strict reading of a JSON request body in two steps: [`parse`] turns bytes into a tree, and
//! [`Reader`] turns the tree into the values that a handler needs, collecting every fault.
//!
//! serde's derive would stop at the first fault without its position, accept an array for an
//! object, let a repeated key win silently, and read `19.99` through a float.

pub use number::{NotExact, scaled};
pub use reader::Reader;
pub use text::{composed, text, text_not_blank};
pub use tree::{MAX_DEPTH, parse};
pub use values::{Parsed, boolean, integer, one_of};

mod number;
mod reader;
mod text;
mod tree;
mod values;

/// A JSON object: its members in document order, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Node)>);

/// Any JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's digits exactly as the client sent them: `19.90`, `1e400`, `-0` (RFC 8259).
    Number(String),
    /// A string without its escapes.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object.
    Object(Object),
}

impl Object {
    /// The members, in document order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// The value of the member `name`.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().find_map(|(its, node)| (its == name).then_some(node))
    }
}

impl Node {
    /// The kind of value as messages name it: "must be a string, not {kind}".
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::FaultCode;

    /// The value of a member that stands so in a body.
    pub(super) fn node(json: &str) -> Node {
        parse(format!("{{\"x\":{json}}}").as_bytes()).unwrap().get("x").unwrap().clone()
    }

    /// A parsed value, or the code of its fault.
    pub(super) fn code<T>(parsed: Parsed<T>) -> Result<T, FaultCode> {
        parsed.map_err(|(code, _)| code)
    }
}
