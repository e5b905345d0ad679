//! The guards of the protocol, one function each, as spec/behaviour.md has them. The model steps by them and the
//! acceptor of traces judges by them, so that both speak of the same rules.

/// B-LOG-1: a master's log of `epoch` is taken only if nothing newer is promised, and not by that master itself.
#[must_use]
pub const fn may_follow(epoch: u64, promised: u64, leads_it: bool) -> bool {
    epoch > promised || (epoch == promised && !leads_it)
}

/// B-ROL-1: a grant is adopted by the node that it names, once, and not if the same row bars it.
#[must_use]
pub const fn may_adopt(epoch: u64, promised: u64, is_master: bool, is_barred: bool) -> bool {
    is_master && !is_barred && epoch > promised
}

/// B-GATE-2: the record at `index` may be released when the log is durable beyond it here, and everybody who is
/// waited for has acknowledged, under this epoch, a length beyond it.
#[must_use]
pub fn may_release(index: u64, durable: u64, acknowledged: impl IntoIterator<Item = u64>) -> bool {
    durable > index && acknowledged.into_iter().all(|length| length > index)
}

/// B-ISS-4: who is proposed for addition has acknowledged, under this epoch, all that was exposed.
#[must_use]
pub fn may_ask_to_add(acknowledged: Option<u64>, exposed: u64) -> bool {
    acknowledged.is_some_and(|length| length >= exposed)
}

/// B-LOG-3: what a log of length `length` may become in the epoch that it is synced to.
#[must_use]
pub const fn may_become(length: u64, new_length: u64) -> bool {
    new_length >= length
}
