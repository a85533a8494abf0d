//! The problems that many operations share, for the API's description.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::{Code, MEDIA_TYPE, Problem};

/// The problems of an operation that reads a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyProblems;

/// The problems of an operation that reads parameters and the storage.
#[derive(Clone, Copy, Debug)]
pub struct ReadProblems;

/// The problems of an operation that reads parameters and searches the storage.
#[derive(Clone, Copy, Debug)]
pub struct SearchProblems;

/// The problems of an operation that writes to the storage.
#[derive(Clone, Copy, Debug)]
pub struct WriteProblems;

impl IntoResponses for BodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[
            Code::MALFORMED_JSON,
            Code::BODY_TOO_LARGE,
            Code::UNSUPPORTED_MEDIA_TYPE,
            Code::INVALID_REQUEST,
        ])
    }
}

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Code::INVALID_REQUEST, Code::STORAGE_UNAVAILABLE])
    }
}

impl IntoResponses for SearchProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Code::INVALID_REQUEST, Code::OVERLOADED, Code::STORAGE_UNAVAILABLE])
    }
}

impl IntoResponses for WriteProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[
            Code::OVERLOADED,
            Code::STORAGE_FULL,
            Code::STORAGE_UNAVAILABLE,
            Code::OUTCOME_UNKNOWN,
            Code::SHUTTING_DOWN,
        ])
    }
}

/// Adds the problems that the edge answers in place of a handler to every operation.
pub(crate) fn add_edge_problems(api: &mut OpenApi) {
    let of_all = [
        Code::INVALID_HOST,
        Code::UNAUTHENTICATED,
        Code::FORBIDDEN,
        Code::MISDIRECTED_REQUEST,
        Code::RATE_LIMITED,
    ];
    let reads = documented(&of_all);
    let changes = documented(&[&of_all[..], &[Code::CROSS_SITE_REQUEST]].concat());
    for item in api.paths.paths.values_mut() {
        item.get.iter_mut().for_each(|operation| add(operation, &reads));
        let changing = [&mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        changing.into_iter().flatten().for_each(|operation| add(operation, &changes));
    }
}

fn add(operation: &mut Operation, problems: &BTreeMap<String, RefOr<Response>>) {
    for (status, problem) in problems {
        let known = operation.responses.responses.entry(status.clone());
        known
            .and_modify(|known| {
                if let (RefOr::T(known), RefOr::T(problem)) = (known, problem) {
                    known.description = format!("{}. {}", known.description, problem.description);
                }
            })
            .or_insert_with(|| problem.clone());
    }
}

/// One response per status, whose description lists the codes and their titles.
fn documented(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut lines = BTreeMap::<String, Vec<String>>::new();
    for code in codes {
        let line = format!("`{}`: {}", code.as_str(), code.title());
        lines.entry(code.status().as_str().to_owned()).or_default().push(line);
    }
    let response = |lines: Vec<String>| {
        let content =
            ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        ResponseBuilder::new().description(lines.join(". ")).content(MEDIA_TYPE, content).build()
    };
    lines.into_iter().map(|(status, lines)| (status, RefOr::T(response(lines)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_the_problems_of_the_edge() {
        let operation = || {
            let mut operation = Operation::new();
            operation.responses.responses = documented(&[Code::INVALID_CURSOR]);
            Some(operation)
        };
        let mut item = utoipa::openapi::PathItem::default();
        (item.get, item.post) = (operation(), operation());
        let mut api = OpenApi::default();
        api.paths.paths.insert("/".to_owned(), item);
        add_edge_problems(&mut api);
        let json = serde_json::to_value(&api).expect("JSON");
        let statuses = |method: &str| {
            let responses = json["paths"]["/"][method]["responses"].as_object().expect("responses");
            responses.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(statuses("get"), ["400", "401", "403", "421", "429"]);
        assert_eq!(statuses("post"), ["400", "401", "403", "421", "429"]);
        let text = json["paths"]["/"]["get"]["responses"]["400"]["description"].to_string();
        assert!(text.contains("invalid_cursor") && text.contains("invalid_host"), "{text}");
    }

    #[test]
    fn codes_of_one_status_share_its_response() {
        let write = WriteProblems::responses();
        assert_eq!(write.keys().collect::<Vec<_>>(), ["503"]);
        let text = serde_json::to_string(&write).expect("JSON");
        assert!(
            text.contains("outcome_unknown") && text.contains("application/problem+json"),
            "{text}"
        );
        assert!(text.contains("#/components/schemas/Problem"), "{text}");
        assert_eq!(
            BodyProblems::responses().keys().collect::<Vec<_>>(),
            ["400", "413", "415", "422"]
        );
    }
}
