//! Creates a product or a location, or changes what is said of one that exists.

use http::{StatusCode, header};
use serde_json::{Map, Value};

use super::{Context, field};
use crate::client::{Answer, Failed, Request, segment};
use crate::output::{clean, line, show};

/// How often it is read again because somebody else has changed it meanwhile.
const REPEATS: u32 = 3;

/// Something to create or to change.
pub(super) struct Put {
    /// `product` or `location`.
    pub(super) kind: &'static str,
    pub(super) id: String,
    /// Every member that it has, and the value if the user has named one.
    pub(super) members: Vec<(&'static str, Option<Value>)>,
    /// Whether it must not exist yet with other values.
    pub(super) is_new: bool,
}

/// What is replaced, and under which condition.
struct Replacement {
    body: Map<String, Value>,
    condition: Option<(&'static str, String)>,
}

impl Put {
    /// Sends it, and prints it as JSON, or what was done with it. Returns it for what people read
    /// below.
    ///
    /// # Errors
    ///
    /// It does not exist and has no name yet, it exists although it must not, or the service
    /// refuses it or cannot be reached.
    pub(super) async fn run(self, context: &Context) -> Result<Option<Value>, Failed> {
        let answer = self.send(context).await?;
        if context.json {
            line(answer.raw()?)?;
            return Ok(None);
        }
        let now = answer.json()?;
        // What is saved may have been so before.
        let is_created = answer.status == StatusCode::CREATED;
        let done = if is_created { "created" } else { "saved" };
        let id = show(&now[format!("{}_id", self.kind)]);
        field(self.kind, format_args!("{id}, {done}"))?;
        Ok(Some(now))
    }

    /// A member that the user has not named stays as it is: the API would set it back.
    async fn send(&self, context: &Context) -> Result<Answer, Failed> {
        let path = format!("/api/inventory/{}s/{}", self.kind, segment(&self.id));
        let mut repeats = 0;
        loop {
            let Replacement { body, condition } = self.replacement(context, &path).await?;
            let mut request = Request::put(&path, Value::Object(body).to_string());
            if let Some((name, value)) = condition {
                request = request.header(name, &value)?;
            }
            match context.client.send(&request).await {
                Err(error) if error.code() == Some("precondition_failed") && self.is_new => {
                    return Err(Failed::line(format!(
                        "the {} exists with other values, and nothing was changed\nhint: without \
                         --new, what the command names is changed",
                        self.name()
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

    /// What it is, with its id: `product MUG`.
    fn name(&self) -> String {
        format!("{} {}", self.kind, clean(&self.id))
    }

    /// The members that the user has named.
    fn given(&self) -> Map<String, Value> {
        let given = self.members.iter().filter_map(|(name, value)| {
            let value = value.clone()?;
            Some(((*name).to_owned(), value))
        });
        given.collect()
    }

    async fn replacement(&self, context: &Context, path: &str) -> Result<Replacement, Failed> {
        let mut body = self.given();
        let of_new =
            |body| Replacement { body, condition: Some(("if-none-match", "*".to_owned())) };
        if self.is_new {
            return Ok(of_new(body));
        }
        if body.len() == self.members.len() {
            return Ok(Replacement { body, condition: None });
        }
        let found = match context.client.get(path).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) && body.contains_key("name") => {
                return Ok(of_new(body));
            }
            Err(error) if is_missing(&error) => {
                return Err(Failed::not_found(format!(
                    "the {} does not exist\nhint: with --name, it is created",
                    self.name()
                )));
            }
            Err(error) => return Err(error),
        };
        let now = found.json()?;
        for (member, _) in &self.members {
            body.entry(*member).or_insert_with(|| now[*member].clone());
        }
        let tag = found.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        Ok(Replacement { body, condition: tag.map(|tag| ("if-match", tag.to_owned())) })
    }
}

fn is_missing(error: &Failed) -> bool {
    matches!(error.code(), Some("product_not_found" | "location_not_found"))
}
