-- The info column: a line for each packet type. Loaded by duohuo.lua; by itself it registers nothing.

return function(schema, party)

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

local function versions_text(o) return o.versions and ", " .. o.versions or "" end
local function part_text(o) return o.part and ", " .. o.part or "" end

local function lease_text(o) return o.lease and ", " .. o.lease or "" end
local function rehearsal_text(o) return o.rehearsal and ", rehearsal" or "" end

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
    handshake_init = function(o) return "session " .. tostring(o.initiator_session:tohex()) .. versions_text(o) end,
    handshake_response = function(o) return string.format("sessions %s, %s", o.initiator_session:tohex(), o.responder_session:tohex()) .. versions_text(o) end,
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
        return string.format("c%d e%s v%s %s alive %s%s", o.cluster, o.epoch, o.version, o.reason, numbers(o.alive), rehearsal_text(o))
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
    probe = function(o) return string.format("nonce %s e%s", o.nonce:tohex(), o.epoch) .. versions_text(o) end,
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
    resync = function(o)
        return string.format("e%s h%s from %s, %s%s", o.epoch, o.height, o.start, records_text(o.records), part_text(o) .. rehearsal_text(o))
    end,
    append = function(o)
        return string.format("e%s from %s released %s, %s%s", o.epoch, o.start, o.released, records_text(o.records), lease_text(o))
    end,
    ack = function(o)
        return string.format("e%s end %s h%s synced e%s%s%s", o.epoch, o["end"], o.height, o.synced, lease_text(o), part_text(o) .. rehearsal_text(o))
    end,
    block_push = function(o) return string.format("h%s", o.height) end,
    chain_query = function(o) return string.format("from h%s at most %d bytes", o.from, o.max_bytes) end,
    chain_end = function(o) return string.format("h%s", o.height) end,
    snapshot_query = function(o)
        return string.format("h%s %s", o.height, o.chunk == 0xFFFFFFFF and "what is it made of" or "chunk " .. o.chunk)
    end,
    snapshot_offer = function(o) return tostring(o.height) == "0" and "none" or string.format("h%s", o.height) end,
    snapshot_chunk = function(o) return string.format("h%s chunk %d", o.height, o.chunk) end,
    range_query = function(o) return string.format("h%s to h%s at most %d bytes", o.from, o.to, o.max_bytes) end,
    consensus = function(o) return string.format("c%d e%s %s", o.cluster, o.epoch, content_text(o.message)) end,
    submit = function(o)
        local t = o.transaction and not o.transaction.broken and o.transaction.fields
        return t and string.format("%d -> %d: %s, until h%s", t.from, t.to, t.amount, t.valid_until) or "(no transfer)"
    end,
    submit_answer = function(o)
        return string.format("%s h%s%s", o.verdict, o.height, o.master and " ask " .. o.master or "")
    end,
    status_query = function(o) return o.rehearsal and "with a rehearsal" or "" end,
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
    state_query = function() return "" end,
    state_answer = function(o) return string.format("h%s%s", o.height, o.known and "" or " not understood") end,
    block_query = function(o) return string.format("h%s", o.height) end,
    block_answer = function(o) return string.format("h%s", o.height) end,
    subscribe = function(o) return string.format("from h%s, %d blocks", o.from, o.count) end,
    unsupported = function(o)
        return string.format("type 0x%02X%s", o.packet_type,
            o.critical_tlv ~= 0 and string.format(" extension 0x%04X", o.critical_tlv) or "")
    end,
    order = function(o)
        return string.format("%s c%d %s number %s by %s", o.order.kind, o.order.cluster, party(o.order.node), o.order.number, o.order.who)
    end,
    order_answer = function(o) return string.format("%s number %s", o.outcome, o.number) end,
    journal_query = function(o) return string.format("from %s", o.from) end,
    journal = function(o) return string.format("%d entries, head %s", #o.entries, o.head) end,
    fence = function(o) return row_text(o.row) end,
    fence_answer = function(o) return string.format("c%d e%s works on h%s", o.cluster, o.epoch, o.height) end,
    fenced = function(o) return string.format("c%d e%s v%s closed up to h%s", o.cluster, o.epoch, o.version, o.height) end,
}

return INFO

end
