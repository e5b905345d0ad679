//! The numbers of extensions (spec/wire.md 2.2): all of them stand here, so that none is given twice.

/// An extension that a packet may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assigned {
    /// Its number within that packet, C included.
    pub number: u16,
    /// The packet.
    pub packet: &'static str,
    /// What it is.
    pub name: &'static str,
}

macro_rules! assigned {
    ($($(#[$doc:meta])* $constant:ident = $number:literal in [$($packet:ident),*], $name:literal;)*) => {
        $($(#[$doc])* pub(crate) const $constant: u16 = $number;)*

        /// Every extension, in the order of the specification's table.
        pub const ASSIGNED: &[Assigned] =
            &[$($(Assigned { number: $number, packet: stringify!($packet), name: $name },)*)*];
    };
}
assigned! {
    VERSIONS = 0x0001 in [HandshakeInit, HandshakeResponse, Probe], "versions";
    HEARD = 0x0001 in [NodeKeepalive], "heard list";
    TAKEOVER = 0x0001 in [MasterKeepalive], "takeover";
    LEASE = 0x0001 in [Append, Ack], "lease";
    PARTS_HELD = 0x0002 in [Ack], "parts held";
    REHEARSED_WRITE = 0x0003 in [Ack], "rehearsed write";
    /// Critical: who took a part for the whole log would cut what the other parts hold.
    LOG_PART = 0x8001 in [Resync], "part";
    REHEARSAL = 0x0001 in [StatusQuery, Update, Resync], "rehearsal";
    DISK = 0x0001 in [StatusAnswer], "disk";
    PAUSES = 0x0002 in [StatusAnswer], "pauses";
    SPOKEN = 0x0003 in [StatusAnswer], "versions spoken";
    REHEARSED = 0x0004 in [StatusAnswer], "rehearsed";
    TAKEOVERS = 0x0001 in [Journal], "takeovers";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_a_packet_is_given_twice() {
        let given = |a: &Assigned| (a.packet, a.number);
        let mut all: Vec<_> = ASSIGNED.iter().map(given).collect();
        all.sort_unstable();
        let twice: Vec<_> = all.windows(2).filter(|pair| pair.first() == pair.last()).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
