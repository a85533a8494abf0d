//! The part of JSON Schema that the descriptions use. A keyword that it does not know fails the
//! test.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keywords that only people read, and formats, which are checked where they matter.
const FOR_PEOPLE: [&str; 6] = ["description", "title", "example", "examples", "default", "format"];

/// Fails the test unless the value fits the schema, whose references are to the document.
#[track_caller]
pub(super) fn check(document: &Value, schema: &Value, value: &Value) {
    if let Err(reason) = fits(document, schema, value, "") {
        panic!("{reason} in {value}");
    }
}

/// All references in a document or a schema.
pub(super) fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match value {
        Value::Object(members) => {
            if let Some(Value::String(pointer)) = members.get("$ref") {
                found.insert(pointer.clone());
            }
            found.extend(members.values().flat_map(references));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(references)),
        _ => {}
    }
    found
}

/// The names of the schemas that a schema refers to.
pub(super) fn referred(schema: &Value) -> BTreeSet<String> {
    let last = |pointer: String| pointer.rsplit('/').next().unwrap_or_default().to_owned();
    references(schema).into_iter().map(last).collect()
}

fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if *schema == Value::Bool(false) {
        return Err(format!("{at:?} is not expected"));
    }
    let members = schema.as_object().expect("a schema is an object, or false");
    for (keyword, rule) in members {
        for (part, schema, at) in parts(document, schema, keyword, value, at) {
            fits(document, schema, part, &at)?;
        }
        if !holds(document, keyword, rule, value) {
            return Err(format!("{at:?} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

/// The parts of the value that must fit schemas of their own by this keyword, and where they are.
fn parts<'a>(
    document: &'a Value,
    schema: &'a Value,
    keyword: &str,
    value: &'a Value,
    at: &str,
) -> Vec<(&'a Value, &'a Value, String)> {
    let rule = &schema[keyword];
    let members = || value.as_object().into_iter().flatten();
    let below = |name: &dyn std::fmt::Display| format!("{at}/{name}");
    match keyword {
        "$ref" => {
            let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
            let other = pointer.and_then(|pointer| document.pointer(pointer));
            vec![(value, other.expect("a reference leads somewhere"), at.to_owned())]
        }
        "properties" => members()
            .filter_map(|(name, member)| Some((member, rule.get(name)?, below(name))))
            .collect(),
        "additionalProperties" => members()
            .filter(|(name, _)| schema["properties"].get(name).is_none())
            .map(|(name, member)| (member, rule, below(name)))
            .collect(),
        "items" => {
            let items = value.as_array().into_iter().flatten().enumerate();
            items.map(|(index, item)| (item, rule, below(&index))).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the value itself keeps the rule.
fn holds(document: &Value, keyword: &str, rule: &Value, value: &Value) -> bool {
    let compare = |keeps: fn(f64, f64) -> bool| {
        value.as_f64().is_none_or(|its| rule.as_f64().is_some_and(|bound| keeps(its, bound)))
    };
    match keyword {
        "$ref" | "properties" | "additionalProperties" | "items" => true,
        "type" => match rule {
            Value::Array(types) => types.iter().any(|name| is_a(name, value)),
            name => is_a(name, value),
        },
        "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
        "required" => {
            let mut names = rule.as_array().expect("names").iter().filter_map(Value::as_str);
            value.as_object().is_none_or(|its| names.all(|name| its.contains_key(name)))
        }
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= number(rule)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= number(rule)),
        "minimum" => compare(|its, least| its >= least),
        "maximum" => compare(|its, most| its <= most),
        "pattern" => value.as_str().is_none_or(|text| matches(rule, text)),
        "oneOf" => {
            let schemas = rule.as_array().expect("schemas").iter();
            schemas.filter(|schema| fits(document, schema, value, "").is_ok()).count() == 1
        }
        name if FOR_PEOPLE.contains(&name) => true,
        other => panic!("the keyword {other} is not known here"),
    }
}

fn number(rule: &Value) -> u64 {
    rule.as_u64().expect("a number")
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a name") {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not known here"),
    }
}

/// The patterns of messages. There is no library of patterns among the dependencies.
fn matches(pattern: &Value, text: &str) -> bool {
    match pattern.as_str().expect("a pattern") {
        "^[0-9a-f]{32}$" => {
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        other => panic!("the pattern {other} is not known here"),
    }
}

#[test]
fn what_does_not_fit_a_schema_is_found() {
    use serde_json::json;
    let document = json!({"components": {"schemas": {"Line": {
        "type": "object", "required": ["id"], "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "units": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        },
    }}}});
    let lines = json!({
        "type": "array", "minItems": 1, "maxItems": 2,
        "items": {"$ref": "#/components/schemas/Line"},
    });
    let id = "0123456789abcdef0123456789abcdef";
    for (value, expected) in [
        (json!([{"id": id}]), true),
        (json!([{"id": id, "units": null}, {"id": id, "units": 9}]), true),
        (json!([]), false),
        (json!([{"id": id}, {"id": id}, {"id": id}]), false),
        (json!([{"units": 1}]), false),
        (json!([{"id": id, "units": 0}]), false),
        (json!([{"id": id, "units": 10}]), false),
        (json!([{"id": id, "units": 1.5}]), false),
        (json!([{"id": "x"}]), false),
        (json!([{"id": id, "more": 1}]), false),
        (json!({"id": id}), false),
    ] {
        assert_eq!(fits(&document, &lines, &value, "").is_ok(), expected, "{value}");
    }
    assert_eq!(referred(&lines).into_iter().collect::<Vec<_>>(), ["Line"]);
}
