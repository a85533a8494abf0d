//! Which spans are exported.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// The sampler of the environment, but for commits.
///
/// A span without a parent that links to others, as a commit does, is exported if one of them is:
/// it must be there for each trace that names it, and for no other.
#[derive(Clone, Debug)]
pub(super) struct WithCommits(pub(super) Box<dyn ShouldSample>);

impl ShouldSample for WithCommits {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let has_parent = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        if has_parent || links.is_empty() {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let is_named = links.iter().any(|link| link.span_context.is_sampled());
        let decision =
            if is_named { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE }
    }
}
