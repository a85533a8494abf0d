//! Completes the description of an API with what the readers of this crate demand.
//!
//! A handler names its parameters and members. How text, cursors, keys and conditions must look is
//! the same wherever they are read, so it is written here once.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{Object, OpenApi, RefOr, Schema};

/// Any text that [`text`](crate::body::text) may accept: no controls, line breaks and characters
/// that change the direction of text.
const TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";
/// Base64url. That a list gave it out shows only when it is read.
const CURSOR: &str = "^[A-Za-z0-9_-]+$";
const IDEMPOTENCY_KEY: &str = "^[!-~]{1,255}$";
/// `*`, or entity tags in quotes.
const IF_MATCH: &str = r#"^(\*|"[!#-~]*"(, ?"[!#-~]*")*)$"#;

/// Completes the parameters, the members and the bodies.
pub(crate) fn complete(api: &mut OpenApi) {
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        let parameters = operation.parameters.iter_mut().flatten();
        parameters.filter_map(inline).for_each(complete_parameter);
        complete_body(operation);
        let responses = operation.responses.responses.values_mut().filter_map(inline);
        let headers = responses.flat_map(|response| response.headers.values_mut());
        let schemas = headers.filter_map(inline).filter_map(|header| header.schema.as_mut());
        schemas.filter_map(object).for_each(not_null);
    }
    let schemas = api.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    for object in schemas.filter_map(object) {
        object.properties.values_mut().filter_map(self::object).for_each(complete_text);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .flatten()
}

/// Our descriptions have no parameters and bodies that several operations share.
fn inline<T>(part: &mut RefOr<T>) -> Option<&mut T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

fn object(schema: &mut RefOr<Schema>) -> Option<&mut Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}

fn complete_parameter(parameter: &mut Parameter) {
    let Some(schema) = parameter.schema.as_mut().and_then(object) else { return };
    not_null(schema);
    let pattern = match (&parameter.parameter_in, parameter.name.as_str()) {
        (ParameterIn::Query, "cursor" | "after") => CURSOR,
        (ParameterIn::Header, "Idempotency-Key") => IDEMPOTENCY_KEY,
        (ParameterIn::Header, "If-Match") => IF_MATCH,
        (ParameterIn::Header, "If-None-Match") => {
            schema.enum_values = Some(vec!["*".into()]);
            return;
        }
        _ => return complete_text(schema),
    };
    schema.pattern = Some(pattern.to_owned());
}

/// Only text has a longest length: ids have a pattern of their own.
fn complete_text(object: &mut Object) {
    if object.max_length.is_some() && object.pattern.is_none() {
        object.pattern = Some(TEXT.to_owned());
    }
}

/// A parameter or a header that may be absent is not `null`, which neither can say.
fn not_null(object: &mut Object) {
    if let SchemaType::Array(types) = &object.schema_type {
        let others: Vec<_> = types.iter().filter(|its| **its != Type::Null).cloned().collect();
        if let [only] = others.as_slice() {
            object.schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// A body that may be absent is not `null`, which is not an object.
fn complete_body(operation: &mut Operation) {
    let bodies = operation.request_body.iter_mut().filter_map(inline);
    let contents = bodies.flat_map(|body| body.content.values_mut());
    for schema in contents.filter_map(inline).filter_map(|content| content.schema.as_mut()) {
        let RefOr::T(Schema::OneOf(one_of)) = &*schema else { continue };
        let is_null = |item: &&RefOr<Schema>| {
            matches!(item, RefOr::T(Schema::Object(object))
                if matches!(object.schema_type, SchemaType::Type(Type::Null)))
        };
        let others: Vec<_> = one_of.items.iter().filter(|item| !is_null(item)).collect();
        if let ([only], true) = (others.as_slice(), others.len() < one_of.items.len()) {
            *schema = (*only).clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::body::{self, Node};

    fn completed(api: Value) -> Value {
        let mut api: OpenApi = serde_json::from_value(api).expect("a description");
        complete(&mut api);
        serde_json::to_value(&api).expect("JSON")
    }

    #[test]
    fn parameters_and_members_have_the_patterns_of_their_readers() {
        let parameter = |place: &str, name: &str, schema: Value| json!({"name": name, "in": place, "required": false, "schema": schema});
        let text = json!({"type": "string", "maxLength": 200});
        let parameters = [
            parameter("query", "q", text.clone()),
            parameter("query", "cursor", json!({"type": "string"})),
            parameter("query", "ids", json!({"type": "string", "pattern": "x"})),
            parameter("header", "Idempotency-Key", json!({"type": "string"})),
            parameter("header", "If-Match", json!({"type": "string"})),
            parameter("header", "If-None-Match", json!({"type": "string"})),
            parameter("header", "Prefer", json!({"type": ["string", "null"]})),
        ];
        let members = json!({"name": text, "id": {"type": "string"}});
        let api = completed(json!({
            "openapi": "3.1.0", "info": {"title": "", "version": ""},
            "paths": {"/": {"put": {"responses": {}, "parameters": parameters}}},
            "components": {"schemas": {"New": {"type": "object", "properties": members}}},
        }));
        let listed = api["paths"]["/"]["put"]["parameters"].as_array().expect("a list");
        let patterns: Vec<_> = listed.iter().map(|one| one["schema"]["pattern"].as_str()).collect();
        let expected = [TEXT, CURSOR, "x", IDEMPOTENCY_KEY, IF_MATCH];
        assert_eq!(
            patterns,
            expected.map(Some).into_iter().chain([None, None]).collect::<Vec<_>>()
        );
        assert_eq!(listed[5]["schema"]["enum"], json!(["*"]));
        assert_eq!(listed[6]["schema"], json!({"type": "string"}), "a header is not null");
        let members = &api["components"]["schemas"]["New"]["properties"];
        assert_eq!(
            (&members["name"]["pattern"], &members["id"]["pattern"]),
            (&json!(TEXT), &Value::Null)
        );
    }

    #[test]
    fn a_body_that_may_be_absent_is_not_null() {
        let body = json!({"content": {"application/json": {"schema": {
            "oneOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}],
        }}}});
        let api = completed(json!({
            "openapi": "3.1.0", "info": {"title": "", "version": ""},
            "paths": {"/": {"post": {"responses": {}, "requestBody": body}}},
        }));
        let body = &api["paths"]["/"]["post"]["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        assert_eq!(schema, &json!({"$ref": "#/components/schemas/A"}));
        assert_eq!(body["required"], Value::Null);
    }

    /// The ranges of the pattern, read as the pattern is written.
    #[test]
    fn the_pattern_of_text_forbids_what_its_reader_refuses() {
        let class = TEXT.strip_prefix("^[^").and_then(|rest| rest.strip_suffix("]*$"));
        let hex = |text: &str| u32::from_str_radix(text, 16).expect("four digits");
        let mut forbidden = Vec::new();
        for part in class.expect("a class of characters").split("\\u").skip(1) {
            let code = hex(&part[..4]);
            match forbidden.last_mut() {
                Some((_, end @ None)) => *end = Some(code),
                _ => forbidden.push((code, Some(code))),
            }
            if part.ends_with('-') {
                *forbidden.last_mut().expect("one at least") = (code, None);
            }
        }
        let is_forbidden = |c: char| {
            forbidden.iter().any(|(from, to)| (*from..=to.expect("an end")).contains(&u32::from(c)))
        };
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let read = body::text(4)(&Node::String(c.to_string()));
            assert_eq!(read.is_err(), is_forbidden(c), "{c:?}");
        }
    }
}
