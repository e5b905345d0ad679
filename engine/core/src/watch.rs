//! Events on the wire, for clients that watch, and the status report's bytes.

use crate::event::Event;
use crate::io::StreamId;
use crate::links::Links;
use crate::outbox::Outbox;
use crate::time::Duration;
use bytes::{Bytes, BytesMut};
use duohuo_wire::ids::ClusterId;
use duohuo_wire::packet::{Event as EventPacket, Packet};
use duohuo_wire::status::StatusReport;
use std::collections::BTreeMap;

/// Stands for all kinds from 32 up, since there is no kind 0.
const LATER_KINDS: u32 = 1;

/// The clients that watch, each with the kinds it wants: bit `kind` set, or 0 for all.
#[derive(Debug, Default)]
pub(crate) struct Watchers(BTreeMap<StreamId, u32>);

impl Watchers {
    pub(crate) fn add(&mut self, stream: StreamId, kinds: u32) {
        self.0.insert(stream, kinds);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn remove(&mut self, stream: StreamId) {
        self.0.remove(&stream);
    }

    /// Tell the operator and all who watch; `own` stands in where the event names no cluster.
    pub(crate) fn tell(
        &self,
        event: &Event,
        unix: Duration,
        own: ClusterId,
        links: &mut Links,
        out: &mut Outbox,
    ) {
        let fields = event.fields();
        let bit = 1u32.checked_shl(u32::from(fields.kind)).unwrap_or(LATER_KINDS);
        let wanted = |kinds: u32| kinds == 0 || kinds & bit != 0;
        if self.0.values().any(|kinds| wanted(*kinds)) {
            let packet = Packet::from(EventPacket {
                at_unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
                kind: fields.kind,
                cluster: if fields.cluster == ClusterId(0) { own } else { fields.cluster },
                node: fields.node,
                epoch: fields.epoch,
                height: fields.height,
                round: fields.round,
                detail: fields.detail,
                hash: fields.hash,
                signature: fields.signature,
                ..Default::default()
            });
            for (stream, _) in self.0.iter().filter(|(_, kinds)| wanted(**kinds)) {
                links.send_on(*stream, &packet, out);
            }
        }
        out.event(*event);
    }
}

pub(crate) fn encode_report(report: &StatusReport) -> Bytes {
    let mut bytes = BytesMut::new();
    report.encode(&mut bytes);
    bytes.freeze()
}
