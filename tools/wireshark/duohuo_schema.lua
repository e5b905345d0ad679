-- The packets of spec/wire.md and the chain's messages of spec/chain.md as tables. Loaded by duohuo.lua; by itself it
-- registers nothing. Every name, width and value is the specification's; `test` compares them with its tables.
--
-- A field is { name, kind, ... }. Kinds:
--   u8 u16 u32 u64      numbers; `hex` = shown in hexadecimal, `any` = the filter duohuo.any.<any> shows it as well
--   bool                u8, 0 or 1
--   enum                u8, of = name of a table in ENUMS
--   bytes               n bytes; bytes16, bytes32: a count and bytes, `content` = a schema that they hold
--   str8                u8 count and UTF-8
--   address             u8 family, 4 or 16 bytes, u16 port; optional_address: u8 0, or u8 1 and an address
--   list, list32        a count and items: `item` = "u32" or a list of fields; `ascending` = true, or the field that ascends
--   struct              fields in place
--   round               u32, 0 ..= 2^24; `nil_allowed`: or 2^32 - 1
--   value               u8 0 = nil, or u8 1 and 32 bytes
-- `check` = a function of the value that gives false where the specification refuses it.

local M = {}

M.ENUMS = {
    JoinVerdict = { [0] = "Accepted", "UnknownNode", "WrongCluster", "Starting" },
    RegisterVerdict = { [0] = "Accepted", "AlreadyRegistered", "Refused", "Starting" },
    ClaimReason = { [0] = "Suspicion", "StreamClosed", "Forced", "Vacant", "Restart" },
    ChangeKind = { [0] = "Add", "Remove", "Resign" },
    Outcome = { [0] = "Notice", "Done", "Stale", "NotInSync", "Barred", "IncumbentHeard", "BadSealedId", "HoldDown",
        "Starting", "NotMaster", "LastMember", "Unregistered", "Paused", "Unfenced" },
    QueryScope = { [0] = "Cluster", "Changed", "History" },
    Role = { [0] = "Ordinary", "Standby", "Master" },
    SubmitVerdict = { [0] = "Committed", "Refused", "TryLater", "NotMaster", "Malformed", "Expired" },
    OrderKind = { [0] = "Unbar", "Switch", "Pause", "Resume", "Force" },
    OrderOutcome = { [0] = "Done", "BadSignature", "WrongConsortium", "Malformed", "Expired", "Replayed", "Unknown",
        "Starting", "Unregistered", "Stale", "NotInSync", "Barred", "NotBarred", "IsMaster", "Unheard", "NobodyElse",
        "Busy", "Unchanged", "InSync", "SetAlive", "TooManyForced", "Unfenced" },
    DecisionKind = { [0] = "Register", "Grant", "Add", "Remove", "Bar", "Order", "Fenced" },
    DecisionReason = { [0] = "None", "Suspicion", "StreamClosed", "Forced", "Vacant", "Restart", "Order" },
    -- spec/chain.md
    VoteKind = { "prevote", "precommit" },
    RoundKind = { [0] = "skip", "precommit" },
    Step = { [0] = "propose", "prevote", "precommit" },
}

-- Event.kind. Not refused if unknown, and not in the specification's tables yet: for display only.
M.EVENT_KINDS = { "suspected", "dead", "alive", "claimed", "refused", "granted", "in_sync_changed", "role_changed", "released",
    "received", "committed", "consensus_error_reported", "forced_switch", "alarm", "aged_out", "authority_reachable",
    "joined", "roster_in_force", "halted", "store_failed", "unstable", "equivocated", "offended",
    [30] = "ordered", [31] = "fenced", [32] = "fence_promised",
    [40] = "acting", [41] = "acting_ended", [42] = "program_ended", [43] = "health_changed", [44] = "copy_changed",
    [45] = "overdue", [46] = "keeper_lost",
    [50] = "catching_up", [51] = "caught_up", [52] = "snapshot_kept",
    [60] = "no_common_version" }

-- ---------------------------------------------------------------------------------------------------------------------
-- Fields that several packets share
-- ---------------------------------------------------------------------------------------------------------------------

local function field(name, kind, more)
    local f = { name = name, kind = kind }
    for key, value in pairs(more or {}) do
        f[key] = value
    end
    return f
end

local ANY = { cluster = "cluster", node = "node", epoch = "epoch", height = "height", request = "request", master = "node" }

local function u8(name, more) return field(name, "u8", more) end
local function u16(name, more) return field(name, "u16", more) end
local function u32(name, more)
    local f = field(name, "u32", more)
    f.any = f.any or ANY[name]
    return f
end
local function u64(name, more)
    local f = field(name, "u64", more)
    f.any = f.any or ANY[name]
    return f
end
local function id64(name) return u64(name, { hex = true }) end
local function bool(name) return field(name, "bool") end
local function enum(name, of) return field(name, "enum", { of = of }) end
local function bytes(name, n) return field(name, "bytes", { n = n }) end
local function bytes16(name) return field(name, "bytes16") end
local function bytes32(name, content) return field(name, "bytes32", { content = content }) end
local function list(name, item, more)
    local f = field(name, "list", more)
    f.item = item
    return f
end
local function list32(name, item, more)
    local f = field(name, "list32", more)
    f.item = item
    return f
end
local function nodes(name) return list(name, "u32", { ascending = true, any = "node" }) end
local function struct(name, fields) return field(name, "struct", { fields = fields }) end

local function signature() return bytes("signature", 64) end

-- 5.1
local function row_fields(signed)
    local fields = {
        u32("cluster"), u64("epoch"), u64("version"), u32("master"), nodes("in_sync"), nodes("barred"), bool("unfenced"),
        u64("table_version"),
    }
    if signed then
        fields[#fields + 1] = signature()
    end
    return fields
end

-- 5.2
local function result_fields()
    return { u32("cluster"), u32("node"), u64("epoch"), u64("height"), bytes("hash", 32), signature() }
end

-- 5.3
local function switch_fields()
    return { u32("cluster"), u64("epoch"), u32("old_master", { any = "node" }), u64("height"), bool("proven"), signature() }
end

-- 5.6
local function order_fields()
    return { bytes("consortium", 16), u64("number"), enum("kind", "OrderKind"), u32("cluster"), u32("node"), u64("epoch"), u64("expires"),
        field("who", "str8"), field("why", "str8"), signature() }
end

-- 5.7
local function entry_fields()
    return { u64("number"), u64("at_unix_us"), enum("kind", "DecisionKind"), enum("reason", "DecisionReason"), u32("cluster"),
        u64("epoch"), u64("version"), u32("old", { any = "node" }), u32("new", { any = "node" }), u32("node"), bytes16("order") }
end

local function sealed_ids()
    return list("sealed_ids", { u32("node"), bytes16("sealed_id") }, { ascending = "node" })
end

local function records()
    return list32("records", { u64("height"), u64("epoch"), bytes32("bytes", "record") })
end

-- ---------------------------------------------------------------------------------------------------------------------
-- 7. Packets
-- ---------------------------------------------------------------------------------------------------------------------

-- Where a packet may travel: h handshake, d datagram session, s stream session, g group seal.
local function packet(code, name, travels, fields)
    return { code = code, name = name, travels = travels, fields = fields }
end

local request = function() return u64("request") end

M.PACKETS = {
    packet(0x01, "HandshakeInit", "h",
        { id64("initiator_session"), bytes("noise", 108), bytes("mac1", 16), bytes("mac2", 16) }),
    packet(0x02, "HandshakeResponse", "h",
        { id64("initiator_session"), id64("responder_session"), bytes("noise", 48), bytes("mac1", 16) }),
    packet(0x03, "Cookie", "h", { id64("initiator_session"), bytes("cookie", 16) }),
    packet(0x10, "Join", "s", { request(), u32("cluster"), u64("roster_version") }),
    packet(0x11, "JoinAnswer", "s",
        { request(), enum("verdict", "JoinVerdict"), u64("roster_version"), bytes16("sealed_id") }),
    packet(0x12, "Register", "s", { request(), u32("cluster") }),
    packet(0x13, "Registered", "s",
        { request(), enum("verdict", "RegisterVerdict"), u32("registration_epoch"), sealed_ids() }),
    packet(0x14, "Update", "d", { request(), u32("cluster"), u64("epoch"), u64("version"), enum("reason", "ClaimReason"),
        nodes("alive"), u64("height"), bytes16("sealed_id") }),
    packet(0x15, "Change", "d",
        { request(), u32("cluster"), u64("epoch"), u64("version"), enum("kind", "ChangeKind"), u32("node") }),
    packet(0x16, "Notice", "ds",
        { request(), enum("outcome", "Outcome"), u64("table_version"), struct("row", row_fields(true)) }),
    packet(0x17, "MasterKeepalive", "d",
        { u32("cluster"), u64("epoch"), u64("height"), id64("challenge"), u64("table_version") }),
    packet(0x18, "MasterKeepaliveAnswer", "d", { id64("challenge"), u64("epoch"), u64("table_version") }),
    packet(0x19, "Query", "ds", { request(), enum("scope", "QueryScope"), u32("cluster"), u64("since") }),
    packet(0x1A, "ConsensusError", "s", { request(), u64("height"), list("evidence", result_fields()) }),
    packet(0x1B, "ForcedSwitch", "ds", { struct("order", switch_fields()) }),
    packet(0x1C, "Probe", "dg", { id64("nonce"), u64("epoch") }),
    packet(0x1D, "ProbeAnswer", "dg", { id64("nonce"), enum("role", "Role"), u64("epoch") }),
    packet(0x1E, "RosterPush", "s", { bytes32("roster", "roster") }),
    packet(0x1F, "History", "s",
        { u32("cluster"), u64("first_epoch", { any = "epoch" }), list32("nodes", "u32"), signature() }),
    packet(0x20, "NodeKeepalive", "g", {
        u32("cluster"), u8("priority", { check = function(value) return value ~= 255 end }),
        enum("role", "Role"), bool("in_sync"), u32("interval_us"), u64("epoch"), u64("version"), u64("promised"),
        u64("log_end"), u64("height"), field("address", "address"),
    }),
    packet(0x21, "GroupKey", "s",
        { u32("cluster"), u32("generation"), bytes("secret", 32), u32("master"), signature() }),
    packet(0x30, "RegistrationSync", "s", { u32("cluster"), u32("registration_epoch"), sealed_ids() }),
    packet(0x31, "Resync", "s", { u64("epoch"), u64("height"), u64("start"), records() }),
    packet(0x32, "Append", "s", { u64("epoch"), u64("start"), u64("released"), records() }),
    packet(0x33, "Ack", "s", { u64("epoch"), u64("end"), u64("height"), u64("synced") }),
    packet(0x34, "BlockPush", "s", { u64("height"), bytes32("block", "committed_block") }),
    packet(0x35, "ChainQuery", "s", { u64("from", { any = "height" }), u32("max_bytes") }),
    packet(0x36, "ChainEnd", "s", { u64("height") }),
    packet(0x3C, "SnapshotQuery", "s", { u64("height"), u32("chunk") }),
    packet(0x3D, "SnapshotOffer", "s", { u64("height"), bytes32("manifest"), bytes32("proof") }),
    packet(0x3E, "SnapshotChunk", "s", { u64("height"), u32("chunk"), bytes32("content") }),
    packet(0x3F, "RangeQuery", "s", { u64("from", { any = "height" }), u64("to", { any = "height" }), u32("max_bytes") }),
    packet(0x40, "Consensus", "s", { u32("cluster"), u64("epoch"), bytes32("message", "message") }),
    packet(0x50, "Submit", "s", { request(), bytes32("transaction", "transfer") }),
    packet(0x51, "SubmitAnswer", "s",
        { request(), enum("verdict", "SubmitVerdict"), u64("height"), field("master", "optional_address") }),
    packet(0x52, "StatusQuery", "s", { request() }),
    packet(0x53, "StatusAnswer", "s", { request(), bytes32("report", "status") }),
    packet(0x54, "Watch", "s", { request(), u32("kinds", { hex = true }) }),
    packet(0x55, "Event", "s", { u64("at_unix_us"), u16("kind", { names = "EVENT_KINDS" }), u32("cluster"), u32("node"), u64("epoch"), u64("height"),
        u32("round"), u32("detail"), bytes("hash", 32), signature() }),
    packet(0x56, "StateQuery", "s", { request(), bytes32("question") }),
    packet(0x57, "StateAnswer", "s", { request(), bool("known"), u64("height"), bytes32("answer") }),
    packet(0x58, "BlockQuery", "s", { request(), u64("height") }),
    packet(0x59, "BlockAnswer", "s", { request(), u64("height"), bytes32("block", "committed_block") }),
    packet(0x5A, "Subscribe", "s", { request(), u64("from", { any = "height" }), u32("count") }),
    packet(0x5F, "Unsupported", "s", { u8("packet_type", { hex = true }), u16("critical_tlv", { hex = true }) }),
    packet(0x60, "Order", "s", { request(), struct("order", order_fields()) }),
    packet(0x61, "OrderAnswer", "s", { request(), enum("outcome", "OrderOutcome"), u64("number"), u64("table_version") }),
    packet(0x62, "JournalQuery", "s", { request(), u64("from") }),
    packet(0x63, "Journal", "s", { request(), bytes("before", 32), list("entries", entry_fields()), u64("head"), bytes("head_hash", 32), signature() }),
    packet(0x64, "Fence", "s", { struct("row", row_fields(true)) }),
    packet(0x65, "FenceAnswer", "s", { u32("cluster"), u64("epoch"), u64("height") }),
    packet(0x66, "Fenced", "d", { request(), u32("cluster"), u64("epoch"), u64("version"), u64("height") }),
}

M.BY_CODE = {}
for _, p in ipairs(M.PACKETS) do
    M.BY_CODE[p.code] = p
    -- HandshakeInit -> handshake_init
    p.key = p.name:gsub("(%l)(%u)", "%1_%2"):lower()
end

-- 7.20, the only extension assigned.
M.HEARD = { node = u32("node"), sequence = u32("sequence") }

-- ---------------------------------------------------------------------------------------------------------------------
-- What stands inside fields. A content is a list of fields, or { by = { [first byte] = { name, fields } } }.
-- `prefix` is what its filters begin with.
-- ---------------------------------------------------------------------------------------------------------------------

local function at_most(n) return function(value) return value <= n end end
local function not_zero(value) return value ~= 0 end
local function is_name(text) return #text >= 1 end

local function round(name, nil_allowed) return field(name, "round", { nil_allowed = nil_allowed }) end
local function block_id() return bytes("block_id", 32) end
local function value() return field("value", "value") end
local function signer_fields() return { u32("cluster"), u64("epoch"), u32("node"), signature() } end
local function vote_kind(name) return enum(name or "kind", "VoteKind") end

local function proposal() return { u64("height"), round("round"), block_id(), round("pol_round", true), struct("signer", signer_fields()) } end
local function vote() return { u64("height"), round("round"), vote_kind(), value(), struct("signer", signer_fields()) } end
local function polka() return { u64("height"), round("round"), block_id(), list("signers", signer_fields(), { most = 254 }) } end

local function transfer_fields()
    return { bytes("id", 16), u32("from"), u32("to"), u64("amount"), u64("valid_until") }
end

local party_keys = function() return bytes("session_key", 32), bytes("signing_key", 32) end

local function node_entry()
    local session, signing = party_keys()
    return { u32("id", { check = not_zero, any = "node" }), field("name", "str8", { check = is_name }), u16("room"),
        u8("priority", { check = at_most(254) }), field("address", "address"), session, signing }
end

local function authority_entry()
    local session, signing = party_keys()
    return { field("address", "address"), session, signing }
end

M.CONTENT = {
    -- 5.5
    roster = { prefix = "roster", title = "Roster", fields = {
        bytes("consortium", 16), u64("version"), struct("authority", authority_entry()),
        list("clusters", {
            u32("id", { check = not_zero, any = "cluster" }), field("name", "str8", { check = is_name }),
            field("group", "address", { ipv4_only = true }),
            list("nodes", node_entry(), { ascending = "id", least = 2, most = 64 }),
        }, { ascending = "id", least = 1, most = 254 }),
        list("clients", { u32("id", { check = not_zero }), field("name", "str8", { check = is_name }), bytes("session_key", 32) },
            { ascending = "id" }),
        signature(),
    } },
    -- 8
    status = { prefix = "status", title = "Status report", fields = {
        enum("role", "Role"), u32("node"), u32("cluster"), u64("epoch"), u64("version"), u32("master"), nodes("in_sync"),
        nodes("barred"), u64("height"), bytes("state_hash", 32), u32("pool"),
        list("neighbours",
            { u32("node"), bool("alive"), enum("role", "Role"), u8("priority"), u64("height"), u64("age_us") }),
        list("discards", { field("label", "str8"), u64("count") }),
        bool("authority_up"), u32("standby"), bool("halted"), u64("uptime_ms"), list("rows", row_fields(false)),
        u64("conflicts"),
    } },
    -- spec/chain.md
    message = { prefix = "chain", title = "Chain message", by = {
        { "Hello", { u64("height"), round("round", true), bool("asks"), list("held", "hash", { most = 16 }) } },
        { "Proposal", proposal() },
        { "Vote", vote() },
        { "Body", { u64("height"), bytes32("block", "block") } },
        { "Polka", polka() },
        { "Round", { u64("height"), round("round"), enum("certificate", "RoundKind"),
            list("votes", { vote_kind(), value(), struct("signer", signer_fields()) }, { most = 254 }) } },
        { "Result", result_fields() },
        { "Transactions", { list32("transactions", transfer_fields(), { most = 4096 }) } },
    } },
    record = { prefix = "record", title = "Record", by = {
        { "Body", { bytes32("block", "block") } },
        { "Value", { round("round"), round("valid_round", true), u32("proposer"), block_id(), bool("valid") } },
        { "Proposal", proposal() },
        { "Vote", vote() },
        { "Timeout", { enum("step", "Step"), round("round") } },
        { "Polka", polka() },
    } },
    block = { prefix = "block", title = "Block", fields = {
        u64("height"), bytes("parent", 32), u32("proposer"), u32("parent_commit_round"),
        list32("transactions", transfer_fields()),
    } },
    committed_block = { prefix = "committed", title = "Committed block", fields = {
        bytes32("block", "block"),
        struct("certificate", { u64("height"), round("round"), block_id(), list("signers", signer_fields(), { most = 254 }) }),
    } },
    transfer = { prefix = "transfer", title = "Transfer", fields = transfer_fields() },
}

return M
