//! Scripts that take a machine somewhere: what `script` reads, written down.

use duohuo_wire::packet::PacketType;

use super::script::Op;

/// Byte of `Draw::near` that keeps what is known.
const SAME: u8 = 0;
/// The one that takes the largest numbers; how far below the last follows it.
const LAST: u8 = 240;

/// A script under way.
struct Script(Vec<u8>);

impl Script {
    fn new(setting: u8) -> Self {
        Self(vec![setting])
    }

    fn op(mut self, op: Op, operands: &[u8]) -> Self {
        self.0.push(op as u8);
        self.0.extend_from_slice(operands);
        self
    }

    /// So many timeouts of the machine.
    fn run(self, timeouts: u8) -> Self {
        self.op(Op::ToTimeout, &[timeouts - 1])
    }

    /// The first 200 ms, in which the authority grants nothing and a node only listens.
    fn wake(self) -> Self {
        self.op(Op::Wait, &[10]).run(4)
    }

    /// The party at this place says a packet of this type, its numbers as they are known, then these bytes.
    fn say(self, party: u8, packet_type: PacketType, operands: &[u8]) -> Self {
        let place = PacketType::ALL.iter().position(|t| *t == packet_type).unwrap_or(0);
        let place = u8::try_from(place).unwrap_or(0);
        // Way, cluster, request, epoch, version, height, index: as usual.
        let usual = [200, 0, 0, SAME, SAME, SAME, SAME];
        self.op(Op::Say, &[party, place]).bytes(&usual).bytes(operands)
    }

    /// The same with a log index at the end of its range.
    fn say_at_the_end(self, party: u8, packet_type: PacketType, operands: &[u8]) -> Self {
        let mut script = self.say(party, packet_type, &[]);
        script.0.pop();
        script.bytes(&[LAST, 0]).bytes(operands)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn rare(self, which: u8) -> Self {
        self.op(Op::Rare, &[which])
    }
}

/// The authority's parties by place: 0, 1, 2 = nodes 11, 12, 13; then the second cluster's or the client.
pub(crate) fn authority() -> Vec<Vec<u8>> {
    let joined = |setting| {
        let mut script = Script::new(setting).wake();
        for party in 0..3 {
            script = script.op(Op::Greet, &[party]).op(Op::Connect, &[party]).say(
                party,
                PacketType::Join,
                &[SAME],
            );
        }
        script
    };
    let registered =
        |setting| joined(setting).say(0, PacketType::Register, &[]).say(1, PacketType::Join, &[SAME]);
    let added = |setting| registered(setting).say(0, PacketType::Change, &[0, 0, 1]);
    let claimed = |setting| {
        added(setting)
            .op(Op::Wait, &[8])
            .run(8)
            .say(1, PacketType::Update, &[1, 0xFF])
            .run(16)
            .say(1, PacketType::Update, &[1, 0xFF])
            .run(16)
            .say(1, PacketType::MasterKeepalive, &[SAME, SAME])
    };
    let mut scripts = Vec::new();
    for setting in 0..8 {
        scripts.push(joined(setting));
        scripts.push(registered(setting).op(Op::Write, &[3]).say(2, PacketType::Query, &[0, SAME]));
        scripts.push(added(setting).op(Op::Write, &[3]).rare(0).wake().say(0, PacketType::Query, &[1, SAME]));
        scripts.push(claimed(setting).op(Op::Write, &[3]).run(8).rare(0).wake());
        scripts.push(claimed(setting).say(1, PacketType::ConsensusError, &[0; 12]).run(4).rare(200));
    }
    scripts.into_iter().map(|script| script.0).collect()
}

/// The node's parties by place: 0 = the authority, 1, 2 = nodes 12, 13 of its cluster.
pub(crate) fn node() -> Vec<Vec<u8>> {
    let met = |setting| {
        let mut script = Script::new(setting).wake();
        for party in 1..3 {
            script = script.op(Op::Connect, &[party]).say(party, PacketType::NodeKeepalive, &[0, 1, 0, 0]);
        }
        script.run(16).say(0, PacketType::JoinAnswer, &[0, SAME, 0]).run(8)
    };
    // A registration: node 11 (the first drawn) is the master of epoch 1.
    let leads = |setting| {
        met(setting)
            .say(0, PacketType::Registered, &[0, 0, 0, 0, 1, 7, 0, 0, 0])
            .say(0, PacketType::Notice, &[0, 0, 0, 0, 1, SAME])
            .op(Op::Write, &[3])
            .run(16)
            .op(Op::Write, &[3])
    };
    // Node 12 is the master: this node follows.
    let follows = |setting| {
        met(setting)
            .say(0, PacketType::Notice, &[0, 0, 1, 0, 1, SAME])
            .say(1, PacketType::Resync, &[0])
            .op(Op::Write, &[3])
            .say(1, PacketType::Append, &[SAME, 2, SAME, SAME, 2, 8, 9, SAME, SAME, 1, 5])
            .op(Op::Write, &[3])
    };
    let mut scripts = Vec::new();
    for setting in 0..8 {
        scripts.push(met(setting));
        scripts.push(leads(setting).say(1, PacketType::Ack, &[SAME]).run(16).rare(0).wake());
        scripts.push(leads(setting).say(1, PacketType::Notice, &[0, 0, 1, 0, 1, SAME]).run(16));
        scripts.push(leads(setting).say(0, PacketType::ForcedSwitch, &[0]).run(8).rare(110));
        let record = [1, SAME, SAME, 1, 7];
        let notice = [0, 0, 1, 0, 1, SAME];
        scripts.push(
            met(setting)
                .say(0, PacketType::Notice, &notice)
                .say_at_the_end(1, PacketType::Resync, &record)
                .say_at_the_end(1, PacketType::Append, &record),
        );
        scripts.push(follows(setting).run(16).rare(0).wake().run(8));
        scripts.push(follows(setting).op(Op::HangUp, &[0]).run(16).say(
            0,
            PacketType::Notice,
            &[0, 0, 0, 0, 1, SAME],
        ));
    }
    scripts.into_iter().map(|script| script.0).collect()
}
