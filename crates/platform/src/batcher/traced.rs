//! The spans of a commit: one for the batch, and one for each command whose trace is exported.
//!
//! A command's span belongs to the trace of its request or message and links to the span of the
//! commit, which has a trace of its own and links back.

use opentelemetry::trace::SpanContext;

use super::Commit;
use crate::failure::Failure;
use crate::telemetry::traces::{self, Kind, MAX_LINKS, Span, Traces};

/// What traces say about the commits of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedCommits {
    /// The name of the span: the service, behind `commit`.
    pub name: &'static str,
    /// The database, as the attribute `db.system.name` calls it.
    pub engine: &'static str,
}

/// What traces say about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedCommand<'c> {
    /// The name of its span: one of few.
    pub name: &'static str,
    /// The `traceparent` of the message that brought it, if one did.
    pub traceparent: Option<&'c str>,
    /// The attribute that says what it is about.
    pub subject: Option<(&'static str, String)>,
}

/// The spans of a commit that is under way. They end when this is dropped.
pub(super) struct BatchSpans {
    commit: Span,
    commands: Vec<Span>,
}

impl BatchSpans {
    /// Begins the spans, if one of the commands is in a trace that is exported. With each command
    /// comes the span of the request that waits for it.
    pub(super) fn begin<'c, C: 'c, A>(
        traces: &Traces,
        commit: &dyn Commit<C, A>,
        commands: impl ExactSizeIterator<Item = (&'c C, Option<&'c SpanContext>)>,
    ) -> Option<Self> {
        let TracedCommits { name, engine } = commit.traced()?;
        let count = i64::try_from(commands.len()).unwrap_or(i64::MAX);
        let mut spans: Vec<Span> = commands
            .filter_map(|(command, request)| {
                let traced = commit.traced_command(command)?;
                let sender = traced.traceparent.and_then(traces::read_sampled);
                let parent = request.or(sender.as_ref())?;
                let mut span = traces.begin(Kind::Internal, traced.name.to_owned(), Some(parent));
                if let Some((name, value)) = traced.subject {
                    span.set(name, value);
                }
                Some(span)
            })
            .collect();
        if spans.is_empty() {
            return None;
        }
        let links = spans.iter().take(MAX_LINKS).map(|span| span.context().clone()).collect();
        let mut commit = traces.begin_linked(name, links);
        commit.set("db.system.name", engine);
        commit.set("lastro.commit.commands", count);
        spans.iter_mut().for_each(|span| span.link(commit.context()));
        Some(Self { commit, commands: spans })
    }

    /// Notes that the commit failed.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let kind = match failure {
            Failure::Busy(_) => "busy",
            Failure::Unknown(_) => "outcome_unknown",
            Failure::Unavailable(_) => "unavailable",
            Failure::Full(_) => "storage_full",
            Failure::Suspect(_) => "suspect",
            Failure::Fatal(_) => "fatal",
        };
        self.commit.fail(kind);
        self.commands.iter_mut().for_each(|span| span.fail(kind));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use opentelemetry::trace::Status;
    use opentelemetry_sdk::trace::Sampler;

    use super::*;
    use crate::telemetry::traces::tests::{NOT_SAMPLED, SAMPLED, context, traces};

    /// Commits messages, which are their trace contexts.
    struct Messages;

    #[async_trait]
    impl Commit<&'static str, ()> for Messages {
        async fn commit(&self, batch: Arc<[&'static str]>) -> Result<Vec<()>, Failure> {
            Ok(vec![(); batch.len()])
        }

        fn traced(&self) -> Option<TracedCommits> {
            Some(TracedCommits { name: "commit messages", engine: "none" })
        }

        fn traced_command<'c>(&self, command: &'c &'static str) -> Option<TracedCommand<'c>> {
            Some(TracedCommand { name: "decide", traceparent: Some(*command), subject: None })
        }
    }

    #[test]
    fn a_commit_and_the_commands_of_exported_traces_link_to_each_other() {
        let (traces, kept) = traces(Sampler::AlwaysOff);
        let request = traces.begin(Kind::Server, "request".to_owned(), Some(&context(SAMPLED)));
        let commands = [(&SAMPLED, None), (&NOT_SAMPLED, None), (&"none", Some(request.context()))];
        let mut spans = BatchSpans::begin(&traces, &Messages, commands.into_iter()).expect("some");
        spans.fail(&Failure::Full(Arc::new(std::io::Error::other("full"))));
        drop(spans);
        let ended = kept.take();
        let [commit, of_message, of_request] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!((commit.name.as_ref(), of_message.name.as_ref()), ("commit messages", "decide"));
        assert_eq!(of_message.parent_span_id, context(SAMPLED).span_id());
        assert_eq!(of_request.parent_span_id, request.context().span_id());
        let links: Vec<_> = commit.links.iter().map(|link| &link.span_context).collect();
        assert_eq!(links, [&of_message.span_context, &of_request.span_context]);
        for span in [of_message, of_request] {
            assert_eq!(span.links.links[0].span_context, commit.span_context);
            assert_eq!(span.status, Status::error(""));
        }
    }

    #[test]
    fn a_commit_without_an_exported_trace_has_no_span() {
        let (traces, kept) = traces(Sampler::AlwaysOn);
        let commands = [(&NOT_SAMPLED, None), (&"none", None)];
        assert!(BatchSpans::begin(&traces, &Messages, commands.into_iter()).is_none());
        assert_eq!(kept.take(), []);
    }
}
