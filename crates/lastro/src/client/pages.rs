//! Lists, page by page.

use std::fmt::{Display, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Answer, Client, Failed};

/// The characters of a value in a query or a path that are written as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b',');
/// The most items of a page.
pub(crate) const PAGE: usize = 200;

/// An item of a list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// As the service wrote it.
    pub(crate) raw: String,
    pub(crate) value: Value,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<String>,
    /// The whole answer.
    pub(crate) whole: Value,
}

impl Page {
    /// The page in an answer.
    ///
    /// # Errors
    ///
    /// It is none: something else than the service has answered.
    pub(crate) fn of(answer: &Answer) -> Result<Self, Failed> {
        let whole = answer.json()?;
        let no_list = |error| Failed::line(format!("the answer is not a list: {error}"));
        let Read { data, next_cursor } = serde_json::from_slice(&answer.body).map_err(no_list)?;
        let item = |raw: &RawValue| {
            let value = serde_json::from_str(raw.get()).map_err(no_list)?;
            Ok(Item { raw: raw.get().to_owned(), value })
        };
        let items = data.into_iter().map(item).collect::<Result<_, Failed>>()?;
        Ok(Self { items, next: next_cursor, whole })
    }
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

/// A path with its query.
#[derive(Clone, Debug)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn of(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// Adds a parameter, if there is a value.
    pub(crate) fn with(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            let joint = if self.0.contains('?') { '&' } else { '?' };
            let value = value.to_string();
            // Writing to a `String` cannot fail.
            let _ = write!(self.0, "{joint}{name}={}", utf8_percent_encode(&value, PLAIN));
        }
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value as a part of a path.
pub(crate) fn segment(value: &str) -> String {
    utf8_percent_encode(value, PLAIN).to_string()
}

impl Client {
    /// Reads one page of a list.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub(crate) async fn page(&self, query: &Query) -> Result<Page, Failed> {
        Page::of(&self.get(query.as_str()).await?)
    }

    /// Reads a list up to so many items, and gives them page by page to `each`. Returns whether
    /// there are more.
    ///
    /// # Errors
    ///
    /// As [`Self::send`], and what `each` returns.
    pub(crate) async fn pages(
        &self,
        query: &Query,
        limit: usize,
        mut each: impl FnMut(Vec<Item>) -> Result<(), Failed>,
    ) -> Result<bool, Failed> {
        let mut left = limit;
        let mut cursor = None::<String>;
        loop {
            let query = query.clone().with("limit", Some(left.min(PAGE)));
            let page = self.page(&query.with("cursor", cursor.as_ref())).await?;
            left = left.saturating_sub(page.items.len());
            each(page.items)?;
            match page.next {
                None => return Ok(false),
                Some(_) if left == 0 => return Ok(true),
                next => cursor = next,
            }
        }
    }

    /// Reads a list up to so many items.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub(crate) async fn list(&self, query: &Query, limit: usize) -> Result<Vec<Item>, Failed> {
        let mut all = Vec::new();
        self.pages(query, limit, |items| {
            all.extend(items);
            Ok(())
        })
        .await?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_keeps_its_values_apart() {
        let query = Query::of("/x").with("q", Some("a b&c=ç")).with("no", None::<u8>);
        assert_eq!(query.with("n", Some(2)).as_str(), "/x?q=a%20b%26c%3D%C3%A7&n=2");
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
