-- Wireshark dissector for the wire protocol of spec/wire.md, versions 1 and 2, and the chain's messages of spec/chain.md.
-- Load with `-X lua_script:duohuo.lua`, or put this file and its neighbours into the plugin folder; see README.md.
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

-- ---------------------------------------------------------------------------------------------------------------------
-- Preferences
-- ---------------------------------------------------------------------------------------------------------------------

duohuo.prefs.ports = Pref.range("Ports", "", "UDP and TCP ports besides those that are recognised by themselves", 65535)
duohuo.prefs.keylog = Pref.string("Key log file", "", "Keys to open sealed packets with; empty = environment DUOHUO_KEYLOG")
duohuo.prefs.lua_limit = Pref.uint("Largest packet opened in Lua (KiB)", 1024,
    "Where this Wireshark has no cipher of its own, a larger packet is not opened: about a second each 500 KiB")

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

local fields = dofile(folder .. "duohuo_fields.lua")(duohuo, schema)
local key_log = dofile(folder .. "duohuo_keys.lua")(duohuo)
local body = dofile(folder .. "duohuo_body.lua")(schema, fields, party, function(id) state.clients[id] = true end)
local INFO = dofile(folder .. "duohuo_info.lua")(schema, party)
local H, G, EXPERT, type_names = fields.header, fields.own, fields.expert, fields.type_names
local add_any, left = body.add_any, body.left

local BODY_RULES = {
    truncated = "W-ENC-2", bad_value = "W-ENC-1", not_canonical = "W-ENC-3", tlv_order = "W-TLV-1", tlv_truncated = "W-TLV-2",
    unknown_critical_tlv = "W-TLV-3", trailing_bytes = "W-RCV-6",
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
    state_query = { "state", "request", asker = true }, block_query = { "block", "request", asker = true },
    probe = { "probe", "nonce" },
}
local ANSWERS = {
    handshake_response = { "handshake", "initiator_session" }, cookie = { "handshake", "initiator_session" },
    join_answer = { "join", "request", asker = true }, registered = { "register", "request", asker = true },
    notice = { "row", "request", asker = true }, submit_answer = { "submit", "request", asker = true },
    status_answer = { "status", "request", asker = true }, state_answer = { "state", "request", asker = true },
    block_answer = { "block", "request", asker = true }, probe_answer = { "probe", "nonce" },
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
    if tvb:len() < math.min(n, HEADER_BYTES) then
        whole:add_proto_expert_info(EXPERT["note.cut_capture"])
        ctx.cut = true
        return false
    end
    if not h.length then return broken("too_short", "W-HDR-1", whole, "less than a header") end
    if h.magic ~= MAGIC then return broken("bad_magic", "W-HDR-2", items.magic) end
    if h.version ~= 1 and h.version ~= 2 then
        return broken("bad_version", "W-HDR-3", items.version, "version " .. h.version .. ", expected 1 or 2")
    end
    local limit = ctx.stream and (h.type < FIRST_SEALED_TYPE and MAX_HANDSHAKE_FRAME or MAX_FRAME) or MAX_DATAGRAM
    if h.length < MIN_BYTES or (h.length ~= n and not (ctx.stream and h.length > limit)) then
        return broken("bad_length", "W-HDR-4", items.length, string.format("%d, but %d bytes came", h.length, n))
    end
    if h.length > limit then
        return broken("too_long", "W-HDR-5", items.length, string.format("%d bytes, at most %d", h.length, limit))
    end
    if h.hdr_len ~= 10 then return broken("bad_header_length", "W-HDR-6", items.hdr_len, "10 in versions 1 and 2") end
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
        if h.version ~= 1 then return broken("bad_version", "W-HDR-12", items.version, "the handshake is version 1") end
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
        local candidates = key_log.find(ctx.key_name, not ctx.pinfo.visited)
        if not candidates then return nil, "no_key" end
        if not crypto.is_native() and tvb:len() > duohuo.prefs.lua_limit * 1024 then return nil, "not_opened" end
        local header, n = tvb:raw(0, HEADER_BYTES), tvb:len()
        local count = n - HEADER_BYTES - TAG_BYTES - CRC_BYTES
        local sealed = count > 0 and tvb:raw(HEADER_BYTES, count) or ""
        local tag = tvb:raw(HEADER_BYTES + count, TAG_BYTES)
        cached = false
        for _, entry in ipairs(candidates) do
            local plain = crypto.open(entry.key, key_log.nonce_of(entry.iv, header:sub(25, 32)), header, sealed, tag)
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
            out[def.name] = body.read[def.kind](r, item, def)
        end
        body.read_extensions(r, item, packet, out)
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
    return packet.travels == "g" or (not key_log.find(session_key_name(h)) and key_log.find(group_key_name(h)) ~= nil)
end

local function travels(packet, ctx, h)
    local way = h.type < FIRST_SEALED_TYPE and "h" or (ctx.grouped and "g") or (ctx.stream and "s") or "d"
    if ctx.grouped and ctx.stream then return false end
    -- W-HSK-8: an initiator's first packet proves its keys; with nothing else to say it is a probe, in streams too.
    local proves = way == "s" and packet.name == "Probe" and h.sequence:tonumber() == 0
    return proves or packet.travels:find(way, 1, true) ~= nil
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
    end
    if reuse then
        items.sequence:add_proto_expert_info(EXPERT["note.nonce_reuse"])
    end
    local opened, why = open_seal(ctx, tvb, h)
    local verdict = state.verdicts[ctx.id]
    if key_log.problem() then tag_item:add_proto_expert_info(EXPERT["note.key_log"], key_log.problem()) end
    if not opened then
        ctx.text = "sealed"
        if why == "forged" then
            discard(ctx, "forged", "W-RCV-3", tag_item,
                "the tag does not hold under the key in the key log: forged, or the key log has a wrong key")
            return
        end
        if key_log.path() ~= "" then
            tag_item:add_proto_expert_info(EXPERT["note." .. why], why == "no_key" and "no `" .. ctx.key_name .. "` in the key log" or nil)
        end
        -- Without the key the tag is taken to hold.
        if not group_allows then
            discard(ctx, "bad_value", "W-RCV-4", items.type, "only NodeKeepalive, Probe and ProbeAnswer travel under the group seal",
                "header.type")
        elseif not packet then
            discard(ctx, "unknown_type", "W-RCV-5", items.type)
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
            discard(ctx, "bad_value", "W-RCV-4", items.type,
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

-- A copy for one member travels under the group seal too.
local function is_multicast(address)
    local first = tonumber((tostring(address):match("^(%d+)%.")))
    return first ~= nil and first >= 224 and first <= 239
end

-- "Update n12 -> authority"
local function title(ctx, h)
    if not h.type then return "Not a packet" end
    local name = type_names[h.type] or string.format("Type 0x%02X", h.type)
    if not h.sender then return name end
    local to = is_multicast(ctx.pinfo.dst) and "group" or party(ctx.receiver)
    return string.format("%s %s -> %s", name, party(h.sender), to)
end

local function dissect_packet(tvb, pinfo, tree, stream, index, reported)
    -- What an ICMP error quotes is no packet on its way.
    local ctx = { pinfo = pinfo, stream = stream, quoted = pinfo.in_error_pkt, reported = reported or tvb:reported_len() }
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
        if ctx.receiver ~= nil then ctx.root:add(G.receiver, ctx.receiver):set_generated() end
    end
    if taken and not ctx.cut then
        local packet = schema.BY_CODE[h.type]
        local n = tvb:len()
        ctx.id = pinfo.number .. " " .. tvb:raw(0, HEADER_BYTES) .. tvb:raw(n - CRC_BYTES, CRC_BYTES)
        if packet and not travels(packet, ctx, h) then
            items.type:add_proto_expert_info(EXPERT["note.wrong_transport"], packet.name .. " does not travel so")
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

-- A segment that was not captured whole cannot be put together with others.
local function dissect_cut_segment(tvb, pinfo, tree)
    local at, index = 0, 0
    while at < tvb:len() do
        local rest = tvb:len() - at
        local length = rest >= STREAM_START and frame_length(tvb, nil, at) or rest + 1
        index = index + 1
        if length > rest then
            dissect_packet(tvb:range(at):tvb(), pinfo, tree, true, index, math.min(length, tvb:reported_len() - at))
            return
        end
        dissect_packet(tvb:range(at, length):tvb(), pinfo, tree, true, index, length)
        at = at + length
    end
end

function duohuo.dissector(tvb, pinfo, tree)
    if tvb:len() == 0 then return 0 end
    if pinfo.port_type == TCP and tvb:len() < tvb:reported_len() then
        dissect_cut_segment(tvb, pinfo, tree)
    elseif pinfo.port_type == TCP then
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
    key_log.forget()
    state.opened = {}
end

function duohuo.init()
    forget()
    key_log.forget()
end

-- Offered under "Decode As", too.
udp_ports:add(0, duohuo)
tcp_ports:add(0, duohuo)
