//! The problems that many operations share, for the API's description.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::{Code, MEDIA_TYPE, Problem};

/// The problems of an operation that reads a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyProblems;

/// The problems of an operation that reads parameters and the storage.
#[derive(Clone, Copy, Debug)]
pub struct ReadProblems;

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
