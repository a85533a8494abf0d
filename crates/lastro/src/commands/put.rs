//! Creates a product or a location, or changes what is said of one that exists.

use http::header;
use serde_json::{Map, Value};

use super::Context;
use crate::client::{Answer, Failed, Request};

/// How often it is read again because somebody else has changed it meanwhile.
const REPEATS: u32 = 3;

/// Something to create or to change.
pub(super) struct Put<'a> {
    pub(super) path: String,
    /// What it is, with its id: `product MUG`.
    pub(super) name: String,
    /// Every member that it has.
    pub(super) members: &'a [&'a str],
    /// The members that the user has named.
    pub(super) given: Map<String, Value>,
    /// Whether it must not exist yet.
    pub(super) is_new: bool,
}

/// What is replaced, and under which condition.
struct Replacement {
    body: Map<String, Value>,
    condition: Option<(&'static str, String)>,
}

impl Put<'_> {
    /// Sends it. A member that the user has not named stays as it is: the API would set it back.
    ///
    /// # Errors
    ///
    /// It does not exist and has no name yet, it exists although it must not, or the service
    /// refuses it or cannot be reached.
    pub(super) async fn send(self, context: &Context) -> Result<Answer, Failed> {
        let mut repeats = 0;
        loop {
            let Replacement { body, condition } = self.replacement(context).await?;
            let mut request = Request::put(&self.path, Value::Object(body).to_string());
            if let Some((name, value)) = condition {
                request = request.header(name, &value)?;
            }
            match context.client.send(&request).await {
                Err(error) if error.code() == Some("precondition_failed") && self.is_new => {
                    return Err(Failed::line(format!(
                        "the {} exists already, and nothing was changed\nhint: without --new, what \
                         the command names is changed",
                        self.name
                    )));
                }
                // Somebody else was faster, or an attempt whose answer was lost.
                Err(error) if error.code() == Some("precondition_failed") && repeats < REPEATS => {
                    repeats += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn replacement(&self, context: &Context) -> Result<Replacement, Failed> {
        let of_new = || Replacement {
            body: self.given.clone(),
            condition: Some(("if-none-match", "*".to_owned())),
        };
        if self.is_new {
            return Ok(of_new());
        }
        if self.members.iter().all(|member| self.given.contains_key(*member)) {
            return Ok(Replacement { body: self.given.clone(), condition: None });
        }
        let found = match context.client.get(&self.path).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) && self.given.contains_key("name") => {
                return Ok(of_new());
            }
            Err(error) if is_missing(&error) => {
                return Err(Failed::not_found(format!(
                    "the {} does not exist\nhint: with --name, it is created",
                    self.name
                )));
            }
            Err(error) => return Err(error),
        };
        let now = found.json()?;
        let mut body = self.given.clone();
        for member in self.members {
            body.entry(*member).or_insert_with(|| now[*member].clone());
        }
        let tag = found.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        Ok(Replacement { body, condition: tag.map(|tag| ("if-match", tag.to_owned())) })
    }
}

fn is_missing(error: &Failed) -> bool {
    matches!(error.code(), Some("product_not_found" | "location_not_found"))
}

/// Whether a change has created the thing or changed it, for people.
pub(super) fn done(answer: &Answer) -> &'static str {
    if answer.status == http::StatusCode::CREATED { "created" } else { "changed" }
}
