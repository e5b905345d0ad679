//! Moments that an operator names: when a planned switch happens.

use crate::failure::Failure;
use jiff::fmt::temporal::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How often the clock is looked at: it may be set while we wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Longer than that is a mistake, or a task for a scheduler.
const FURTHEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// `2026-11-27T02:00:00Z`, or with another offset; or a span from now: `+15m`, `+1h 30m`.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let expected =
        "expected a time as 2026-11-27T02:00:00Z or 2026-11-27T10:00:00+08:00, or a span from now as +15m";
    let now = Timestamp::now();
    let at = match text.strip_prefix('+') {
        Some(span) => {
            let span: SignedDuration = span.parse().map_err(|_| expected)?;
            now.checked_add(span).map_err(|_| expected)?
        }
        None => DateTimeParser::new().parse_timestamp(text).map_err(|_| expected)?,
    };
    if at < now {
        return Err(format!("{at:.0} is over; expected a time to come"));
    }
    if at.duration_since(now) > FURTHEST {
        return Err("more than seven days away; expected a time that this command can wait for".into());
    }
    Ok(at)
}

/// Until then; the clock may be set meanwhile.
pub(crate) fn wait_until(at: Timestamp) -> Result<(), Failure> {
    let left = at.duration_since(Timestamp::now());
    eprintln!("duohuo: waiting until {at:.0} ({left:#.0}); until then nothing is ordered, Ctrl-C ends it");
    while Timestamp::now() < at {
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_with_its_offset_or_a_span_from_now() {
        let soon = Timestamp::now() + SignedDuration::from_hours(1);
        assert_eq!(parse(&soon.to_string()), Ok(soon));
        let span = parse("+15m").expect("a span").duration_since(Timestamp::now());
        assert!(span > SignedDuration::from_mins(14) && span <= SignedDuration::from_mins(15), "{span}");
        for wrong in ["02:00", "tomorrow", "2026-11-27T02:00:00", "+", "+soon"] {
            assert!(parse(wrong).is_err_and(|e| e.starts_with("expected a time as ")), "{wrong}");
        }
        assert!(parse("2020-01-01T00:00:00Z").is_err_and(|e| e.contains("is over")));
        assert!(parse("+2000h").is_err_and(|e| e.starts_with("more than seven days")));
    }
}
