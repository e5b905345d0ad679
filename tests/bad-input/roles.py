"""Who may send what to whom: for each way in, and each type that is in order, the required reaction.

A reaction is (labels, answers): the labels one of which the refusal must be counted under, None among them if it need not be refused;
and the types of the answers that may come. What is not named here is refused as `forbidden` and answered by nothing. The rules: B-CLI-3
(clients), wire.md 7 (the way), W-RCV-9, behaviour.md 4 to 11 (who takes what from whom).
"""

from wirecraft import TYPES


def reaction(labels=(None,), answers=()):
    return frozenset([labels] if isinstance(labels, str) or labels is None else labels), frozenset(TYPES[name] for name in answers)


FORBIDDEN = reaction("forbidden")
TAKEN = reaction(None)


def answered(*names):
    return reaction(None, names)


def if_own_cluster(cluster, then):
    """Whoever names another cluster than its own is refused (behaviour.md 4, rule 1)."""
    return lambda fields: then if fields["cluster"] == cluster else FORBIDDEN


def proof_or(then):
    """W-HSK-11: a Probe with nonce 0 is the proof, and never answered."""
    return lambda fields: TAKEN if fields["nonce"] == "0" else then


def client_to_authority():
    return {
        "StatusQuery": answered("StatusAnswer"), "Watch": TAKEN, "Order": answered("OrderAnswer"), "JournalQuery": answered("Journal"),
        "Probe": proof_or(FORBIDDEN),
    }


def client_to_node():
    return {
        "StatusQuery": answered("StatusAnswer"), "Watch": TAKEN, "Submit": answered("SubmitAnswer"), "StateQuery": answered("StateAnswer"),
        "BlockQuery": answered("BlockAnswer"), "Subscribe": answered("BlockAnswer"), "Query": answered("Notice", "History"),
        "Probe": proof_or(FORBIDDEN),
    }


def node_to_authority(cluster):
    return {
        "Join": answered("JoinAnswer", "RosterPush"), "Query": answered("Notice", "History"),
        "Register": if_own_cluster(cluster, answered("Registered", "Notice")),
        # Only the row's master of another cluster may report (B-ERR-1).
        "ConsensusError": FORBIDDEN, "Probe": proof_or(FORBIDDEN),
    }


def node_to_authority_datagram(cluster):
    own = lambda then: if_own_cluster(cluster, then)  # noqa: E731
    return {
        # Its sealed ID does not hold, so that is the verdict, whatever else is wrong (W-SID-1 comes first).
        "Update": own(answered("Notice")), "Change": own(answered("Notice")),
        "MasterKeepalive": own(reaction((None, "forbidden", "old_epoch", "unexpected"), ["Notice", "MasterKeepaliveAnswer"])),
        "ProbeAnswer": reaction((None, "unexpected")), "Fenced": own(reaction((None, "forbidden", "unexpected"), ["Notice"])),
        "Query": lambda fields: FORBIDDEN if fields["scope"] == "History" else answered("Notice"),
        "Probe": proof_or(answered("ProbeAnswer")),
    }


def stranger_to_master(cluster):
    """A node that is no master, of another cluster, to a master: rows, if they are signed, and nothing else."""
    refused = reaction(("forbidden", "old_epoch"))
    return {
        **{name: refused for name in TYPES if name not in BY_DATAGRAM_ONLY},
        "Notice": reaction((None, "bad_statement")), "Fence": reaction(("bad_statement", "old_epoch")),
        "FenceAnswer": reaction(("unexpected", "forbidden")), "Probe": proof_or(FORBIDDEN),
    }


def stranger_to_follower(cluster):
    return {
        "Notice": reaction((None, "bad_statement")), "Fence": reaction(("bad_statement", "forbidden")),
        "FenceAnswer": reaction(("unexpected", "forbidden")), "Probe": proof_or(FORBIDDEN),
    }


def master_to_master(cluster):
    """A master whose words are rubbish, to the master of another cluster."""
    def consensus(fields):
        if fields["cluster"] != cluster:
            return FORBIDDEN
        epoch = int(fields["epoch"])
        return reaction("old_epoch") if epoch < 1 else reaction("unknown_epoch") if epoch > 1 else reaction("bad_consensus")

    catching_up = ["BlockPush", "ChainEnd", "SnapshotOffer", "SnapshotChunk"]
    return {
        "Notice": reaction((None, "bad_statement")), "Fence": reaction(("bad_statement", "old_epoch")),
        "FenceAnswer": reaction(("unexpected", "forbidden")), "Probe": proof_or(FORBIDDEN), "Consensus": consensus,
        "BlockPush": reaction((None, "bad_block", "unexpected")),
        **{name: reaction((None, "unexpected"), catching_up) for name in ("ChainQuery", "RangeQuery", "SnapshotQuery")},
        "SnapshotOffer": reaction((None, "bad_block", "unexpected")), "SnapshotChunk": reaction((None, "bad_block", "unexpected")),
        "ChainEnd": reaction((None, "unexpected")),
    }


def member_to_master(cluster):
    """A member that is not master, to the master of its cluster."""
    catching_up = ["BlockPush", "ChainEnd", "SnapshotOffer", "SnapshotChunk"]
    not_master = reaction(("old_epoch", "unknown_epoch", "forbidden"))
    return {
        "Notice": reaction((None, "bad_statement")), "History": reaction("bad_statement"), "Probe": proof_or(FORBIDDEN),
        "GroupKey": reaction(("forbidden", "unknown_key", "bad_statement")), "Resync": not_master, "Append": not_master,
        "Ack": reaction((None, "old_epoch", "unknown_epoch", "unexpected", "forbidden"), ["Resync", "Append"]),
        "BlockPush": reaction((None, "bad_block", "unexpected")), "ChainEnd": reaction((None, "unexpected")),
        **{name: reaction((None, "unexpected"), catching_up) for name in ("ChainQuery", "RangeQuery", "SnapshotQuery")},
        "SnapshotOffer": reaction((None, "bad_block", "unexpected")), "SnapshotChunk": reaction((None, "bad_block", "unexpected")),
        # Its master hands it on (wire.md 7.22, IN-4), nobody else.
        "RegistrationSync": FORBIDDEN,
    }


def member_under_group_seal(cluster):
    return {
        "NodeKeepalive": if_own_cluster(cluster, TAKEN), "Probe": answered("ProbeAnswer"),
        "ProbeAnswer": reaction("unexpected"),
    }


# wire.md 7: in a stream these have no effect, whoever sends them.
BY_DATAGRAM_ONLY = {"Update", "Change", "MasterKeepalive", "MasterKeepaliveAnswer", "ProbeAnswer", "NodeKeepalive", "Fenced"}
IN_CLEAR = {"HandshakeInit", "HandshakeResponse", "Cookie"}
# What a node or the authority says unasked on a stream.
UNASKED = frozenset(TYPES[name] for name in ("Notice", "History", "RosterPush", "GroupKey", "RegistrationSync", "ForcedSwitch", "Event",
                                             "Consensus", "ChainQuery", "Resync", "Append", "BlockPush", "ChainEnd", "RangeQuery", "SnapshotOffer"))
