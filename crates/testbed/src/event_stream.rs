//! A reader of server-sent events.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A stream of server-sent events. Dropping it cuts the connection, wherever it is.
#[derive(Debug)]
pub struct EventStream {
    response: reqwest::Response,
    /// What has arrived of the next messages.
    arrived: Vec<u8>,
}

/// A message with an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMessage {
    /// The cursor behind the event.
    pub id: String,
    /// Its type.
    pub event: String,
    /// Its data, which must be JSON.
    pub data: Value,
}

impl EventStream {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { response, arrived: Vec::new() }
    }

    /// The status code of the response.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Waits for the next message that has an event. Returns `None` if the stream has ended or the
    /// connection broke: a message of which only a part has arrived is none.
    pub async fn next(&mut self) -> Option<EventMessage> {
        loop {
            let block = self.next_block().await?;
            let value = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim_start().to_owned())
            };
            if let (Some(id), Some(event), Some(data)) =
                (value("id:"), value("event:"), value("data:"))
            {
                let data = serde_json::from_str(&data).expect("the data is JSON");
                return Some(EventMessage { id, event, data });
            }
        }
    }

    /// Waits for the next block of lines, also one without an event.
    pub async fn next_block(&mut self) -> Option<String> {
        loop {
            let end = self.arrived.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let rest = self.arrived.split_off(end + 2);
                let block = std::mem::replace(&mut self.arrived, rest);
                return Some(String::from_utf8(block).expect("events are UTF-8"));
            }
            let more = self.response.chunk().await.ok().flatten()?;
            self.arrived.extend_from_slice(&more);
        }
    }
}
