//! How masters came to act, as the history tells it: verified, and shown beside the decisions. What was not measured is absent.

use duohuo_wire::packet::JournalEntry;
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::takeover::SignedTakeover;
use serde_json::{Value, json};

/// W-JRN-2: these follow `last` and each other, the authority signed each, and each is of a grant that was there.
/// `entries`: all decisions read so far.
pub(crate) fn verify(
    page: &[SignedTakeover],
    last: Option<&SignedTakeover>,
    entries: &[JournalEntry],
    key: &VerifyingKey,
) -> Result<(), String> {
    let mut before = last;
    for one in page {
        if !one.verify(key) {
            return Err(format!("takeover {} is not signed by the authority", one.number));
        }
        if before.is_some_and(|last| !one.follows(last)) {
            return Err(format!("takeover {} does not follow the one before", one.number));
        }
        let entry = entry(entries, one.decision);
        if one.decision > one.after || entry.is_some_and(|entry| !is_grant(entry)) {
            return Err(format!(
                "takeover {} is of decision {}, which is no grant",
                one.number, one.decision
            ));
        }
        before = Some(one);
    }
    Ok(())
}

/// The decision of that number, if it is shown: they are in order, without gaps.
fn entry(entries: &[JournalEntry], number: u64) -> Option<&JournalEntry> {
    let first = entries.first()?.number;
    entries.get(usize::try_from(number.checked_sub(first)?).ok()?)
}

/// It began an epoch: only then is the version 0.
pub(crate) fn is_grant(entry: &JournalEntry) -> bool {
    entry.version.0 == 0 && entry.epoch.0 > 1
}

/// "37.5", or "-".
pub(crate) fn outage(takeover: Option<&SignedTakeover>) -> String {
    takeover.and_then(SignedTakeover::outage_us).map_or_else(|| "-".into(), milliseconds)
}

fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

/// Name, sign and span of what was measured: before the grant, or after it.
type Phase = (&'static str, &'static str, Option<u64>);

fn by_authority(takeover: &SignedTakeover) -> [Phase; 3] {
    let granting = &takeover.granting;
    [
        ("heard", "-", granting.heard_us),
        ("asked", "-", granting.asked_us),
        ("durable", "+", granting.durable_us),
    ]
}

fn by_master(takeover: &SignedTakeover) -> [Phase; 7] {
    let own = &takeover.takeover;
    [
        ("heard", "-", own.heard_us),
        ("suspected", "-", own.suspected_us),
        ("claimed", "-", own.claimed_us),
        ("promised", "+", own.promised_us),
        ("ready", "+", own.ready_us),
        ("spoke", "+", own.spoke_us),
        ("committed", "+", own.committed_us),
    ]
}

/// One line for people: milliseconds around the grant, by each clock on its own. Nothing, if nothing was measured.
pub(crate) fn phases(takeover: &SignedTakeover) -> Option<String> {
    let told = |phases: &[Phase]| -> String {
        let known = phases
            .iter()
            .filter_map(|(name, sign, us)| Some(format!("{name} {sign}{}", milliseconds((*us)?))));
        known.collect::<Vec<_>>().join(", ")
    };
    let clocks = [("new master", told(&by_master(takeover))), ("authority", told(&by_authority(takeover)))];
    let lines: Vec<String> = clocks
        .iter()
        .filter(|(_, told)| !told.is_empty())
        .map(|(who, told)| format!("{who}: {told}"))
        .collect();
    (!lines.is_empty()).then(|| format!("ms around the grant by the {}", lines.join("; by the ")))
}

/// The same for programs: microseconds; null is not measured.
pub(crate) fn phases_json(takeover: &SignedTakeover) -> Value {
    let object = |phases: &[Phase]| -> Value {
        let key = |(name, sign, us): &Phase| {
            let side = if *sign == "-" { "before_us" } else { "after_us" };
            (format!("{name}_{side}"), json!(us))
        };
        Value::Object(phases.iter().map(key).collect())
    };
    json!({ "master": object(&by_master(takeover)), "authority": object(&by_authority(takeover)) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use duohuo_wire::ids::{Epoch, Version};
    use duohuo_wire::sign::SigningKey;
    use duohuo_wire::takeover::{Granting, Takeover};

    pub(crate) fn one(last: Option<&SignedTakeover>, decision: u64, key: &SigningKey) -> SignedTakeover {
        let granting = Granting { heard_us: Some(48_000), asked_us: Some(1_500), durable_us: None };
        let takeover = Takeover {
            heard_us: Some(35_000),
            promised_us: Some(0),
            ready_us: Some(2_500),
            ..Default::default()
        };
        SignedTakeover::sign(last, decision, decision, granting, takeover, key)
    }

    #[test]
    fn what_was_not_measured_is_absent_and_never_zero() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let told = one(None, 4, &key);
        assert_eq!(outage(Some(&told)), "37.5");
        assert_eq!(
            phases(&told).as_deref(),
            Some(
                "ms around the grant by the new master: heard -35.0, promised +0.0, ready +2.5; by the authority: heard -48.0, asked -1.5"
            )
        );
        let json = phases_json(&told);
        assert_eq!(json.pointer("/master/ready_after_us"), Some(&json!(2_500)));
        assert!(
            json.pointer("/master/committed_after_us").is_some_and(Value::is_null)
                && json.pointer("/authority/durable_after_us").is_some_and(Value::is_null)
        );
        let nothing = SignedTakeover::sign(None, 4, 4, Granting::default(), Takeover::default(), &key);
        assert_eq!((outage(Some(&nothing)), phases(&nothing)), ("-".into(), None));
        assert_eq!(outage(None), "-");
    }

    #[test]
    fn only_a_decision_that_began_an_epoch_is_a_grant() {
        let of = |epoch, version| JournalEntry {
            epoch: Epoch(epoch),
            version: Version(version),
            ..Default::default()
        };
        assert!(is_grant(&of(2, 0)));
        assert!(!is_grant(&of(1, 0)) && !is_grant(&of(2, 1)) && !is_grant(&of(0, 0)));
    }
}
