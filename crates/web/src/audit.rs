//! What the auditors of a service have done, as the API shows it.

use platform::audit::{AuditReport, InvariantReport, Offender};
use platform::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What the audit beside the service has done since the process started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Audit)]
pub struct AuditView {
    round: RoundView,
    /// Whether all auditors run.
    running: bool,
    /// When an auditor last ended a step; null before the first.
    #[schema(value_type = Option<String>, format = "date-time")]
    last_step_at: Option<String>,
    /// Whether an auditor cannot read the database now.
    failing: bool,
    invariants: Vec<InvariantView>,
    /// What was found last to break an invariant, the newest first, at most 100.
    offenders: Vec<OffenderView>,
}

/// The rounds of the audit. Each reads the new rows and some older ones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRound)]
struct RoundView {
    /// How many rounds are complete.
    number: u64,
    /// When the last of them ended; null before the first.
    #[schema(value_type = Option<String>, format = "date-time")]
    ended_at: Option<String>,
}

/// An invariant, and how often it was checked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditedInvariant)]
struct InvariantView {
    #[schema(example = "INV-4")]
    name: &'static str,
    /// What must hold.
    says: &'static str,
    /// What it is checked on, in the plural.
    #[schema(example = "orders")]
    counted: &'static str,
    /// How often it was checked.
    checked: u64,
    /// How often it was found broken. A row that stays wrong is found again in later rounds.
    violations: u64,
}

/// What broke an invariant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditOffender)]
struct OffenderView {
    #[schema(example = "INV-4")]
    invariant: &'static str,
    /// What breaks it and how.
    offender: String,
    /// When it was found last.
    #[schema(value_type = String, format = "date-time")]
    found_at: String,
}

impl From<AuditReport> for AuditView {
    fn from(report: AuditReport) -> Self {
        let round = RoundView {
            number: report.rounds,
            ended_at: report.round_ended_at.map(Timestamp::to_rfc3339),
        };
        Self {
            round,
            running: report.running,
            last_step_at: report.last_step_at.map(Timestamp::to_rfc3339),
            failing: report.failing,
            invariants: report.invariants.into_iter().map(InvariantView::from).collect(),
            offenders: report.offenders.into_iter().map(OffenderView::from).collect(),
        }
    }
}

impl From<InvariantReport> for InvariantView {
    fn from(report: InvariantReport) -> Self {
        let InvariantReport { invariant, checked, violations } = report;
        let platform::audit::Invariant { name, says, counted } = invariant;
        Self { name, says, counted, checked, violations }
    }
}

impl From<Offender> for OffenderView {
    fn from(found: Offender) -> Self {
        let Offender { invariant, offender, found_at } = found;
        Self { invariant, offender, found_at: found_at.to_rfc3339() }
    }
}
