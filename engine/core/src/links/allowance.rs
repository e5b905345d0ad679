//! How many handshakes are taken from whom: a key operation is the dearest thing that a stranger can ask for, and whoever knows a
//! public key of the roster can ask for it (W-HSK-12, B-BND-2).

use crate::time::{Duration, Instant};
use core::net::{IpAddr, SocketAddr};
use duohuo_wire::roster::Roster;
use std::collections::BTreeMap;

/// So many at once, and one more each interval.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    burst: u32,
    interval: Duration,
}

/// Initiations by datagram of all addresses together whose cookie is not asked for: 1 to 2 % of a core, whatever comes.
pub(super) const UNPROVED: Rate = Rate { burst: 100, interval: Duration::from_millis(10) };
/// Of one address of the roster with its cookie. A party repeats its attempts up to once a second (20 ms first, doubled).
pub(super) const PROVED: Rate = Rate { burst: 20, interval: Duration::from_millis(50) };
/// On streams from one IP address of the roster: its node dials once a redial_interval, and people may look from its machine.
const MEMBER_STREAMS: Rate = Rate { burst: 100, interval: Duration::from_millis(20) };
/// On streams from all other IP addresses together: clients, and whoever else gets there.
const OTHER_STREAMS: Rate = Rate { burst: 400, interval: Duration::from_micros(2_500) };

/// What was taken of a rate lately, as the instant up to which it is used.
#[derive(Clone, Copy, Default)]
pub(super) struct Allowance(Instant);

impl Allowance {
    /// Take one, if there is one.
    pub(super) fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let used = self.0.max(now) + rate.interval;
        let is_left = used - now <= rate.interval * rate.burst;
        if is_left {
            self.0 = used;
        }
        is_left
    }
}

/// By address of the roster; who is out has none.
pub(super) fn by_address(roster: &Roster) -> BTreeMap<SocketAddr, Allowance> {
    let nodes = roster.all_nodes().filter(|(_, node)| !node.is_out()).map(|(_, node)| node.address);
    nodes.chain([roster.authority.address]).map(|address| (address, Allowance::default())).collect()
}

/// What was taken by the handshakes of streams.
pub(super) struct StreamAllowances {
    /// A stream comes from any port of its party's address.
    members: BTreeMap<IpAddr, Allowance>,
    others: Allowance,
}

impl StreamAllowances {
    pub(super) fn of(roster: &Roster) -> Self {
        let ips = by_address(roster).into_keys().map(|address| address.ip());
        Self { members: ips.map(|ip| (ip, Allowance::default())).collect(), others: Allowance::default() }
    }

    /// Whether a party of the roster is at home there.
    pub(super) fn is_of_member(&self, from: IpAddr) -> bool {
        self.members.contains_key(&from)
    }

    /// Take one for a handshake from there, if there is one.
    pub(super) fn take(&mut self, now: Instant, from: IpAddr) -> bool {
        match self.members.get_mut(&from) {
            Some(own) => own.take(now, MEMBER_STREAMS),
            None => self.others.take(now, OTHER_STREAMS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Instant {
        Instant::from_nanos(count * 1_000_000)
    }

    /// W-HSK-12
    #[test]
    fn a_burst_is_given_and_then_one_each_interval() {
        let rate = Rate { burst: 3, interval: Duration::from_millis(10) };
        let mut allowance = Allowance::default();
        let mut taken = |at| (0..5).filter(|_| allowance.take(at, rate)).count();
        assert_eq!(taken(ms(1_000)), 3);
        assert_eq!(taken(Instant::from_nanos(1_009_999_999)), 0);
        assert_eq!(taken(ms(1_010)), 1);
        assert_eq!(taken(ms(1_020)), 1);
        assert_eq!(taken(ms(1_040)), 2);
        assert_eq!(taken(ms(9_000)), 3, "what was not taken is not saved up");
    }
}
