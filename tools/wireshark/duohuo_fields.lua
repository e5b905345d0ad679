-- The fields, filters and expert infos of the dissector. Loaded by duohuo.lua; by itself it registers nothing.

return function(duohuo, schema)

-- ---------------------------------------------------------------------------------------------------------------------
-- Fields
-- ---------------------------------------------------------------------------------------------------------------------

local fields = {}

local function add_field(constructor, filter, ...)
    local f = constructor("duohuo." .. filter, ...)
    fields[#fields + 1] = f
    return f
end

local type_names, enum_names = {}, schema.ENUMS
for _, p in ipairs(schema.PACKETS) do
    type_names[p.code] = p.name
end

local H = {
    all = add_field(ProtoField.none, "header", "Header"),
    magic = add_field(ProtoField.uint32, "header.magic", "magic", base.HEX),
    version = add_field(ProtoField.uint8, "header.version", "version"),
    type = add_field(ProtoField.uint8, "header.type", "type", base.HEX, type_names),
    flags = add_field(ProtoField.uint16, "header.flags", "flags", base.HEX),
    sealed = add_field(ProtoField.bool, "header.flags.sealed", "S, sealed", 16, nil, 0x0001),
    ignored = add_field(ProtoField.uint16, "header.flags.ignored", "bits 7..1, ignored", base.HEX, nil, 0x00FE),
    critical = add_field(ProtoField.uint16, "header.flags.critical", "bits 15..8, refused if set", base.HEX, nil, 0xFF00),
    length = add_field(ProtoField.uint32, "header.length", "length"),
    hdr_len = add_field(ProtoField.uint8, "header.hdr_len", "hdr_len"),
    suite = add_field(ProtoField.uint8, "header.suite", "suite"),
    reserved = add_field(ProtoField.uint16, "header.reserved", "reserved", base.HEX),
    session = add_field(ProtoField.uint64, "header.session", "session", base.HEX),
    sequence = add_field(ProtoField.uint64, "header.sequence", "sequence"),
    sender = add_field(ProtoField.uint32, "header.sender", "sender"),
    group = add_field(ProtoField.uint32, "header.group", "group"),
    crc32 = add_field(ProtoField.uint32, "header.crc32", "crc32", base.HEX),
}

-- How a rehearsal ended (behaviour.md 6.2).
local REHEARSAL_END = { [0] = "whole", "unfit", "busy", "no answer of the authority", "refused", "would halt", "a member is late", "overtaken", "log too long" }

local G = {
    crc_ok = add_field(ProtoField.bool, "crc_ok", "CRC holds"),
    receiver = add_field(ProtoField.uint32, "receiver", "Receiver (from the handshake, or from what its address sent)"),
    body = add_field(ProtoField.bytes, "sealed_body", "Sealed body"),
    tag = add_field(ProtoField.bytes, "tag", "tag"),
    decrypted = add_field(ProtoField.bool, "decrypted", "Opened with the key log"),
    key_cluster = add_field(ProtoField.uint32, "key_cluster", "Cluster of the group key"),
    signature = add_field(ProtoField.bytes, "group_signature", "signature"),
    unread = add_field(ProtoField.bytes, "unread", "Not read"),
    discard = add_field(ProtoField.string, "discard", "A receiver refuses this"),
    rule = add_field(ProtoField.string, "discard.rule", "Broken rule"),
    field = add_field(ProtoField.string, "discard.field", "Broken field"),
    extension = add_field(ProtoField.none, "extension", "Extension"),
    extension_type = add_field(ProtoField.uint16, "extension.type", "type", base.HEX),
    extension_critical = add_field(ProtoField.bool, "extension.critical", "C, critical", 16, nil, 0x8000),
    extension_length = add_field(ProtoField.uint16, "extension.length", "length"),
    extension_value = add_field(ProtoField.bytes, "extension.value", "value"),
    heard = add_field(ProtoField.none, "node_keepalive.heard", "heard"),
    heard_node = add_field(ProtoField.uint32, "node_keepalive.heard.node", "node"),
    heard_sequence = add_field(ProtoField.uint32, "node_keepalive.heard.sequence", "sequence"),
    append_lease = add_field(ProtoField.none, "append.lease", "lease"),
    append_lease_nonce = add_field(ProtoField.uint64, "append.lease.nonce", "nonce", base.HEX),
    append_lease_span = add_field(ProtoField.uint32, "append.lease.span", "span in us"),
    ack_lease = add_field(ProtoField.none, "ack.lease", "lease"),
    ack_lease_nonce = add_field(ProtoField.uint64, "ack.lease.nonce", "nonce", base.HEX),
    ack_lease_in_step = add_field(ProtoField.bool, "ack.lease.in_step", "in_step"),
    resync_part = add_field(ProtoField.none, "resync.part", "part"),
    resync_part_first = add_field(ProtoField.uint64, "resync.part.first", "first"),
    resync_part_is_followed = add_field(ProtoField.bool, "resync.part.is_followed", "is_followed"),
    ack_parts = add_field(ProtoField.none, "ack.parts", "parts"),
    ack_parts_first = add_field(ProtoField.uint64, "ack.parts.first", "first"),
    ack_parts_next = add_field(ProtoField.uint64, "ack.parts.next", "next"),
    ack_lease_position = add_field(ProtoField.uint64, "ack.lease.position", "position"),
    status_answer_disk = add_field(ProtoField.none, "status_answer.disk", "disk"),
    status_answer_disk_last = add_field(ProtoField.uint32, "status_answer.disk.last", "last write in us"),
    status_answer_disk_worst = add_field(ProtoField.uint32, "status_answer.disk.worst", "worst write in us"),
    status_answer_pauses = add_field(ProtoField.none, "status_answer.pauses", "pauses"),
    status_answer_pauses_cluster = add_field(ProtoField.uint32, "status_answer.pauses.cluster", "cluster"),
    status_answer_versions = add_field(ProtoField.none, "status_answer.versions", "versions"),
    status_answer_versions_lowest = add_field(ProtoField.uint8, "status_answer.versions.lowest", "lowest"),
    status_answer_versions_highest = add_field(ProtoField.uint8, "status_answer.versions.highest", "highest"),
    status_answer_versions_party = add_field(ProtoField.uint32, "status_answer.versions.party", "party"),
    status_answer_versions_version = add_field(ProtoField.uint8, "status_answer.versions.version", "version"),
    status_answer_rehearsed = add_field(ProtoField.none, "status_answer.rehearsed", "rehearsed"),
    status_answer_rehearsed_end = add_field(ProtoField.uint8, "status_answer.rehearsed.end", "end", base.DEC, REHEARSAL_END),
    status_answer_rehearsed_outcome = add_field(ProtoField.uint8, "status_answer.rehearsed.outcome", "outcome"),
    status_answer_rehearsed_span = {},
    status_answer_rehearsed_node = add_field(ProtoField.uint32, "status_answer.rehearsed.node", "node"),
    status_answer_rehearsed_acknowledged = add_field(ProtoField.uint32, "status_answer.rehearsed.acknowledged", "acknowledged in us"),
    status_answer_rehearsed_durable = add_field(ProtoField.uint32, "status_answer.rehearsed.durable", "durable in us"),
    ack_rehearsal_durable = add_field(ProtoField.uint32, "ack.rehearsal.durable", "durable in us"),
    -- by packet
    rehearsal = {}, rehearsal_nonce = {},
    versions = {}, versions_lowest = {}, versions_highest = {},
    master_keepalive_takeover = add_field(ProtoField.none, "master_keepalive.takeover", "takeover"),
    master_keepalive_takeover_span = {},
    journal_takeovers = add_field(ProtoField.none, "journal.takeovers", "takeover"),
    journal_takeovers_number = add_field(ProtoField.uint64, "journal.takeovers.number", "number"),
    journal_takeovers_before = add_field(ProtoField.bytes, "journal.takeovers.before", "before"),
    journal_takeovers_after = add_field(ProtoField.uint64, "journal.takeovers.after", "after decision"),
    journal_takeovers_decision = add_field(ProtoField.uint64, "journal.takeovers.decision", "of decision"),
    journal_takeovers_span = {},
    journal_takeovers_signature = add_field(ProtoField.bytes, "journal.takeovers.signature", "signature"),
    response_in = add_field(ProtoField.framenum, "response_in", "Answered in", base.NONE, frametype.RESPONSE),
    response_to = add_field(ProtoField.framenum, "response_to", "Answer to", base.NONE, frametype.REQUEST),
    response_time = add_field(ProtoField.relative_time, "response_time", "Time from the first request"),
    repeat_of = add_field(ProtoField.framenum, "repeat_of", "Repeats the request in", base.NONE),
    echo_of = add_field(ProtoField.framenum, "echo_of", "Echoes the challenge of", base.NONE),
}

-- The spans of a takeover, in the order of the wire; 2^64 - 1: not measured.
local SPANS = { "heard_us", "suspected_us", "claimed_us", "promised_us", "ready_us", "spoke_us", "committed_us" }
local GRANTING = { "granting_heard_us", "granting_asked_us", "granting_durable_us" }
-- What a rehearsal came to: microseconds, 2^32 - 1 = not measured, and two counts.
for _, name in ipairs({ "suspected", "claimed", "noted", "started", "promised", "records", "words" }) do
    table.insert(G.status_answer_rehearsed_span, add_field(ProtoField.uint32, "status_answer.rehearsed." .. name, name))
end
for _, packet in ipairs({ "status_query", "update", "resync", "ack" }) do
    G.rehearsal[packet] = add_field(ProtoField.none, packet .. ".rehearsal", "rehearsal")
    if packet ~= "status_query" then
        G.rehearsal_nonce[packet] = add_field(ProtoField.uint64, packet .. ".rehearsal.nonce", "nonce", base.HEX)
    end
end
for _, packet in ipairs({ "handshake_init", "handshake_response", "probe" }) do
    G.versions[packet] = add_field(ProtoField.none, packet .. ".versions", "versions")
    G.versions_lowest[packet] = add_field(ProtoField.uint8, packet .. ".versions.lowest", "lowest")
    G.versions_highest[packet] = add_field(ProtoField.uint8, packet .. ".versions.highest", "highest")
end
for _, name in ipairs(SPANS) do
    table.insert(G.master_keepalive_takeover_span, add_field(ProtoField.uint64, "master_keepalive.takeover." .. name, name))
end
for _, names in ipairs({ GRANTING, SPANS }) do
    for _, name in ipairs(names) do
        table.insert(G.journal_takeovers_span, add_field(ProtoField.uint64, "journal.takeovers." .. name, name))
    end
end

-- Hidden copies, so that one filter finds a cluster, node, epoch, height or request in any packet.
local ANY = {
    cluster = add_field(ProtoField.uint32, "any.cluster", "Any cluster"),
    node = add_field(ProtoField.uint32, "any.node", "Any node"),
    epoch = add_field(ProtoField.uint64, "any.epoch", "Any epoch"),
    height = add_field(ProtoField.uint64, "any.height", "Any height"),
    request = add_field(ProtoField.uint64, "any.request", "Any request"),
}

local NUMBER = { u8 = ProtoField.uint8, u16 = ProtoField.uint16, u32 = ProtoField.uint32, u64 = ProtoField.uint64 }
local WIDTH = { u8 = 1, u16 = 2, u32 = 4, u64 = 8, bool = 1, enum = 1, round = 4 }
local LEAST = { bytes16 = 2, bytes32 = 4, str8 = 1, address = 7, optional_address = 1, list = 2, list32 = 4, value = 1 }

-- The fewest bytes that a field takes: what a count is compared with before anything is made of it (W-ENC-2).
local function least_bytes(def)
    if def == "u32" then return 4 end
    if def == "hash" then return 32 end
    if def.kind == "bytes" then return def.n end
    if def.kind == "struct" or not def.kind then
        local sum = 0
        for _, f in ipairs(def.fields or def) do
            sum = sum + least_bytes(f)
        end
        return sum
    end
    return WIDTH[def.kind] or LEAST[def.kind]
end

local declare

local function declare_address(def)
    def.family = add_field(ProtoField.uint8, def.path .. ".family", "family")
    def.ipv4 = add_field(ProtoField.ipv4, def.path .. ".ipv4", "IPv4 address")
    def.ipv6 = add_field(ProtoField.ipv6, def.path .. ".ipv6", "IPv6 address")
    def.port = add_field(ProtoField.uint16, def.path .. ".port", "port")
    return add_field(ProtoField.string, def.path, def.name)
end

local DECLARE = {
    bool = function(def) return add_field(ProtoField.bool, def.path, def.name) end,
    enum = function(def) return add_field(ProtoField.uint8, def.path, def.name, base.DEC, enum_names[def.of]) end,
    bytes = function(def) return add_field(ProtoField.bytes, def.path, def.name) end,
    str8 = function(def) return add_field(ProtoField.string, def.path, def.name) end,
    address = declare_address,
    round = function(def)
        return add_field(ProtoField.uint32, def.path, def.name)
    end,
    struct = function(def)
        declare(def.path, def.fields)
        return add_field(ProtoField.none, def.path, def.name)
    end,
}

function DECLARE.bytes16(def)
    def.length = add_field(ProtoField.uint16, def.path .. ".length", def.name .. " length")
    return add_field(ProtoField.bytes, def.path, def.name)
end

function DECLARE.bytes32(def)
    def.length = add_field(ProtoField.uint32, def.path .. ".length", def.name .. " length")
    return add_field(ProtoField.bytes, def.path, def.name)
end

function DECLARE.optional_address(def)
    def.present = add_field(ProtoField.bool, def.path .. ".present", def.name .. " present")
    return declare_address(def)
end

function DECLARE.value(def)
    def.present = add_field(ProtoField.bool, def.path .. ".present", def.name .. " present")
    return add_field(ProtoField.bytes, def.path, def.name)
end

function DECLARE.list(def)
    local count = def.kind == "list" and ProtoField.uint16 or ProtoField.uint32
    def.count = add_field(count, def.path .. ".items", def.name .. " items")
    if def.item == "u32" then
        return add_field(ProtoField.uint32, def.path, def.name)
    elseif def.item == "hash" then
        return add_field(ProtoField.bytes, def.path, def.name)
    end
    declare(def.path, def.item)
    return add_field(ProtoField.none, def.path, def.name)
end
DECLARE.list32 = DECLARE.list

function declare(path, defs)
    for _, def in ipairs(defs) do
        def.path = path .. "." .. def.name
        if NUMBER[def.kind] then
            def.field = add_field(NUMBER[def.kind], def.path, def.name, def.hex and base.HEX or base.DEC,
                def.names and schema[def.names])
        else
            def.field = DECLARE[def.kind](def)
        end
    end
end

for _, p in ipairs(schema.PACKETS) do
    p.field = add_field(ProtoField.none, p.key, p.name)
    declare(p.key, p.fields)
end
for _, content in pairs(schema.CONTENT) do
    content.field = add_field(ProtoField.none, content.prefix, content.title)
    if content.by then
        local names = {}
        for code, variant in ipairs(content.by) do
            names[code] = variant[1]
            variant.path = content.prefix .. "." .. variant[1]:lower()
            variant.field = add_field(ProtoField.none, variant.path, variant[1])
            declare(variant.path, variant[2])
        end
        content.type = add_field(ProtoField.uint8, content.prefix .. ".type", "type", base.DEC, names)
    else
        declare(content.prefix, content.fields)
    end
end

duohuo.fields = fields

-- ---------------------------------------------------------------------------------------------------------------------
-- Expert infos
-- ---------------------------------------------------------------------------------------------------------------------

local group, severity = expert.group, expert.severity
local experts, EXPERT = {}, {}

local function add_expert(name, text, in_group, of_severity)
    local e = ProtoExpert.new("duohuo." .. name, text, in_group, of_severity)
    experts[#experts + 1] = e
    EXPERT[name] = e
end

for _, row in ipairs({
    { "too_short", "Shorter than the smallest packet", group.MALFORMED },
    { "bad_magic", "The magic is not 0x44554F48", group.PROTOCOL },
    { "bad_version", "Not version 1 or 2, or not the handshake's", group.PROTOCOL },
    { "bad_length", "The length is not the number of bytes", group.MALFORMED },
    { "too_long", "Longer than the limit", group.PROTOCOL },
    { "bad_header_length", "The header length is not 10", group.PROTOCOL },
    { "bad_crc", "The CRC does not match: damaged on the way", group.CHECKSUM },
    { "unknown_flags", "Unknown critical flags", group.PROTOCOL },
    { "bad_suite", "Not suite 1", group.PROTOCOL },
    { "reserved_not_zero", "The reserved field is not zero", group.PROTOCOL },
    { "sealed", "A handshake packet must not be sealed", group.PROTOCOL },
    { "not_sealed", "This type must be sealed", group.SECURITY },
    { "unknown_type", "Unknown type", group.PROTOCOL },
    { "replayed", "Outside the window, or accepted before", group.SECURITY },
    { "forged", "The tag does not hold", group.SECURITY },
    { "unknown_critical_tlv", "Unknown critical extension", group.PROTOCOL },
    { "truncated", "The bytes end inside a field", group.MALFORMED },
    { "trailing_bytes", "Bytes after the last field", group.MALFORMED },
    { "bad_value", "A value outside its range", group.PROTOCOL },
    { "not_canonical", "Not the one encoding", group.PROTOCOL },
    { "tlv_order", "Extensions do not ascend", group.PROTOCOL },
    { "tlv_truncated", "An extension is cut", group.MALFORMED },
}) do
    add_expert("discard." .. row[1], row[2], row[3], severity.ERROR)
end
add_expert("note.malformed_content", "What the field holds is refused", group.MALFORMED, severity.WARN)
add_expert("note.no_key", "No key in the key log", group.DECRYPTION, severity.NOTE)
add_expert("note.key_log", "The key log cannot be used", group.DECRYPTION, severity.WARN)
add_expert("note.not_opened", "Too large to open in Lua", group.DECRYPTION, severity.NOTE)
add_expert("note.wrong_transport", "This type does not travel so", group.PROTOCOL, severity.WARN)
add_expert("note.old_generation", "Older than the last two group generations", group.SECURITY, severity.WARN)
add_expert("note.nonce_reuse", "Two packets under one sequence of one key", group.SECURITY, severity.ERROR)
add_expert("note.ignored_flags", "Flags that are to be sent 0", group.PROTOCOL, severity.NOTE)
add_expert("note.cut_capture", "The capture does not hold the whole packet", group.UNDECODED, severity.NOTE)
add_expert("note.no_meaning", "An extension of another length: as if it were absent", group.PROTOCOL, severity.NOTE)
add_expert("note.no_lease", "A lease of another length or state: as if it were absent", group.PROTOCOL, severity.NOTE)
add_expert("note.unknown_extension", "Unknown extension, ignored", group.UNDECODED, severity.NOTE)

duohuo.experts = experts

return { header = H, own = G, any = ANY, expert = EXPERT, type_names = type_names, width = WIDTH, least_bytes = least_bytes }

end
