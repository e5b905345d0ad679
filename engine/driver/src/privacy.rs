//! What a process that holds keys lets be read of itself: nothing.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// From here on this process leaves no core dump, and no other process but root's reads its memory, sockets or environment
/// (prctl(2), `PR_SET_DUMPABLE`). What it starts may have core dumps again if it asks for them: a service under hooks is not ours.
pub(crate) fn keep_private() {
    if let Err(e) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!("prctl(PR_SET_DUMPABLE): {e}; a core dump of this process would hold its keys");
    }
    // Where dumps go to a program, the limit alone would not stop them; where the first call failed, it may.
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(e) = setrlimit(Resource::Core, limit) {
        tracing::warn!("setrlimit(RLIMIT_CORE): {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_holds_keys_leaves_no_core_dump() {
        keep_private();
        assert!(matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
