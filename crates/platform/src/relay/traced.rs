//! The spans of messages that are published.

use std::fmt::{self, Display};

use super::Outbox;
use crate::telemetry::traces::{self, Kind, Span};

/// What a trace needs of a message.
pub struct Traced<'m> {
    /// The trace context, which the message carries on.
    pub traceparent: &'m mut Option<String>,
    /// The attribute that says what the message is about.
    pub subject: (&'static str, &'m dyn Display),
}

impl fmt::Debug for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("traceparent", &self.traceparent).finish_non_exhaustive()
    }
}

/// The spans of messages that are about to be published: one per message, for those whose traces
/// are exported, or none at all.
#[derive(Debug, Default)]
pub struct MessageSpans(Vec<Option<Span>>);

impl Outbox {
    /// Begins the spans of messages that are about to be published, and lets the messages carry them
    /// on. Without traces, nothing is done.
    pub fn trace<M>(&self, messages: &mut [M], of: fn(&mut M) -> Traced<'_>) -> MessageSpans {
        let Some(traces) = traces::current() else { return MessageSpans::default() };
        let destination = self.bus.destination(self.channel);
        let begin = |message| {
            let Traced { traceparent, subject } = of(message);
            let parent = traces::read_sampled(traceparent.as_deref()?)?;
            let name = format!("publish {destination}");
            let mut span = traces.begin(Kind::Producer, name, Some(&parent));
            span.set("messaging.system", self.bus.system());
            span.set("messaging.operation.name", "publish");
            span.set("messaging.operation.type", "send");
            span.set("messaging.destination.name", destination.clone());
            span.set(subject.0, subject.1.to_string());
            *traceparent = Some(span.traceparent());
            Some(span)
        };
        MessageSpans(messages.iter_mut().map(begin).collect())
    }
}

impl MessageSpans {
    /// The spans of each batch. Batches have so many messages each, in their order, and those that
    /// are left out are in none.
    pub(super) fn of_batches(self, counts: &[usize], left_out: &[usize]) -> Vec<Vec<Span>> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (gone, sent): (Vec<_>, Vec<_>) =
            self.0.into_iter().enumerate().partition(|(index, _)| left_out.contains(index));
        fail(gone.into_iter().filter_map(|(_, span)| span), "too_large");
        let mut sent = sent.into_iter().map(|(_, span)| span);
        counts.iter().map(|count| sent.by_ref().take(*count).flatten().collect()).collect()
    }
}

/// Ends the spans of messages that were not published.
pub(super) fn fail(spans: impl IntoIterator<Item = Span>, kind: &'static str) {
    spans.into_iter().for_each(|mut span| span.fail(kind));
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler;

    use super::*;
    use crate::telemetry::traces::tests::{SAMPLED, context, traces};

    #[test]
    fn each_span_goes_with_the_batch_of_its_message() {
        let (traces, kept) = traces(Sampler::AlwaysOn);
        let begin = |name: &str| {
            Some(traces.begin(Kind::Producer, name.to_owned(), Some(&context(SAMPLED))))
        };
        let spans =
            MessageSpans(vec![begin("a"), begin("too large"), None, begin("b"), begin("c")]);
        let names = || kept.take().into_iter().map(|span| span.name).collect::<Vec<_>>();
        let batches = spans.of_batches(&[2, 2], &[1]);
        assert_eq!(names(), ["too large"]);
        for (batch, expected) in batches.into_iter().zip([&["a"][..], &["b", "c"]]) {
            drop(batch);
            assert_eq!(names(), expected);
        }
    }

    #[test]
    fn without_spans_no_batch_has_any() {
        assert!(MessageSpans::default().of_batches(&[2, 2], &[]).is_empty());
    }
}
