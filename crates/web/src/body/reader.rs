//! Reads the values that a handler needs from a tree, and collects every fault.

use std::ops::RangeInclusive;

use super::values::{Parsed, wrong_type};
use super::{Node, Object, escape, unescape};
use crate::problem::{Fault, FaultCode, MAX_FAULTS, Problem};

/// Reads the members of an object one by one and collects faults instead of stopping at the first.
///
/// A member that the handler does not ask for is a fault. A handler therefore asks for every
/// member, even after a fault.
///
/// # Examples
///
/// ```
/// use web::body::{self, Reader};
///
/// struct NewProduct { name: String, low_stock_at: Option<i64> }
///
/// fn read(bytes: &[u8]) -> Result<NewProduct, web::problem::Problem> {
///     let object = body::parse(bytes)?;
///     let mut body = Reader::new(&object);
///     let name = body.required("name", body::text(200));
///     let low_stock_at = body.optional("low_stock_at", body::integer(0..=1_000_000_000));
///     body.finish(|| Some(NewProduct { name: name?, low_stock_at }))
/// }
///
/// assert!(read(br#"{"name": "Mug", "low_stock_at": 5}"#).is_ok());
/// assert_eq!(read(br#"{"nane": "Mug", "low_stock_at": "5"}"#).err().unwrap().faults.len(), 3);
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    object: &'a Object,
    position: Position,
    asked: Vec<&'static str>,
    faults: Vec<(Order, Fault)>,
}

/// A position in the document: the indices of the members and items on the way to it. Their
/// lexicographic order is the order of the document, with a container before its content.
type Order = Vec<usize>;

/// The index of a missing member, after all members that are present.
const MISSING: usize = usize::MAX;

#[derive(Clone, Debug, Default)]
struct Position {
    pointer: String,
    order: Order,
}

impl<'a> Reader<'a> {
    /// A reader of a body.
    pub fn new(object: &'a Object) -> Self {
        Self::at(object, Position::default())
    }

    fn at(object: &'a Object, position: Position) -> Self {
        Self { object, position, asked: Vec::new(), faults: Vec::new() }
    }

    /// Reads a member that must be present. Returns `None` with a fault if it is missing or wrong.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Node) -> Parsed<T>,
    ) -> Option<T> {
        let (position, node) = self.require(name)?;
        self.parse(position, node, parse)
    }

    /// Reads a member that may be absent or null. Returns `None` for both, and `None` with a fault
    /// if the member is wrong.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Node) -> Parsed<T>,
    ) -> Option<T> {
        match self.ask(name)? {
            (_, Node::Null) => None,
            (position, node) => self.parse(position, node, parse),
        }
    }

    /// Reads a member that must be present and an array of objects. `read` reads one object and
    /// returns `None` after a fault.
    ///
    /// A number of items outside of `count` is a fault of the array; items beyond the range are not
    /// read.
    pub fn array<T>(
        &mut self,
        name: &'static str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (position, node) = self.require(name)?;
        self.items(position, node, count, read)
    }

    /// Reads a member that may be absent or null, and that otherwise is like that of
    /// [`array`](Self::array).
    pub fn optional_array<T>(
        &mut self,
        name: &'static str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        match self.ask(name)? {
            (_, Node::Null) => None,
            (position, node) => self.items(position, node, count, read),
        }
    }

    /// Reads a member that may be absent or null, and that otherwise is an object. `read` reads the
    /// object and returns `None` after a fault.
    pub fn optional_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.ask(name)? {
            (_, Node::Null) => None,
            (position, node) => self.item(position, node, read),
        }
    }

    fn items<T>(
        &mut self,
        position: Position,
        node: &Node,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Node::Array(items) = node else {
            return self.fault(position, wrong_type("an array", node));
        };
        if !count.contains(&items.len()) {
            let detail = format!(
                "must have {} to {} items, not {}",
                count.start(),
                count.end(),
                items.len()
            );
            self.fault::<()>(position.clone(), (FaultCode::OUT_OF_RANGE, detail));
        }
        let read_items: Vec<_> = (items.iter().take(*count.end()).enumerate())
            .map(|(index, item)| {
                self.item(position.child(index, &index.to_string()), item, &mut read)
            })
            .collect();
        read_items.into_iter().collect()
    }

    /// Adds a fault of a rule that involves several members.
    ///
    /// `pointer` is a JSON Pointer relative to this object, such as `/products/3/quantity`. Its
    /// target need not exist.
    pub fn refuse(&mut self, pointer: &str, code: FaultCode, detail: impl Into<String>) {
        let order =
            self.position.order.iter().copied().chain(order_of(self.object, pointer)).collect();
        let position = Position { pointer: format!("{}{pointer}", self.position.pointer), order };
        self.fault::<()>(position, (code, detail.into()));
    }

    /// Returns the value that `build` makes of the members, or all faults.
    ///
    /// `build` runs only if there is no fault, so it may unwrap required members with `?`.
    ///
    /// # Errors
    ///
    /// 422 `invalid_request` with all faults in document order, missing members last.
    ///
    /// # Panics
    ///
    /// If `build` returns `None`: a value is missing although no fault was added.
    pub fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        self.refuse_unknown();
        if self.faults.is_empty() {
            return Ok(build().expect("a required member that could not be read has left a fault"));
        }
        self.faults.sort_by(|(one, _), (other, _)| one.cmp(other));
        Err(Problem::invalid(self.faults.into_iter().map(|(_, fault)| fault).collect()))
    }

    fn item<T>(
        &mut self,
        position: Position,
        item: &Node,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        let Node::Object(object) = item else {
            return self.fault(position, wrong_type("an object", item));
        };
        let mut reader = Reader::at(object, position);
        let value = read(&mut reader);
        reader.refuse_unknown();
        self.faults.append(&mut reader.faults);
        value
    }

    fn require(&mut self, name: &'static str) -> Option<(Position, &'a Node)> {
        let found = self.ask(name);
        if found.is_none() {
            self.fault::<()>(
                self.position.child(MISSING, name),
                (FaultCode::REQUIRED, "is required".to_owned()),
            );
        }
        found
    }

    fn ask(&mut self, name: &'static str) -> Option<(Position, &'a Node)> {
        self.asked.push(name);
        let object = self.object;
        let (index, (_, node)) = object.members().enumerate().find(|(_, (its, _))| *its == name)?;
        Some((self.position.child(index, name), node))
    }

    fn parse<T>(
        &mut self,
        position: Position,
        node: &Node,
        parse: impl Fn(&Node) -> Parsed<T>,
    ) -> Option<T> {
        match parse(node) {
            Ok(value) => Some(value),
            Err(wrong) => self.fault(position, wrong),
        }
    }

    /// Adds a fault for each member that the handler did not ask for, up to [`MAX_FAULTS`]: a
    /// problem never reports more.
    fn refuse_unknown(&mut self) {
        let object = self.object;
        let asked = std::mem::take(&mut self.asked);
        let unknown = object.members().enumerate().filter(|(_, (name, _))| !asked.contains(name));
        for (index, (name, _)) in unknown.take(MAX_FAULTS) {
            self.fault::<()>(
                self.position.child(index, name),
                (FaultCode::UNKNOWN_FIELD, "is not a known field".to_owned()),
            );
        }
    }

    fn fault<T>(&mut self, position: Position, (code, detail): (FaultCode, String)) -> Option<T> {
        let detail = format!("{} {detail}", label(&position.pointer));
        self.faults.push((position.order, Fault::pointer(position.pointer, code, detail)));
        None
    }
}

impl Position {
    fn child(&self, index: usize, name: &str) -> Self {
        let order = self.order.iter().copied().chain([index]).collect();
        Self { pointer: format!("{}/{}", self.pointer, escape(name)), order }
    }
}

/// How a message names what a JSON Pointer points to: `price`, `products[3]`, `the body`.
fn label(pointer: &str) -> String {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return "the body".to_owned() };
    let is_index = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    match parent.rsplit_once('/') {
        Some((_, array)) if is_index => format!("{}[{name}]", unescape(array)),
        _ => unescape(name),
    }
}

/// The position of a relative pointer's target within the document; a target that does not exist
/// counts as missing.
fn order_of(object: &Object, pointer: &str) -> Order {
    let mut order = Order::new();
    let mut within = Some(Within::Object(object));
    for name in pointer.split('/').skip(1) {
        let found = match within {
            Some(Within::Object(object)) => {
                object.members().position(|(its, _)| escape(its) == name)
            }
            Some(Within::Items(items)) => name.parse().ok().filter(|index| *index < items.len()),
            None => None,
        };
        order.push(found.unwrap_or(MISSING));
        within = found.and_then(|index| within.and_then(|within| within.child(index)));
    }
    order
}

#[derive(Clone, Copy)]
enum Within<'a> {
    Object(&'a Object),
    Items(&'a [Node]),
}

impl<'a> Within<'a> {
    fn child(self, index: usize) -> Option<Self> {
        let node = match self {
            Self::Object(object) => object.members().nth(index).map(|(_, node)| node),
            Self::Items(items) => items.get(index),
        };
        match node? {
            Node::Object(object) => Some(Self::Object(object)),
            Node::Array(items) => Some(Self::Items(items)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{boolean, integer, parse, text};
    use crate::problem::At;

    #[derive(Debug, PartialEq)]
    struct Order {
        customer: String,
        urgent: Option<bool>,
        lines: Vec<(String, i64)>,
    }

    fn read(body: &str) -> Result<Order, Problem> {
        let object = parse(body.as_bytes())?;
        let mut body = Reader::new(&object);
        let urgent = body.optional("urgent", boolean());
        let lines = body.array("lines", 1..=3, |line| {
            let id = line.required("id", text(5));
            let quantity = line.required("n", integer(1..=10));
            Some((id?, quantity?))
        });
        let customer = body.required("customer", text(5));
        if lines.as_ref().is_some_and(|lines| lines.iter().map(|(_, n)| n).sum::<i64>() > 15) {
            body.refuse("/lines", FaultCode::OUT_OF_RANGE, "must not add up to more than 15");
        }
        body.finish(|| Some(Order { customer: customer?, urgent, lines: lines? }))
    }

    /// `pointer code` per fault, in the order of the problem.
    fn faults(body: &str) -> Vec<String> {
        let problem = read(body).expect_err("must be refused");
        let show = |fault: &Fault| match &fault.at {
            At::Pointer(pointer) => format!("{pointer} {}", fault.code.as_str()),
            At::Parameter(name) => panic!("a body has no parameter {name}"),
        };
        problem.faults.iter().map(show).collect()
    }

    #[test]
    fn a_right_body_is_built_whatever_the_order_of_its_members() {
        let order = Order {
            customer: "c".into(),
            urgent: Some(true),
            lines: vec![("a".into(), 1), ("b".into(), 2)],
        };
        assert_eq!(
            read(r#"{"customer":"c","urgent":true,"lines":[{"id":"a","n":1},{"n":2,"id":"b"}]}"#),
            Ok(order)
        );
    }

    #[test]
    fn null_is_absent_for_an_optional_member_and_wrong_for_a_required_one() {
        assert_eq!(
            read(r#"{"customer":"c","urgent":null,"lines":[{"id":"a","n":1}]}"#).unwrap().urgent,
            None
        );
        assert_eq!(
            faults(r#"{"customer":null,"lines":[{"id":"a","n":1}]}"#),
            ["/customer wrong_type"]
        );
    }

    #[test]
    fn every_fault_is_reported_in_document_order() {
        for (body, expected) in [
            ("{}", &["/lines required", "/customer required"][..]),
            (r#"{"x":1}"#, &["/x unknown_field", "/lines required", "/customer required"]),
            (
                r#"{"lines":{},"urgent":"yes"}"#,
                &["/lines wrong_type", "/urgent wrong_type", "/customer required"],
            ),
            (r#"{"lines":[],"customer":"c"}"#, &["/lines out_of_range"]),
            (r#"{"lines":null,"customer":"c"}"#, &["/lines wrong_type"]),
            (
                r#"{"customer":"toolong","lines":[{"n":0,"id":"a"},7,{"why":1,"id":5,"a/b~c":2}],"urgent":1}"#,
                &[
                    "/customer out_of_range",
                    "/lines/0/n out_of_range",
                    "/lines/1 wrong_type",
                    "/lines/2/why unknown_field",
                    "/lines/2/id wrong_type",
                    "/lines/2/a~1b~0c unknown_field",
                    "/lines/2/n required",
                    "/urgent wrong_type",
                ],
            ),
            (
                r#"{"lines":[{"id":"a","n":1},{"id":"a","n":1},{"id":"a","n":"1"},{"id":"not read"}],"customer":"c"}"#,
                &["/lines out_of_range", "/lines/2/n wrong_type"],
            ),
        ] {
            assert_eq!(faults(body), expected, "{body}");
        }
    }

    #[test]
    fn an_optional_list_or_object_may_be_absent_or_null_and_is_read_as_strictly() {
        type Parcel = (Option<Vec<i64>>, Option<String>);
        let read = |body: &str| -> Result<Parcel, Vec<String>> {
            let object = parse(body.as_bytes()).expect("JSON");
            let mut body = Reader::new(&object);
            let units =
                body.optional_array("units", 1..=2, |unit| unit.required("n", integer(1..=10)));
            let carrier =
                body.optional_object("tracking", |tracking| tracking.required("carrier", text(5)));
            let describe = |fault: &Fault| match &fault.at {
                At::Pointer(pointer) => format!("{pointer} {}", fault.code.as_str()),
                At::Parameter(name) => panic!("a body has no parameter {name}"),
            };
            body.finish(|| Some((units, carrier)))
                .map_err(|problem| problem.faults.iter().map(describe).collect())
        };
        assert_eq!(read("{}"), Ok((None, None)));
        assert_eq!(read(r#"{"units":null,"tracking":null}"#), Ok((None, None)));
        assert_eq!(
            read(r#"{"units":[{"n":2}],"tracking":{"carrier":"C"}}"#),
            Ok((Some(vec![2]), Some("C".to_owned())))
        );
        for (body, faults) in [
            (r#"{"units":[],"tracking":[]}"#, &["/units out_of_range", "/tracking wrong_type"][..]),
            (r#"{"units":{},"tracking":"C"}"#, &["/units wrong_type", "/tracking wrong_type"]),
            (
                r#"{"tracking":{"by":"C","carrier":7},"units":[{"n":0}]}"#,
                &[
                    "/tracking/by unknown_field",
                    "/tracking/carrier wrong_type",
                    "/units/0/n out_of_range",
                ],
            ),
            (r#"{"tracking":{}}"#, &["/tracking/carrier required"]),
        ] {
            assert_eq!(read(body).expect_err(body), faults, "{body}");
        }
    }

    #[test]
    fn a_rule_between_members_is_reported_where_it_points() {
        let body = r#"{"x":1,"lines":[{"id":"a","n":8},{"id":"b","n":8}],"y":1,"customer":"c"}"#;
        assert_eq!(faults(body), ["/x unknown_field", "/lines out_of_range", "/y unknown_field"]);
    }

    #[test]
    fn a_relative_pointer_has_a_position_and_a_missing_target_comes_last() {
        let object = parse(br#"{"a":1,"b":[{"c":1},{"c/d":{"e":2}}]}"#).unwrap();
        for (pointer, order) in [
            ("", vec![]),
            ("/b", vec![1]),
            ("/b/1/c~1d/e", vec![1, 1, 0, 0]),
            ("/b/2", vec![1, MISSING]),
            ("/z", vec![MISSING]),
            ("/a/b", vec![0, MISSING]),
        ] {
            assert_eq!(order_of(&object, pointer), order, "{pointer}");
        }
    }

    #[test]
    fn a_detail_names_the_member_and_the_rule() {
        for (body, detail) in [
            (r#"{"customer":"c","lines":[{"id":"a","n":11}]}"#, "n must be from 1 to 10"),
            (r#"{"customer":"c","lines":[7]}"#, "lines[0] must be an object, not a number"),
            (r#"{"customer":"c","lines":[]}"#, "lines must have 1 to 3 items, not 0"),
            (r#"{"customer":"c","lines":[{"id":"a","n":1}],"a/~":1}"#, "a/~ is not a known field"),
        ] {
            assert_eq!(read(body).unwrap_err().detail, detail, "{body}");
        }
    }

    #[test]
    fn of_thousands_of_faults_the_first_hundred_are_reported() {
        let unknown: Vec<_> = (0..20_000).map(|n| format!("\"m{n}\":0")).collect();
        let listed = faults(&format!("{{{}}}", unknown.join(",")));
        assert_eq!(
            (listed.len(), listed[0].as_str(), listed[99].as_str()),
            (100, "/m0 unknown_field", "/m99 unknown_field")
        );
    }
}
