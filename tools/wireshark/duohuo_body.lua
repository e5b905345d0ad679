-- Reads the fields of an opened body and shows them: packets, extensions, and what bytes fields hold. Loaded by duohuo.lua; by
-- itself it registers nothing. `party` names a number; `add_client` is told which numbers are clients.

return function(schema, fields, party, add_client)

local G, ANY, EXPERT, WIDTH, least_bytes = fields.own, fields.any, fields.expert, fields.width, fields.least_bytes
local enum_names = schema.ENUMS
-- Lists longer than this are read and checked to their end, but not all shown.
local SHOWN_ITEMS = 1000

-- ---------------------------------------------------------------------------------------------------------------------
-- Reading fields. A broken rule is raised as { label, path, item }; anything else that is raised is our own error.
-- ---------------------------------------------------------------------------------------------------------------------

local function refuse(label, path, item, rule)
    error({ label = label, path = path, item = item, rule = rule }, 0)
end

-- A rule that a roster is asked for only when all of it is read; anything else is refused where it stands.
local function refuse_rule(r, label, path, item)
    if r.later then
        table.insert(r.later, { label = label, path = path, item = item })
    else
        refuse(label, path, item)
    end
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
    if def.check and not def.check(value) then refuse_rule(r, "bad_value", def.path, item) end
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
        if def.check then refuse_rule(r, "bad_value", def.path, item) end
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
    if not is_v4 and family:uint() ~= 6 then refuse("bad_value", def.path, tree:add(def.family, family)) end
    local host = take(r, is_v4 and 4 or 16, def.path)
    local port = take(r, 2, def.path)
    local text = is_v4 and string.format("%s:%d", tostring(host:ipv4()), port:uint())
        or string.format("[%s]:%d", tostring(host:ipv6()), port:uint())
    local item = tree:add(def.field, r.tvb(start, r.at - start), text)
    item:add(def.family, family)
    item:add(is_v4 and def.ipv4 or def.ipv6, host)
    item:add(def.port, port)
    if def.ipv4_only and not is_v4 then refuse_rule(r, "bad_value", def.path, item) end
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
        if n > (def.most or n) or n < (def.least or 0) then refuse_rule(r, "bad_value", def.path, item) end
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
        if disorder then refuse_rule(r, "not_canonical", def.path, disorder) end
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
        add_client(client.id)
    end
end

-- What a bytes field holds. The packet is taken whatever stands here, so a broken rule is no discard of the packet.
function read_content(outer, tree, content, at, count)
    local r = { tvb = outer.tvb, base = outer.base, at = at, stop = at + count }
    r.later = content.prefix == "roster" and {} or nil
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
        if r.later and r.later[1] then error(r.later[1], 0) end
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

-- The lease of a packet: what it shows, or nil where a value of this shape is as if the extension were absent.
local LEASE = {
    append = function(value, tree)
        if value:len() ~= 12 then return nil end
        local nonce, span = value(0, 8), value(8, 4)
        local item = tree:add(G.append_lease, value)
        item:add(G.append_lease_nonce, nonce)
        item:add(G.append_lease_span, span)
        item:append_text(string.format(": %d us", span:uint()))
        return span:uint() == 0 and "lease given back" or string.format("lease %d us?", span:uint())
    end,
    ack = function(value, tree)
        if value:len() ~= 17 or value(8, 1):uint() > 1 then return nil end
        local nonce, in_step, position = value(0, 8), value(8, 1), value(9, 8)
        local item = tree:add(G.ack_lease, value)
        item:add(G.ack_lease_nonce, nonce)
        item:add(G.ack_lease_in_step, in_step)
        item:add(G.ack_lease_position, position)
        local text = string.format("%s at %s", in_step:uint() == 1 and "in step" or "not in step", position:uint64())
        item:append_text(": " .. text)
        return "lease, " .. text
    end,
}

-- A log in parts: what it shows, or nil where a value has no meaning (7.23, 7.25).
local PARTS = {
    resync = { [0x8001] = function(value, tree)
        if value:len() ~= 9 or value(8, 1):uint() > 1 then return nil end
        local first, is_followed = value(0, 8), value(8, 1)
        local item = tree:add(G.resync_part, value)
        item:add(G.resync_part_first, first)
        item:add(G.resync_part_is_followed, is_followed)
        local text = string.format("%spart of a log from %s", is_followed:uint() == 1 and "" or "last ", first:uint64())
        item:append_text(": " .. text)
        return text
    end },
    ack = { [0x0002] = function(value, tree)
        if value:len() ~= 16 then return nil end
        local first, following = value(0, 8), value(8, 8)
        local item = tree:add(G.ack_parts, value)
        item:add(G.ack_parts_first, first)
        item:add(G.ack_parts_next, following)
        local text = string.format("parts from %s up to %s are here", first:uint64(), following:uint64())
        item:append_text(": " .. text)
        return text
    end },
}

-- What StatusAnswer tells whoever operates the sender, by the extension's type; false where a value of this length is as
-- if the extension were absent.
local OPERATIONS = {
    [0x0001] = function(r, start, count, tree)
        if count ~= 8 then return false end
        local last, worst = r.tvb(start, 4), r.tvb(start + 4, 4)
        local item = tree:add(G.status_answer_disk, r.tvb(start, count))
        item:add(G.status_answer_disk_last, last)
        item:add(G.status_answer_disk_worst, worst)
        item:append_text(string.format(": %d us, worst %d us", last:uint(), worst:uint()))
        return true
    end,
    [0x0002] = function(r, start, count, tree)
        if count % 4 ~= 0 then return false end
        if count == 0 then
            tree:append_text(", no pauses")
            return true
        end
        local item = tree:add(G.status_answer_pauses, r.tvb(start, count))
        for at = start, start + count - 4, 4 do item:add(G.status_answer_pauses_cluster, r.tvb(at, 4)) end
        return true
    end,
    [0x0003] = function(r, start, count, tree)
        if count < 2 or (count - 2) % 5 ~= 0 then return false end
        local lowest, highest = r.tvb(start, 1), r.tvb(start + 1, 1)
        if lowest:uint() == 0 or lowest:uint() > highest:uint() then return false end
        local item = tree:add(G.status_answer_versions, r.tvb(start, count))
        item:add(G.status_answer_versions_lowest, lowest)
        item:add(G.status_answer_versions_highest, highest)
        item:append_text(string.format(": %d to %d", lowest:uint(), highest:uint()))
        for at = start + 2, start + count - 5, 5 do
            item:add(G.status_answer_versions_party, r.tvb(at, 4))
            item:add(G.status_answer_versions_version, r.tvb(at + 4, 1))
        end
        return true
    end,
    [0x0004] = function(r, start, count, tree)
        if count < 32 or (count - 32) % 12 ~= 0 or r.tvb(start + 30, 2):uint() ~= (count - 32) / 12 then return false end
        local last = -1
        for at = start + 32, start + count - 12, 12 do
            local node = r.tvb(at, 4):uint()
            if node <= last then return false end
            last = node
        end
        local ended, outcome = r.tvb(start, 1):uint(), r.tvb(start + 1, 1):uint()
        if ended > 8 or (outcome > 13 and outcome ~= 255) then return false end
        local item = tree:add(G.status_answer_rehearsed, r.tvb(start, count))
        item:add(G.status_answer_rehearsed_end, r.tvb(start, 1))
        item:add(G.status_answer_rehearsed_outcome, r.tvb(start + 1, 1))
        for place, field in ipairs(G.status_answer_rehearsed_span) do
            local value = r.tvb(start + 4 * place - 2, 4)
            local span = item:add(field, value)
            if place <= 5 and value:uint() == 0xFFFFFFFF then span:append_text(" (not measured)") end
        end
        for at = start + 32, start + count - 12, 12 do
            item:add(G.status_answer_rehearsed_node, r.tvb(at, 4))
            item:add(G.status_answer_rehearsed_acknowledged, r.tvb(at + 4, 4))
            item:add(G.status_answer_rehearsed_durable, r.tvb(at + 8, 4))
        end
        return true
    end,
}

-- What says that a packet belongs to a rehearsal, by packet: the extension's type and the length of its value; false as above.
local REHEARSAL = { status_query = { 0x0001, 0 }, update = { 0x0001, 8 }, resync = { 0x0001, 8 }, ack = { 0x0003, 12 } }

local function show_rehearsal(r, start, count, tree, packet)
    if count ~= REHEARSAL[packet][2] then return false end
    local item = tree:add(G.rehearsal[packet], r.tvb(start - 4, count + 4))
    if count >= 8 then item:add(G.rehearsal_nonce[packet], r.tvb(start, 8)) end
    if count == 12 then item:add(G.ack_rehearsal_durable, r.tvb(start + 8, 4)) end
    tree:append_text(", rehearsal")
    return true
end

-- How many ranges of versions a packet states; what is no range is as if the extension were absent (section 3.3).
local RANGES = { handshake_init = 1, handshake_response = 1, probe = 2 }

local function show_ranges(r, start, count, tree, packet)
    local ranges = RANGES[packet]
    if count ~= 2 * ranges then return nil end
    local text = {}
    for at = start, start + count - 2, 2 do
        local lowest, highest = r.tvb(at, 1):uint(), r.tvb(at + 1, 1):uint()
        if lowest == 0 or lowest > highest then return nil end
        text[#text + 1] = lowest == highest and tostring(lowest) or lowest .. ".." .. highest
    end
    for at = start, start + count - 2, 2 do
        local item = tree:add(G.versions[packet], r.tvb(at, 2))
        item:add(G.versions_lowest[packet], r.tvb(at, 1))
        item:add(G.versions_highest[packet], r.tvb(at + 1, 1))
    end
    return "versions " .. table.concat(text, ", ")
end

-- Spans in microseconds, 8 bytes each.
local function add_spans(item, fields, r, start)
    for place, field in ipairs(fields) do
        local value = r.tvb(start + 8 * (place - 1), 8)
        local span = item:add(field, value)
        if value:uint64() == UInt64(0xFFFFFFFF, 0xFFFFFFFF) then span:append_text(" (not measured)") end
    end
end

-- How masters came to act, by packet; false as above.
local TAKEOVERS = {
    master_keepalive = function(r, start, count, tree)
        if count ~= 56 then return false end
        add_spans(tree:add(G.master_keepalive_takeover, r.tvb(start, count)), G.master_keepalive_takeover_span, r, start)
        return true
    end,
    journal = function(r, start, count, tree)
        if count % 200 ~= 0 then return false end
        for at = start, start + count - 200, 200 do
            local item = tree:add(G.journal_takeovers, r.tvb(at, 200))
            item:add(G.journal_takeovers_number, r.tvb(at, 8))
            item:add(G.journal_takeovers_before, r.tvb(at + 8, 32))
            item:add(G.journal_takeovers_after, r.tvb(at + 40, 8))
            item:add(G.journal_takeovers_decision, r.tvb(at + 48, 8))
            add_spans(item, G.journal_takeovers_span, r, at + 56)
            item:add(G.journal_takeovers_signature, r.tvb(at + 136, 64))
            item:append_text(string.format(": of decision %s", r.tvb(at + 48, 8):uint64()))
        end
        return true
    end,
}

local function read_extensions(r, tree, packet, out)
    local last, heard, broken_part = nil, nil, nil
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
        elseif LEASE[packet.key] and last == 0x0001 then
            out.lease = count > 0 and LEASE[packet.key](r.tvb(start + 4, count), rest)
            if not out.lease then rest:add_proto_expert_info(EXPERT["note.no_lease"]) end
        elseif PARTS[packet.key] and PARTS[packet.key][last] then
            out.part = count > 0 and PARTS[packet.key][last](r.tvb(start + 4, count), rest)
            if not out.part then
                if last >= 0x8000 then broken_part = rest else rest:add_proto_expert_info(EXPERT["note.no_meaning"]) end
            end
        elseif RANGES[packet.key] and last == 0x0001 then
            out.versions = show_ranges(r, start + 4, count, rest, packet.key)
            if out.versions then rest:append_text(", " .. out.versions) else rest:add_proto_expert_info(EXPERT["note.no_meaning"]) end
        elseif REHEARSAL[packet.key] and last == REHEARSAL[packet.key][1] then
            out.rehearsal = show_rehearsal(r, start + 4, count, rest, packet.key)
            if not out.rehearsal then rest:add_proto_expert_info(EXPERT["note.no_meaning"]) end
        elseif packet.key == "status_answer" and OPERATIONS[last] then
            if not OPERATIONS[last](r, start + 4, count, rest) then
                rest:add_proto_expert_info(EXPERT["note.no_meaning"])
            end
        elseif TAKEOVERS[packet.key] and last == 0x0001 then
            if not TAKEOVERS[packet.key](r, start + 4, count, rest) then
                rest:add_proto_expert_info(EXPERT["note.no_meaning"])
            end
        elseif last >= 0x8000 then
            refuse("unknown_critical_tlv", "extensions", kind_item)
        else
            rest:add_proto_expert_info(EXPERT["note.unknown_extension"])
        end
    end
    if broken_part then refuse("bad_value", "resync.part", broken_part) end
    if heard then out.heard = read_heard(r, heard[1], heard[2], heard[3]) end
end

return { read = READ, left = left, read_extensions = read_extensions, add_any = add_any }

end
