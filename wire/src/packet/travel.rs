//! Which packets travel where: outside any session, under the group seal, in a session over which transport.

use super::PacketType;
use crate::{handshake::Transport, header};

impl PacketType {
    /// Whether packets of this type travel outside any session, unsealed: the handshake's.
    #[must_use]
    pub const fn is_handshake(self) -> bool {
        self.code() < header::FIRST_SEALED_TYPE
    }

    /// Whether packets of this type may travel under the group seal. Nothing that changes a role is among them.
    #[must_use]
    pub const fn travels_in_group(self) -> bool {
        matches!(self, Self::NodeKeepalive | Self::Probe | Self::ProbeAnswer)
    }

    /// Whether sealed packets of this type may travel in a session over this transport (W-RCV-9). The probe that proves
    /// a session is not asked: it opens either.
    #[must_use]
    pub const fn travels_over(self, transport: Transport) -> bool {
        match self {
            Self::HandshakeInit | Self::HandshakeResponse | Self::Cookie | Self::NodeKeepalive => false,
            Self::Notice | Self::Query | Self::ForcedSwitch => true,
            Self::Update
            | Self::Change
            | Self::MasterKeepalive
            | Self::MasterKeepaliveAnswer
            | Self::Probe
            | Self::ProbeAnswer
            | Self::Fenced => matches!(transport, Transport::Datagram),
            _ => matches!(transport, Transport::Stream),
        }
    }
}
