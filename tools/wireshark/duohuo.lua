-- Wireshark dissector for the wire protocol of spec/wire.md, version 1, and the chain's messages of spec/chain.md.
-- Load with `-X lua_script:duohuo.lua`, or put this file and its two neighbours into the plugin folder; see README.md.
--
-- Filters are duohuo.<packet>.<field> with the specification's names. A packet that a receiver must refuse carries
-- duohuo.discard (the label) and the expert info duohuo.discard.<label>; the checks are made in the specification's order
-- and the first broken one names the discard.

local folder = (debug.getinfo(1, "S").source:match("^@(.*[/\\])")) or ""
local crypto = dofile(folder .. "duohuo_crypto.lua")
local schema = dofile(folder .. "duohuo_schema.lua")
local bit = bit or require("bit")

local duohuo = Proto("duohuo", "Duohuo")

local MAGIC = 0x44554F48
local HEADER_BYTES, TAG_BYTES, CRC_BYTES, SIGNATURE_BYTES = 40, 16, 4, 64
local MIN_BYTES, MIN_SEALED_BYTES = 44, 60
local MAX_DATAGRAM, MAX_HANDSHAKE_FRAME, MAX_FRAME = 1200, 8 * 1024, 8 * 1024 * 1024
local FIRST_SEALED_TYPE = 0x10
local WINDOW = 1024
local TCP = 2
-- Lists longer than this are read and checked to their end, but not all shown.
local SHOWN_ITEMS = 1000

-- ---------------------------------------------------------------------------------------------------------------------
-- Preferences
-- ---------------------------------------------------------------------------------------------------------------------

duohuo.prefs.ports = Pref.range("Ports", "", "UDP and TCP ports besides those that are recognised by themselves", 65535)
duohuo.prefs.keylog = Pref.string("Key log file", "", "Keys to open sealed packets with; empty = environment DUOHUO_KEYLOG")
duohuo.prefs.lua_limit = Pref.uint("Largest packet opened in Lua (KiB)", 1024,
    "Where this Wireshark has no cipher of its own, a larger packet is not opened: about a second each 500 KiB")

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
    response_in = add_field(ProtoField.framenum, "response_in", "Answered in", base.NONE, frametype.RESPONSE),
    response_to = add_field(ProtoField.framenum, "response_to", "Answer to", base.NONE, frametype.REQUEST),
    response_time = add_field(ProtoField.relative_time, "response_time", "Time from the first request"),
    repeat_of = add_field(ProtoField.framenum, "repeat_of", "Repeats the request in", base.NONE),
    echo_of = add_field(ProtoField.framenum, "echo_of", "Echoes the challenge of", base.NONE),
}

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
    def.count = add_field(count, def.path .. ".count", def.name .. " count")
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
    { "bad_version", "Not version 1", group.PROTOCOL },
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
add_expert("note.unknown_extension", "Unknown extension, ignored", group.UNDECODED, severity.NOTE)

duohuo.experts = experts

local BODY_RULES = {
    truncated = "W-ENC-2", bad_value = "W-ENC-1", not_canonical = "W-ENC-3", tlv_order = "W-TLV-1", tlv_truncated = "W-TLV-2",
    unknown_critical_tlv = "W-TLV-3", trailing_bytes = "W-ENC-4",
}

-- ---------------------------------------------------------------------------------------------------------------------
-- What is remembered between packets; forgotten when a capture is opened
-- ---------------------------------------------------------------------------------------------------------------------

local state

local function forget()
    state = {
        owners = {},      -- session id (hex) -> who chose it
        at_address = {},  -- "ip:port" -> who sends from there
        clients = {},     -- number -> true, from a roster
        windows = {},     -- (key, receiver's address) -> { newest, accepted }
        sequences = {},   -- key -> { newest, tags by sequence }
        verdicts = {},    -- packet -> what the first pass found
        opened = {},      -- header, tag and CRC -> { plaintext, cluster } or false
        generations = {}, -- cluster -> { newest, the one before }
        requests = {},    -- kind and request -> { frame, time, answer }
        challenges = {},  -- challenge -> frame
    }
end
forget()

local function party(id)
    if id == nil then return "?" end
    if id == 0 then return "authority" end
    return (state.clients[id] and "client " or "n") .. tostring(id)
end

-- ---------------------------------------------------------------------------------------------------------------------
-- The key log
-- ---------------------------------------------------------------------------------------------------------------------

local keys

local function from_hex(text)
    return (text:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

local function hex64(text)
    text = text:lower():gsub("^0x", "")
    return #text <= 16 and text:match("^%x+$") and ("0"):rep(16 - #text) .. text or nil
end

-- Adds one line; false if it is none.
local function add_key_line(into, line)
    if line:match("^%s*#") or line:match("^%s*$") then return true end
    local id, key, iv = line:match("^%s*session%s+(%w+)%s+(%x+)%s+(%x+)%s*$")
    local name, cluster
    if id then
        id = hex64(id)
        name = id and "session " .. id
    else
        local generation, sender, boot
        cluster, generation, sender, boot, key, iv =
            line:match("^%s*group%s+(%d+)%s+(%d+)%s+(%d+)%s+(%w+)%s+(%x+)%s+(%x+)%s*$")
        boot = boot and hex64(boot)
        name = boot and string.format("group %d %d %s", generation, sender, boot)
    end
    if not name or #key ~= 64 or #iv ~= 24 then return false end
    into[name] = into[name] or {}
    table.insert(into[name], { key = from_hex(key), iv = from_hex(iv), cluster = tonumber(cluster) or 0 })
    return true
end

local function load_keys()
    local path = duohuo.prefs.keylog
    if path == nil or path == "" then path = os.getenv("DUOHUO_KEYLOG") or "" end
    keys = { path = path, by_name = {}, size = 0 }
    if path == "" then return end
    local file, why = io.open(path, "r")
    if not file then
        keys.problem = "key log: " .. tostring(why)
        return
    end
    local number = 0
    for line in file:lines() do
        number = number + 1
        if not add_key_line(keys.by_name, line) and not keys.problem then
            keys.problem = string.format("key log %s, line %d: neither `session ID KEY IV` nor `group CLUSTER GENERATION SENDER BOOT KEY IV`",
                path, number)
        end
    end
    keys.size = file:seek("end")
    file:close()
end

-- A running node appends keys while we capture.
local function find_keys(name, may_reload)
    if not keys then load_keys() end
    if not keys.by_name[name] and may_reload and keys.path ~= "" then
        local file = io.open(keys.path, "r")
        local size = file and file:seek("end") or 0
        if file then file:close() end
        if size ~= keys.size then load_keys() end
    end
    return keys.by_name[name]
end

local function nonce_of(iv, sequence)
    local out = { iv:sub(1, 4) }
    for i = 1, 8 do
        out[i + 1] = string.char(bit.bxor(iv:byte(4 + i), sequence:byte(i)))
    end
    return table.concat(out)
end

-- ---------------------------------------------------------------------------------------------------------------------
-- Reading fields. A broken rule is raised as { label, path, item }; anything else that is raised is our own error.
-- ---------------------------------------------------------------------------------------------------------------------

local function refuse(label, path, item, rule)
    error({ label = label, path = path, item = item, rule = rule }, 0)
end

local function left(r) return r.stop - r.at end

local function take(r, count, path)
    if count > left(r) then refuse("truncated", path) end
    local range = r.tvb(r.at, count)
    r.at = r.at + count
    return range
end

local function add_any(tree, which, range)
    tree:add(ANY[which], range):set_hidden()
end

local READ = {}
local read_fields, read_content

local function read_number(r, tree, def)
    local range = take(r, WIDTH[def.kind], def.path)
    local item = tree:add(def.field, range)
    if def.any then add_any(tree, def.any, range) end
    local value = def.kind == "u64" and range:uint64() or range:uint()
    if def.check and not def.check(value) then refuse("bad_value", def.path, item) end
    return value
end
READ.u8, READ.u16, READ.u32, READ.u64 = read_number, read_number, read_number, read_number

function READ.bool(r, tree, def)
    local range = take(r, 1, def.path)
    local item = tree:add(def.field, range)
    if range:uint() > 1 then refuse("bad_value", def.path, item) end
    return range:uint() == 1
end

function READ.enum(r, tree, def)
    local range = take(r, 1, def.path)
    local item = tree:add(def.field, range)
    local name = enum_names[def.of][range:uint()]
    if not name then refuse("bad_value", def.path, item) end
    return name
end

function READ.bytes(r, tree, def)
    local range = take(r, def.n, def.path)
    tree:add(def.field, range)
    return range
end

local function read_counted(width)
    return function(r, tree, def)
        local count = take(r, width, def.path)
        local item = tree:add(def.length, count)
        if count:uint() > left(r) then refuse("truncated", def.path, item) end
        if count:uint() == 0 then
            return nil
        end
        local range = take(r, count:uint(), def.path)
        item = tree:add(def.field, range)
        if def.content then
            return read_content(r, item, schema.CONTENT[def.content], range:offset() - r.base, range:len())
        end
        return range
    end
end
READ.bytes16, READ.bytes32 = read_counted(2), read_counted(4)

local function is_utf8(text)
    local at = 1
    while at <= #text do
        local a = text:byte(at)
        local more, low, high = 0, 0x80, 0xBF
        if a >= 0xC2 and a <= 0xDF then more = 1
        elseif a >= 0xE0 and a <= 0xEF then
            more, low, high = 2, a == 0xE0 and 0xA0 or 0x80, a == 0xED and 0x9F or 0xBF
        elseif a >= 0xF0 and a <= 0xF4 then
            more, low, high = 3, a == 0xF0 and 0x90 or 0x80, a == 0xF4 and 0x8F or 0xBF
        elseif a >= 0x80 then return false end
        for i = 1, more do
            local b = text:byte(at + i)
            if not b or b < low or b > high then return false end
            low, high = 0x80, 0xBF
        end
        at = at + more + 1
    end
    return true
end

function READ.str8(r, tree, def)
    local count = take(r, 1, def.path)
    if count:uint() == 0 then
        local item = tree:add(def.field, count, "")
        if def.check then refuse("bad_value", def.path, item) end
        return ""
    end
    local range = take(r, count:uint(), def.path)
    local item = tree:add(def.field, range)
    if not is_utf8(range:raw()) then refuse("bad_value", def.path, item) end
    return range:raw()
end

function READ.address(r, tree, def)
    local family = take(r, 1, def.path)
    local start = r.at - 1
    local is_v4 = family:uint() == 4
    if not is_v4 and (family:uint() ~= 6 or def.ipv4_only) then
        refuse("bad_value", def.path, tree:add(def.family, family))
    end
    local host = take(r, is_v4 and 4 or 16, def.path)
    local port = take(r, 2, def.path)
    local text = is_v4 and string.format("%s:%d", tostring(host:ipv4()), port:uint())
        or string.format("[%s]:%d", tostring(host:ipv6()), port:uint())
    local item = tree:add(def.field, r.tvb(start, r.at - start), text)
    item:add(def.family, family)
    item:add(is_v4 and def.ipv4 or def.ipv6, host)
    item:add(def.port, port)
    return text
end

local function read_optional(reader)
    return function(r, tree, def)
        local present = take(r, 1, def.path)
        local item = tree:add(def.present, present)
        if present:uint() > 1 then refuse("bad_value", def.path, item) end
        if present:uint() == 0 then return nil end
        return reader(r, tree, def)
    end
end
READ.optional_address = read_optional(READ.address)
READ.value = read_optional(function(r, tree, def)
    local range = take(r, 32, def.path)
    tree:add(def.field, range)
    return range
end)

function READ.round(r, tree, def)
    local range = take(r, 4, def.path)
    local item = tree:add(def.field, range)
    local value = range:uint()
    if value == 4294967295 and def.nil_allowed then
        item:append_text(" (nil)")
        return "nil"
    end
    if value > 2 ^ 24 then refuse("bad_value", def.path, item) end
    return value
end

function READ.struct(r, tree, def)
    local item = tree:add(def.field, r.tvb(r.at, left(r)))
    local start = r.at
    local out = read_fields(r, item, def.fields)
    item:set_len(r.at - start)
    return out
end

local function read_item(r, tree, def, shown)
    if def.item == "u32" then
        local range = take(r, 4, def.path)
        local item = shown and tree:add(def.field, range)
        if shown and def.any then add_any(tree, def.any, range) end
        return range:uint(), range:uint(), item
    elseif def.item == "hash" then
        local range = take(r, 32, def.path)
        return range, nil, tree:add(def.field, range)
    end
    local start = r.at
    local item = tree:add(def.field, r.tvb(start, left(r)))
    local out = read_fields(r, item, def.item)
    item:set_len(r.at - start)
    return out, def.ascending and out[def.ascending], item
end

local function read_list(width)
    return function(r, tree, def)
        local count = take(r, width, def.path)
        local n = count:uint()
        local item = tree:add(def.count, count)
        if n * least_bytes(def.item) > left(r) then refuse("truncated", def.path, item) end
        if n > (def.most or n) or n < (def.least or 0) then refuse("bad_value", def.path, item) end
        -- The order is looked at when the whole list has been read, as a receiver does.
        local out, last, disorder = {}, nil, nil
        for i = 1, n do
            local value, order, at = read_item(r, tree, def, i <= SHOWN_ITEMS)
            out[i] = value
            if def.ascending then
                if last and order <= last then disorder = disorder or at or item end
                last = order
            end
        end
        if n > SHOWN_ITEMS then item:append_text(string.format(", the first %d shown", SHOWN_ITEMS)) end
        if disorder then refuse("not_canonical", def.path, disorder) end
        return out
    end
end
READ.list, READ.list32 = read_list(2), read_list(4)

function read_fields(r, tree, defs)
    local out = {}
    for _, def in ipairs(defs) do
        out[def.name] = READ[def.kind](r, tree, def)
    end
    return out
end

-- W-ROS-2.
local function check_roster(roster)
    local ids, session_keys = {}, { [roster.authority.session_key:raw()] = true }
    local function unique(entry, path)
        if ids[entry.id] then refuse("bad_value", path .. ".id") end
        if session_keys[entry.session_key:raw()] then refuse("bad_value", path .. ".session_key") end
        ids[entry.id], session_keys[entry.session_key:raw()] = true, true
    end
    for _, cluster in ipairs(roster.clusters) do
        for _, node in ipairs(cluster.nodes) do
            unique(node, "roster.clusters.nodes")
        end
    end
    for _, client in ipairs(roster.clients) do
        unique(client, "roster.clients")
        state.clients[client.id] = true
    end
end

-- What a bytes field holds. The packet is taken whatever stands here, so a broken rule is no discard of the packet.
function read_content(outer, tree, content, at, count)
    local r = { tvb = outer.tvb, base = outer.base, at = at, stop = at + count }
    local item = tree:add(content.field, r.tvb(at, count))
    local out = { title = content.title }
    local ran, broken = pcall(function()
        if content.by then
            local code = take(r, 1, content.prefix .. ".type")
            local type_item = item:add(content.type, code)
            local variant = content.by[code:uint()]
            if not variant then refuse("bad_value", content.prefix .. ".type", type_item) end
            item:append_text(", " .. variant[1])
            out.variant = variant[1]
            out.fields = read_fields(r, left(r) > 0 and item:add(variant.field, r.tvb(r.at, left(r))) or item, variant[2])
        else
            out.fields = read_fields(r, item, content.fields)
        end
        if left(r) > 0 then refuse("trailing_bytes", content.prefix) end
        if content.prefix == "roster" then check_roster(out.fields) end
    end)
    if not ran then
        if type(broken) ~= "table" then error(broken, 0) end
        out.broken = broken.label
        local where = broken.item or item
        where:add_proto_expert_info(EXPERT["note.malformed_content"],
            string.format("%s refused: %s in %s", content.title, broken.label, broken.path))
    end
    return out
end

-- ---------------------------------------------------------------------------------------------------------------------
-- Extensions
-- ---------------------------------------------------------------------------------------------------------------------

local function read_heard(r, tree, at, count)
    local path = "node_keepalive.heard"
    if count == 0 then refuse("not_canonical", path, tree) end
    local heard = { tvb = r.tvb, at = at, stop = at + count }
    local out, last, disorder = {}, nil, nil
    while left(heard) > 0 do
        local start = heard.at
        local node = take(heard, 4, path)
        local sequence = take(heard, 4, path)
        local item = tree:add(G.heard, r.tvb(start, 8))
        item:add(G.heard_node, node)
        add_any(item, "node", node)
        item:add(G.heard_sequence, sequence)
        item:append_text(string.format(": %s, sequence %d", party(node:uint()), sequence:uint()))
        if last and node:uint() <= last then disorder = disorder or item end
        last = node:uint()
        out[#out + 1] = last
    end
    if disorder then refuse("not_canonical", path, disorder) end
    return out
end

local function read_extensions(r, tree, packet, out)
    local last, heard = nil, nil
    while left(r) > 0 do
        local start = r.at
        local rest = tree:add(G.extension, r.tvb(start, left(r)))
        if left(r) < 4 then refuse("tlv_truncated", "extensions", rest) end
        local kind, length = r.tvb(start, 2), r.tvb(start + 2, 2)
        local kind_item = rest:add(G.extension_type, kind)
        rest:add(G.extension_critical, kind)
        rest:add(G.extension_length, length)
        local count = length:uint()
        if 4 + count > left(r) then refuse("tlv_truncated", "extensions", rest) end
        rest:set_len(4 + count)
        r.at = start + 4 + count
        if count > 0 then rest:add(G.extension_value, r.tvb(start + 4, count)) end
        rest:append_text(string.format(" 0x%04X, %d bytes", kind:uint(), count))
        if last and kind:uint() <= last then refuse("tlv_order", "extensions", kind_item) end
        last = kind:uint()
        if packet.key == "node_keepalive" and last == 0x0001 then
            rest:append_text(", heard")
            heard = { rest, start + 4, count }
        elseif last >= 0x8000 then
            refuse("unknown_critical_tlv", "extensions", kind_item)
        else
            rest:add_proto_expert_info(EXPERT["note.unknown_extension"])
        end
    end
    if heard then out.heard = read_heard(r, heard[1], heard[2], heard[3]) end
end

-- ---------------------------------------------------------------------------------------------------------------------
-- What an operator reads
-- ---------------------------------------------------------------------------------------------------------------------

local function numbers(list)
    local texts = {}
    for i = 1, math.min(#list, 16) do texts[i] = tostring(list[i]) end
    return table.concat(texts, ",") .. (#list > 16 and ",..." or "")
end

local function row_text(row)
    return string.format("c%d e%s v%s master %s in sync %s%s%s", row.cluster, row.epoch, row.version,
        row.master == 0 and "none" or party(row.master), #row.in_sync > 0 and numbers(row.in_sync) or "none",
        #row.barred > 0 and " barred " .. numbers(row.barred) or "", row.unfenced and " UNFENCED" or "")
end

local function certificate_text(f)
    return string.format("h%s r%s %d signers", f.height, f.round, #f.signers)
end

local function vote_text(f)
    return string.format("%s h%s r%s %s by c%d e%s", f.kind, f.height, f.round,
        f.value and f.value:raw():byte(1) and string.sub(tostring(f.value), 1, 8) or "nil", f.signer.cluster, f.signer.epoch)
end

local CHAIN_TEXT = {
    Hello = function(f) return string.format("h%s r%s%s", f.height, f.round, f.asks and " asks" or "") end,
    Proposal = function(f)
        return string.format("h%s r%s %s by c%d e%s", f.height, f.round, string.sub(tostring(f.block_id), 1, 8),
            f.signer.cluster, f.signer.epoch)
    end,
    Vote = vote_text,
    Body = function(f) return f.height and string.format("h%s", f.height) or "" end,
    Polka = certificate_text,
    Round = function(f) return string.format("h%s r%s %s, %d votes", f.height, f.round, f.certificate, #f.votes) end,
    Result = function(f) return string.format("c%d h%s %s", f.cluster, f.height, string.sub(tostring(f.hash), 1, 8)) end,
    Transactions = function(f) return string.format("%d", #f.transactions) end,
    Value = function(f) return string.format("r%s %s", f.round, f.valid and "valid" or "invalid") end,
    Timeout = function(f) return string.format("%s r%s", f.step, f.round) end,
}

local function content_text(content)
    if not content then return "empty" end
    if content.broken then return "(" .. content.broken .. ")" end
    return content.variant .. " " .. CHAIN_TEXT[content.variant](content.fields)
end

local function records_text(records)
    local kinds = {}
    for i = 1, math.min(#records, 4) do
        kinds[i] = content_text(records[i].bytes)
    end
    return string.format("%d records%s%s", #records, #records > 0 and ": " or "", table.concat(kinds, "; "))
        .. (#records > 4 and "; ..." or "")
end

local INFO = {
    handshake_init = function(o) return "session " .. tostring(o.initiator_session:tohex()) end,
    handshake_response = function(o) return string.format("sessions %s, %s", o.initiator_session:tohex(), o.responder_session:tohex()) end,
    cookie = function(o) return "for session " .. o.initiator_session:tohex() end,
    join = function(o) return string.format("c%d roster v%s", o.cluster, o.roster_version) end,
    join_answer = function(o)
        return string.format("%s roster v%s%s", o.verdict, o.roster_version, o.sealed_id and " with sealed ID" or "")
    end,
    register = function(o) return string.format("c%d", o.cluster) end,
    registered = function(o)
        return string.format("%s registration %d, %d sealed IDs", o.verdict, o.registration_epoch, #o.sealed_ids)
    end,
    update = function(o)
        return string.format("c%d e%s v%s %s alive %s", o.cluster, o.epoch, o.version, o.reason, numbers(o.alive))
    end,
    change = function(o)
        return string.format("c%d e%s v%s %s %s", o.cluster, o.epoch, o.version, o.kind, party(o.node))
    end,
    notice = function(o) return string.format("%s %s", o.outcome, row_text(o.row)) end,
    master_keepalive = function(o) return string.format("c%d e%s h%s table v%s", o.cluster, o.epoch, o.height, o.table_version) end,
    master_keepalive_answer = function(o) return string.format("e%s table v%s", o.epoch, o.table_version) end,
    query = function(o)
        return string.format("%s %s%s", o.scope, o.cluster == 0 and "all" or "c" .. o.cluster,
            o.scope == "Changed" and " since v" .. tostring(o.since) or "")
    end,
    consensus_error = function(o)
        local accused = o.evidence[1]
        return string.format("h%s accuses %s, %d against", o.height,
            accused and string.format("c%d %s", accused.cluster, party(accused.node)) or "nobody", math.max(#o.evidence - 1, 0))
    end,
    forced_switch = function(o)
        return string.format("c%d e%s away from %s%s h%s", o.order.cluster, o.order.epoch, party(o.order.old_master),
            o.order.proven and " proven" or "", o.order.height)
    end,
    probe = function(o) return string.format("nonce %s e%s", o.nonce:tohex(), o.epoch) end,
    probe_answer = function(o) return string.format("nonce %s %s e%s", o.nonce:tohex(), o.role, o.epoch) end,
    roster_push = function(o)
        local roster = o.roster and not o.roster.broken and o.roster.fields
        return roster and string.format("v%s, %d clusters", roster.version, #roster.clusters) or "(refused)"
    end,
    history = function(o) return string.format("c%d from e%s: %s", o.cluster, o.first_epoch, numbers(o.nodes)) end,
    node_keepalive = function(o)
        return string.format("c%d %s p%d %se%s v%s promised %s log %s h%s hears %s", o.cluster, o.role, o.priority,
            o.in_sync and "in sync " or "", o.epoch, o.version, o.promised, o.log_end, o.height,
            o.heard and numbers(o.heard) or "nobody")
    end,
    group_key = function(o) return string.format("c%d generation %d by %s", o.cluster, o.generation, party(o.master)) end,
    registration_sync = function(o)
        return string.format("c%d registration %d, %d sealed IDs", o.cluster, o.registration_epoch, #o.sealed_ids)
    end,
    resync = function(o) return string.format("e%s h%s from %s, %s", o.epoch, o.height, o.start, records_text(o.records)) end,
    append = function(o)
        return string.format("e%s from %s released %s, %s", o.epoch, o.start, o.released, records_text(o.records))
    end,
    ack = function(o) return string.format("e%s end %s h%s synced e%s", o.epoch, o["end"], o.height, o.synced) end,
    block_push = function(o) return string.format("h%s", o.height) end,
    chain_query = function(o) return string.format("from h%s at most %d bytes", o.from, o.max_bytes) end,
    chain_end = function(o) return string.format("h%s", o.height) end,
    consensus = function(o) return string.format("c%d e%s %s", o.cluster, o.epoch, content_text(o.message)) end,
    submit = function(o)
        local t = o.transaction and not o.transaction.broken and o.transaction.fields
        return t and string.format("%d -> %d: %s, until h%s", t.from, t.to, t.amount, t.valid_until) or "(no transfer)"
    end,
    submit_answer = function(o)
        return string.format("%s h%s%s", o.verdict, o.height, o.master and " ask " .. o.master or "")
    end,
    status_query = function() return "" end,
    status_answer = function(o)
        local s = o.report and not o.report.broken and o.report.fields
        return s and string.format("%s %s c%d e%s v%s h%s%s", party(s.node), s.role, s.cluster, s.epoch, s.version, s.height,
            s.halted and " HALTED" or "") or "(refused)"
    end,
    watch = function(o) return string.format("kinds 0x%08X", o.kinds) end,
    event = function(o)
        return string.format("%s c%d %s e%s h%s", schema.EVENT_KINDS[o.kind] or "kind " .. o.kind, o.cluster, party(o.node),
            o.epoch, o.height)
    end,
    unsupported = function(o)
        return string.format("type 0x%02X%s", o.packet_type,
            o.critical_tlv ~= 0 and string.format(" extension 0x%04X", o.critical_tlv) or "")
    end,
}

-- ---------------------------------------------------------------------------------------------------------------------
-- Requests and answers
-- ---------------------------------------------------------------------------------------------------------------------

-- What is asked, and by which field the answer is known. `asker` = the number belongs to who asks: others may use it too.
local ASKS = {
    handshake_init = { "handshake", "initiator_session" }, join = { "join", "request", asker = true },
    register = { "register", "request", asker = true }, update = { "row", "request", asker = true },
    change = { "row", "request", asker = true }, query = { "row", "request", asker = true },
    submit = { "submit", "request", asker = true }, status_query = { "status", "request", asker = true },
    probe = { "probe", "nonce" },
}
local ANSWERS = {
    handshake_response = { "handshake", "initiator_session" }, cookie = { "handshake", "initiator_session" },
    join_answer = { "join", "request", asker = true }, registered = { "register", "request", asker = true },
    notice = { "row", "request", asker = true }, submit_answer = { "submit", "request", asker = true },
    status_answer = { "status", "request", asker = true }, probe_answer = { "probe", "nonce" },
}

local function link(ctx, packet, out, root)
    local asks, answers = ASKS[packet.key], ANSWERS[packet.key]
    local rule = asks or answers
    if rule then
        local number = out[rule[2]]:tohex()
        if rule[2] == "request" and number == "0000000000000000" then return end
        local asker = ""
        if rule.asker then asker = tostring((asks and ctx.sender or ctx.receiver) or "?") end
        local name = rule[1] .. " " .. number .. " " .. asker
        local known = state.requests[name]
        if asks then
            if not known then
                known = { frame = ctx.pinfo.number, time = ctx.pinfo.rel_ts }
                state.requests[name] = known
            elseif known.frame < ctx.pinfo.number then
                root:add(G.repeat_of, known.frame):set_generated()
            end
            if known.answer then root:add(G.response_in, known.answer):set_generated() end
        elseif known and known.frame <= ctx.pinfo.number then
            known.answer = known.answer or ctx.pinfo.number
            root:add(G.response_to, known.frame):set_generated()
            local span = math.max(ctx.pinfo.rel_ts - known.time, 0)
            root:add(G.response_time, NSTime.new(math.floor(span), math.floor((span % 1) * 1e9 + 0.5))):set_generated()
        end
    elseif packet.key == "master_keepalive_answer" then
        local number = out.challenge:tohex()
        state.challenges[number] = state.challenges[number] or ctx.pinfo.number
    elseif packet.key == "master_keepalive" then
        local frame = state.challenges[out.challenge:tohex()]
        if frame and frame < ctx.pinfo.number then root:add(G.echo_of, frame):set_generated() end
    end
end

-- ---------------------------------------------------------------------------------------------------------------------
-- Reception (2.1)
-- ---------------------------------------------------------------------------------------------------------------------

local function discard(ctx, label, rule, item, text, path)
    if ctx.discard then return end
    ctx.discard = label
    local expert_info = EXPERT["discard." .. label]
    if text then
        item:add_proto_expert_info(expert_info, string.format("%s (%s): %s", label, rule, text))
    else
        item:add_proto_expert_info(expert_info)
    end
    ctx.root:add(G.discard, label):set_generated()
    ctx.root:add(G.rule, rule):set_generated()
    if path then ctx.root:add(G.field, path):set_generated() end
end

local HEADER = {
    { "magic", 0, 4 }, { "version", 4, 1 }, { "type", 5, 1 }, { "flags", 6, 2 }, { "length", 8, 4 }, { "hdr_len", 12, 1 },
    { "suite", 13, 1 }, { "reserved", 14, 2 }, { "session", 16, 8 }, { "sequence", 24, 8 }, { "sender", 32, 4 }, { "group", 36, 4 },
}

-- Shows what is there of the header.
local function show_header(ctx, tvb, root)
    local header = root:add(H.all, tvb(0, math.min(HEADER_BYTES, tvb:len())))
    local h, items = {}, {}
    for _, part in ipairs(HEADER) do
        local name, at, width = part[1], part[2], part[3]
        if at + width <= tvb:len() then
            local range = tvb(at, width)
            items[name] = header:add(H[name], range)
            h[name] = width == 8 and range:uint64() or range:uint()
            if name == "flags" then
                items.sealed = items.flags:add(H.sealed, range)
                items.ignored = items.flags:add(H.ignored, range)
                items.critical = items.flags:add(H.critical, range)
                h.sealed = h.flags % 2 == 1
            elseif name == "sender" then
                add_any(header, "node", range)
                items.sender:append_text(" (" .. party(h.sender) .. ")")
            end
        end
    end
    ctx.header_item = header
    return h, items
end

local function show_crc(ctx, tvb, root)
    local at = tvb:len() - CRC_BYTES
    local item = root:add(H.crc32, tvb(at, CRC_BYTES))
    local right = crypto.crc32(tvb:raw(0, at))
    local holds = right == tvb(at, CRC_BYTES):uint()
    ctx.root:add(G.crc_ok, holds):set_generated()
    item:append_text(holds and " [right]" or string.format(" [should be 0x%08x]", right))
    return holds, item
end

-- W-HDR-1 to W-HDR-12. Gives false at the first that is broken.
local function check_header(ctx, tvb, root, h, items)
    local n = ctx.reported
    local whole = ctx.header_item
    local function broken(label, rule, item, text, path)
        discard(ctx, label, rule, item or whole, text, path)
        return false
    end
    if ctx.stream then
        -- The length frames the packet; the first 12 bytes are looked at as soon as they are there.
        if h.magic and h.magic ~= MAGIC then
            return broken("bad_magic", "W-HDR-2", items.magic, "no packet begins here: a receiver closes the stream, or the capture began inside one")
        end
    elseif n < MIN_BYTES then
        return broken("too_short", "W-HDR-1", whole, string.format("%d bytes, at least %d", n, MIN_BYTES))
    end
    if not h.length then return broken("too_short", "W-HDR-1", whole, "less than a header") end
    if h.magic ~= MAGIC then return broken("bad_magic", "W-HDR-2", items.magic) end
    if h.version ~= 1 then return broken("bad_version", "W-HDR-3", items.version, "version " .. h.version .. ", expected 1") end
    local limit = ctx.stream and (h.type < FIRST_SEALED_TYPE and MAX_HANDSHAKE_FRAME or MAX_FRAME) or MAX_DATAGRAM
    if h.length < MIN_BYTES or (h.length ~= n and not (ctx.stream and h.length > limit)) then
        return broken("bad_length", "W-HDR-4", items.length, string.format("%d, but %d bytes came", h.length, n))
    end
    if h.length > limit then
        return broken("too_long", "W-HDR-5", items.length, string.format("%d bytes, at most %d", h.length, limit))
    end
    if h.hdr_len ~= 10 then return broken("bad_header_length", "W-HDR-6", items.hdr_len, "10 in version 1") end
    if tvb:len() < ctx.reported then
        whole:add_proto_expert_info(EXPERT["note.cut_capture"])
        ctx.cut = true
    else
        local holds, item = show_crc(ctx, tvb, root)
        if not holds then return broken("bad_crc", "W-HDR-7", item, "damaged on the way") end
    end
    if h.flags >= 0x0100 then return broken("unknown_flags", "W-HDR-8", items.critical) end
    if bit.band(h.flags, 0x00FE) ~= 0 then items.ignored:add_proto_expert_info(EXPERT["note.ignored_flags"]) end
    if h.suite ~= 1 then return broken("bad_suite", "W-HDR-9", items.suite, "suite " .. h.suite .. ", expected 1") end
    if h.reserved ~= 0 then return broken("reserved_not_zero", "W-HDR-10", items.reserved) end
    if h.type < FIRST_SEALED_TYPE then
        if h.sealed then return broken("sealed", "W-HDR-11", items.sealed) end
        if not type_names[h.type] then return broken("unknown_type", "W-HDR-12", items.type) end
        for _, name in ipairs({ "session", "sequence" }) do
            if h[name] ~= UInt64.new(0) then
                return broken("bad_value", "W-HDR-12", items[name], name .. " is 0 in the handshake", "header." .. name)
            end
        end
        if h.group ~= 0 then return broken("bad_value", "W-HDR-12", items.group, "group is 0 in the handshake", "header.group") end
    else
        if not h.sealed then return broken("not_sealed", "W-HDR-11", items.sealed) end
        if n < MIN_SEALED_BYTES then
            return broken("too_short", "W-HDR-11", whole, string.format("%d bytes, a sealed packet has at least %d", n, MIN_SEALED_BYTES))
        end
    end
    return true
end

local INTERFACE = Field.new("frame.interface_id")

local function prune(by_sequence, from, to)
    if to - from > 4 * WINDOW then
        for sequence in pairs(by_sequence) do
            if sequence < to - WINDOW then by_sequence[sequence] = nil end
        end
    else
        for sequence = from - WINDOW, to - WINDOW do by_sequence[sequence] = nil end
    end
end

-- W-WIN-2 as far as a capture shows it: gives why the window refuses, or nil. Judged once, in the order of the capture.
local function window_verdict(ctx, h, tag)
    local known = state.verdicts[ctx.id]
    if known then return known.window, known.reuse end
    local verdict = {}
    state.verdicts[ctx.id] = verdict
    if ctx.high_sequence then return nil end
    local n = h.sequence:tonumber()
    local key = ctx.key_name .. (ctx.grouped and "" or ctx.destination)
    local seen = state.sequences[key] or { newest = n, tags = {} }
    state.sequences[key] = seen
    if seen.tags[n] and seen.tags[n] ~= tag then verdict.reuse = true end
    seen.tags[n] = seen.tags[n] or tag
    if n > seen.newest then
        prune(seen.tags, seen.newest, n)
        seen.newest = n
    end
    -- A packet captured on two interfaces is no repetition.
    local interface = INTERFACE()
    local name = string.format("%s %s %s", ctx.key_name, ctx.destination, interface and tostring(interface.value) or "")
    local window = state.windows[name] or { newest = n, accepted = {} }
    state.windows[name] = window
    if window.accepted[n] then
        verdict.window = string.format("sequence %d was in frame %d", n, window.accepted[n])
    elseif n < window.newest - (WINDOW - 1) then
        verdict.window = string.format("sequence %d, the window begins at %d", n, window.newest - (WINDOW - 1))
    end
    verdict.commit = function()
        verdict.commit = nil
        window.accepted[n] = window.accepted[n] or ctx.pinfo.number
        if n > window.newest then
            prune(window.accepted, window.newest, n)
            window.newest = n
        end
    end
    return verdict.window, verdict.reuse
end

-- Gives the plaintext as a Tvb (nil if empty), or nothing with a reason.
local function open_seal(ctx, tvb, h)
    local cached = state.opened[ctx.id]
    if cached == nil then
        local candidates = find_keys(ctx.key_name, not ctx.pinfo.visited)
        if not candidates then return nil, "no_key" end
        if not crypto.is_native() and tvb:len() > duohuo.prefs.lua_limit * 1024 then return nil, "not_opened" end
        local header, n = tvb:raw(0, HEADER_BYTES), tvb:len()
        local count = n - HEADER_BYTES - TAG_BYTES - CRC_BYTES
        local sealed = count > 0 and tvb:raw(HEADER_BYTES, count) or ""
        local tag = tvb:raw(HEADER_BYTES + count, TAG_BYTES)
        cached = false
        for _, entry in ipairs(candidates) do
            local plain = crypto.open(entry.key, nonce_of(entry.iv, header:sub(25, 32)), header, sealed, tag)
            if plain then
                cached = { plain = plain, cluster = entry.cluster }
                break
            end
        end
        state.opened[ctx.id] = cached
    end
    if not cached then return nil, "forged" end
    return cached
end

-- W-GRP-4: two generations are kept.
local function check_generation(ctx, h, cluster, items)
    local kept = state.generations[cluster] or { h.group, h.group }
    state.generations[cluster] = kept
    local verdict = state.verdicts[ctx.id]
    if verdict.old == nil then
        verdict.old = h.group < kept[2]
        if h.group > kept[1] then
            kept[1], kept[2] = h.group, kept[1]
        elseif h.group < kept[1] and h.group > kept[2] then
            kept[2] = h.group
        end
    end
    if verdict.old then items.group:add_proto_expert_info(EXPERT["note.old_generation"]) end
end

local function dissect_body(ctx, packet, tvb, at, stop, tree)
    local r = { tvb = tvb, base = tvb:range():offset(), at = at, stop = stop }
    local out, complete = {}, false
    local item = stop > at and tree:add(packet.field, tvb(at, stop - at)) or tree:add(packet.field)
    local ran, broken = pcall(function()
        for _, def in ipairs(packet.fields) do
            out[def.name] = READ[def.kind](r, item, def)
        end
        read_extensions(r, item, packet, out)
        complete = true
    end)
    if not ran then
        if type(broken) ~= "table" then error(broken, 0) end
        local text = broken.path .. (broken.label == "truncated" and " is cut" or "")
        discard(ctx, broken.label, broken.rule or BODY_RULES[broken.label], broken.item or item, text, broken.path)
        if left(r) > 0 then item:add(G.unread, tvb(r.at, left(r))) end
    end
    return complete and out
end

local function learn(ctx, packet, out)
    if packet.key == "handshake_init" then
        state.owners[out.initiator_session:tohex()] = ctx.sender
    elseif packet.key == "handshake_response" then
        state.owners[out.responder_session:tohex()] = ctx.sender
    end
end

local function session_key_name(h)
    return "session " .. h.session:tohex()
end

local function group_key_name(h)
    return string.format("group %d %d %s", h.group, h.sender, h.session:tohex())
end

-- A group field of 0 says that it is a session packet. Before the first master's key is handed out, members use the
-- enrolment secret as generation 0 all the same (B-GRP-1): then the type tells, or the key log.
local function is_grouped(packet, h)
    if h.group ~= 0 then return true end
    if not packet or not packet.travels:find("g", 1, true) then return false end
    return packet.travels == "g" or (not find_keys(session_key_name(h)) and find_keys(group_key_name(h)) ~= nil)
end

local function travels(packet, ctx, h)
    local way = h.type < FIRST_SEALED_TYPE and "h" or (ctx.grouped and "g") or (ctx.stream and "s") or "d"
    if ctx.grouped and (ctx.stream or h.group == 0) then return false end
    return packet.travels:find(way, 1, true) ~= nil
end

local function after_opening(ctx, h, items, packet, tvb, at, stop)
    if not packet then
        discard(ctx, "unknown_type", "W-RCV-5", items.type)
        return
    end
    local out = dissect_body(ctx, packet, tvb, at, stop, ctx.root)
    if not out then return end
    if not ctx.quoted then
        learn(ctx, packet, out)
        link(ctx, packet, out, ctx.root)
    end
    ctx.text = INFO[packet.key](out)
end

local function dissect_sealed(ctx, tvb, h, items, packet)
    local count = tvb:len() - HEADER_BYTES - TAG_BYTES - CRC_BYTES
    local body = ctx.root
    if count > 0 then body = ctx.root:add(G.body, tvb(HEADER_BYTES, count)) end
    local tag_range = tvb(HEADER_BYTES + count, TAG_BYTES)
    local tag_item = ctx.root:add(G.tag, tag_range)
    local group_allows = not ctx.grouped or (packet and packet.travels:find("g", 1, true))
    if ctx.high_sequence then
        discard(ctx, "replayed", "W-WIN-2", items.sequence, "a sequence is below 2^63")
        return
    end
    local refused, reuse
    if ctx.quoted then
        state.verdicts[ctx.id] = state.verdicts[ctx.id] or {}
    else
        refused, reuse = window_verdict(ctx, h, tag_range:raw())
    end
    if refused then
        discard(ctx, "replayed", "W-WIN-2", items.sequence, refused)
    elseif reuse then
        items.sequence:add_proto_expert_info(EXPERT["note.nonce_reuse"])
    end
    local opened, why = open_seal(ctx, tvb, h)
    local verdict = state.verdicts[ctx.id]
    if keys and keys.problem then tag_item:add_proto_expert_info(EXPERT["note.key_log"], keys.problem) end
    if not opened then
        ctx.text = "sealed"
        if why == "forged" then
            discard(ctx, "forged", "W-RCV-3", tag_item,
                "the tag does not hold under the key in the key log: forged, or the key log has a wrong key")
            return
        end
        if keys.path ~= "" then
            tag_item:add_proto_expert_info(EXPERT["note." .. why], why == "no_key" and "no `" .. ctx.key_name .. "` in the key log" or nil)
        end
        -- Without the key the tag is taken to hold.
        if not packet then discard(ctx, "unknown_type", "W-RCV-5", items.type) end
        if packet and not group_allows then
            discard(ctx, "bad_value", "W-RCV-4", items.type, packet.name .. " does not travel under the group seal", "header.type")
        end
        if not ctx.discard and verdict.commit then verdict.commit() end
        return
    end
    ctx.root:add(G.decrypted, true):set_generated()
    local stop = #opened.plain
    local plain = stop > 0 and ByteArray.new(opened.plain, true):tvb("Opened body") or nil
    if ctx.grouped then
        ctx.root:add(G.key_cluster, opened.cluster):set_generated()
        check_generation(ctx, h, opened.cluster, items)
        if stop < SIGNATURE_BYTES then
            discard(ctx, "truncated", "W-RCV-4", body, "no room for the signature", "signature")
            return
        end
        stop = stop - SIGNATURE_BYTES
        ctx.root:add(G.signature, plain(stop, SIGNATURE_BYTES)):append_text(" (not checked here)")
        if not group_allows then
            discard(ctx, packet and "bad_value" or "unknown_type", packet and "W-RCV-4" or "W-RCV-5", items.type,
                "only NodeKeepalive, Probe and ProbeAnswer travel under the group seal", "header.type")
            return
        end
    end
    -- An empty body still lacks its fields: the header's end stands for it.
    if plain then
        after_opening(ctx, h, items, packet, plain, 0, stop)
    else
        after_opening(ctx, h, items, packet, tvb, HEADER_BYTES, HEADER_BYTES)
    end
    if not ctx.discard and verdict.commit then verdict.commit() end
end

-- "Update n12 -> authority"
local function title(ctx, h)
    if not h.type then return "Not a packet" end
    local name = type_names[h.type] or string.format("Type 0x%02X", h.type)
    if not h.sender then return name end
    local to = ctx.grouped and "group" or party(ctx.receiver)
    return string.format("%s %s -> %s", name, party(h.sender), to)
end

local function dissect_packet(tvb, pinfo, tree, stream, index)
    -- What an ICMP error quotes is no packet on its way.
    local ctx = { pinfo = pinfo, stream = stream, quoted = pinfo.in_error_pkt, reported = stream and tvb:len() or tvb:reported_len() }
    local source = tostring(pinfo.src) .. ":" .. tostring(pinfo.src_port)
    ctx.destination = tostring(pinfo.dst) .. ":" .. tostring(pinfo.dst_port)
    ctx.root = tree:add(duohuo, tvb())
    local h, items = show_header(ctx, tvb, ctx.root)
    local taken = check_header(ctx, tvb, ctx.root, h, items)
    if taken then
        ctx.sender = h.sender
        if not state.at_address[source] and not ctx.quoted then state.at_address[source] = h.sender end
        ctx.receiver = state.owners[h.session:tohex()]
        if ctx.receiver == nil then ctx.receiver = state.at_address[ctx.destination] end
        ctx.grouped = is_grouped(schema.BY_CODE[h.type], h)
        if ctx.receiver ~= nil and not ctx.grouped then ctx.root:add(G.receiver, ctx.receiver):set_generated() end
    end
    if taken and not ctx.cut then
        local packet = schema.BY_CODE[h.type]
        local n = tvb:len()
        ctx.id = pinfo.number .. " " .. tvb:raw(0, HEADER_BYTES) .. tvb:raw(n - CRC_BYTES, CRC_BYTES)
        if packet and not travels(packet, ctx, h) then
            items.type:add_proto_expert_info(EXPERT["note.wrong_transport"], ctx.grouped and h.group == 0
                and "Under the group seal, but generation 0 is none" or packet.name .. " does not travel so")
        end
        if h.sealed then
            ctx.high_sequence = tvb(24, 1):uint() >= 0x80
            ctx.key_name = ctx.grouped and group_key_name(h) or session_key_name(h)
            dissect_sealed(ctx, tvb, h, items, packet)
        else
            after_opening(ctx, h, items, packet, tvb, HEADER_BYTES, n - CRC_BYTES)
        end
    end
    local text = title(ctx, h)
    ctx.root:set_text("Duohuo " .. text .. (ctx.discard and ", discard: " .. ctx.discard or ""))
    local info = text .. (ctx.text and ctx.text ~= "" and "  " .. ctx.text or "")
        .. (ctx.discard and "  [" .. ctx.discard .. "]" or "")
    if ctx.quoted then return end
    pinfo.cols.protocol = "Duohuo"
    if stream then
        -- A segment may hold several: each stays when the next is set.
        pinfo.cols.info:set((index > 1 and " | " or "") .. info)
        pinfo.cols.info:fence()
    else
        pinfo.cols.info:set(info)
    end
end

-- ---------------------------------------------------------------------------------------------------------------------
-- Streams and datagrams
-- ---------------------------------------------------------------------------------------------------------------------

local STREAM_START = 12

-- Bytes of the packet at `offset`. What is no packet goes up to the next thing that looks like one.
local function frame_length(tvb, _, offset)
    local rest = tvb:len() - offset
    local length = tvb(offset + 8, 4):uint()
    if tvb(offset, 4):uint() == MAGIC and tvb(offset + 4, 1):uint() == 1 and length >= MIN_BYTES and length <= MAX_FRAME then
        return length
    end
    local next_one = tvb:raw(offset, rest):find("DUOH\1", 2, true)
    return next_one and next_one - 1 or rest
end

function duohuo.dissector(tvb, pinfo, tree)
    if tvb:len() == 0 then return 0 end
    if pinfo.port_type == TCP then
        local index = 0
        dissect_tcp_pdus(tvb, tree, STREAM_START, frame_length, function(pdu, pdu_info, pdu_tree)
            index = index + 1
            dissect_packet(pdu, pdu_info, pdu_tree, true, index)
            return pdu:len()
        end)
    else
        dissect_packet(tvb, pinfo, tree, false, 1)
    end
    return tvb:len()
end

local function recognise(tvb, pinfo, tree)
    if tvb:len() < 5 or tvb(0, 4):uint() ~= MAGIC then return false end
    pinfo.conversation = duohuo
    duohuo.dissector(tvb, pinfo, tree)
    return true
end

duohuo:register_heuristic("udp", recognise)
duohuo:register_heuristic("tcp", recognise)

local udp_ports, tcp_ports, ports_in_use = DissectorTable.get("udp.port"), DissectorTable.get("tcp.port"), ""

function duohuo.prefs_changed()
    if ports_in_use ~= duohuo.prefs.ports then
        if ports_in_use ~= "" then
            udp_ports:remove(ports_in_use, duohuo)
            tcp_ports:remove(ports_in_use, duohuo)
        end
        ports_in_use = duohuo.prefs.ports
        if ports_in_use ~= "" then
            udp_ports:add(ports_in_use, duohuo)
            tcp_ports:add(ports_in_use, duohuo)
        end
    end
    keys = nil
    state.opened = {}
end

function duohuo.init()
    forget()
    keys = nil
end

-- Offered under "Decode As", too.
udp_ports:add(0, duohuo)
tcp_ports:add(0, duohuo)
