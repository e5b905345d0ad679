-- The key log: one line per directional key, see README.md. Loaded by duohuo.lua; by itself it registers nothing.

return function(duohuo)

local bit = bit or require("bit")

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

return {
    find = find_keys,
    nonce_of = nonce_of,
    forget = function() keys = nil end,
    --- Whether a key log is asked for, and what is wrong with it.
    path = function() return keys and keys.path or "" end,
    problem = function() return keys and keys.problem end,
}

end
