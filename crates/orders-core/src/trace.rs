//! The trace of the request that caused an entry of a history (W3C Trace Context).

use std::fmt;
use std::str::FromStr;

/// The id of a trace that is exported: 32 hexadecimal digits, not all of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

/// A text that is not the id of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a trace")]
pub struct NotATraceId;

impl TraceId {
    /// Reads the id in a `traceparent` whose flags say that the trace is exported; `None` for every
    /// other text.
    pub fn of(traceparent: &str) -> Option<Self> {
        const SAMPLED: u8 = 1;
        let mut parts = traceparent.split('-').skip(1);
        let id = parts.next()?.parse().ok()?;
        let flags = parts.nth(1).filter(|flags| flags.len() == 2)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (flags & SAMPLED == SAMPLED).then_some(id)
    }
}

impl FromStr for TraceId {
    type Err = NotATraceId;

    fn from_str(text: &str) -> Result<Self, NotATraceId> {
        let is_lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_lower_hex) {
            return Err(NotATraceId);
        }
        match u128::from_str_radix(text, 16) {
            Ok(id) if id != 0 => Ok(Self(id)),
            _ => Err(NotATraceId),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_that_is_exported_has_an_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let of = |traceparent: &str| TraceId::of(traceparent).map(|id| id.to_string());
        assert_eq!(of(&format!("00-{id}-b7ad6b7169203331-01")).as_deref(), Some(id));
        assert_eq!(of(&format!("cc-{id}-b7ad6b7169203331-03-more")).as_deref(), Some(id));
        assert_eq!(of(&format!("00-{id}-b7ad6b7169203331-00")), None);
        for text in ["", "00", id, &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_trace_id_is_read_as_it_is_written() {
        let id = "000000000000000000000000000000ab";
        assert_eq!(id.parse().map(|id: TraceId| id.to_string()).as_deref(), Ok(id));
        for text in ["", "ab", "000000000000000000000000000000AB", &"0".repeat(32)] {
            assert_eq!(text.parse::<TraceId>(), Err(NotATraceId), "{text}");
        }
    }
}
