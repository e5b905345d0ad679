-- AES-256-GCM (NIST SP 800-38D, 96-bit IV, 16-byte tag) and CRC-32 for Wireshark's Lua. Loaded by duohuo.lua; by itself
-- it registers nothing.
--
-- Written with the `bit` library, which every Wireshark has (Lua 5.2 up to 4.2, Lua 5.4 with lua_bitop from 4.4 on), and
-- without the operators of Lua 5.3. Wireshark's own cipher (GcryptCipher) is used where it exists and passes a known answer.

local bit = bit or require("bit")
local band, bor, bxor, lshift, rshift = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift
local byte, char, sub = string.byte, string.char, string.sub

local M = {}

-- ---------------------------------------------------------------------------------------------------------------------
-- CRC-32 (IEEE, as zlib)
-- ---------------------------------------------------------------------------------------------------------------------

local CRC = {}
for n = 0, 255 do
    local c = n
    for _ = 1, 8 do
        c = band(c, 1) ~= 0 and bxor(rshift(c, 1), 0xEDB88320) or rshift(c, 1)
    end
    CRC[n] = c
end

--- The CRC-32 of a string, 0 .. 2^32 - 1.
function M.crc32(text)
    local c = 0xFFFFFFFF
    for at = 1, #text, 64 do
        local block = { byte(text, at, at + 63) }
        for i = 1, #block do
            c = bxor(CRC[band(bxor(c, block[i]), 0xFF)], rshift(c, 8))
        end
    end
    -- The library's numbers are signed.
    return bxor(c, 0xFFFFFFFF) % 4294967296
end

-- ---------------------------------------------------------------------------------------------------------------------
-- AES-256, encryption only: GCM needs no other direction
-- ---------------------------------------------------------------------------------------------------------------------

local SBOX, T0, T1, T2, T3 = {}, {}, {}, {}, {}

local function xtime(a)
    a = lshift(a, 1)
    return a >= 256 and band(bxor(a, 0x11B), 0xFF) or a
end

do
    -- Powers of the generator 3 and their logarithms give the inverses.
    local power, log, x = {}, {}, 1
    for i = 0, 254 do
        power[i], log[x] = x, i
        x = bxor(x, xtime(x))
    end
    for a = 0, 255 do
        local inverse = a == 0 and 0 or power[(255 - log[a]) % 255]
        local s = inverse
        for shift = 1, 4 do
            s = bxor(s, bor(band(lshift(inverse, shift), 0xFF), rshift(inverse, 8 - shift)))
        end
        s = bxor(s, 0x63)
        SBOX[a] = s
        local s2 = xtime(s)
        local s3 = bxor(s2, s)
        T0[a] = bor(lshift(s2, 24), lshift(s, 16), lshift(s, 8), s3)
        T1[a] = bor(lshift(s3, 24), lshift(s2, 16), lshift(s, 8), s)
        T2[a] = bor(lshift(s, 24), lshift(s3, 16), lshift(s2, 8), s)
        T3[a] = bor(lshift(s, 24), lshift(s, 16), lshift(s3, 8), s2)
    end
end

local function word_at(text, at)
    local a, b, c, d = byte(text, at, at + 3)
    return bor(lshift(a or 0, 24), lshift(b or 0, 16), lshift(c or 0, 8), d or 0)
end

local function sub_word(w)
    return bor(lshift(SBOX[rshift(w, 24)], 24), lshift(SBOX[band(rshift(w, 16), 0xFF)], 16),
        lshift(SBOX[band(rshift(w, 8), 0xFF)], 8), SBOX[band(w, 0xFF)])
end

-- 15 round keys of 4 words, from 0.
local function expand(key)
    local w, round_constant = {}, 1
    for i = 0, 7 do
        w[i] = word_at(key, 4 * i + 1)
    end
    for i = 8, 59 do
        local t = w[i - 1]
        if i % 8 == 0 then
            t = bxor(sub_word(bor(lshift(t, 8), rshift(t, 24))), lshift(round_constant, 24))
            round_constant = xtime(round_constant)
        elseif i % 8 == 4 then
            t = sub_word(t)
        end
        w[i] = bxor(w[i - 8], t)
    end
    return w
end

local function encrypt_block(w, a, b, c, d)
    a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
    for k = 4, 52, 4 do
        local e = bxor(T0[rshift(a, 24)], T1[band(rshift(b, 16), 0xFF)], T2[band(rshift(c, 8), 0xFF)], T3[band(d, 0xFF)], w[k])
        local f = bxor(T0[rshift(b, 24)], T1[band(rshift(c, 16), 0xFF)], T2[band(rshift(d, 8), 0xFF)], T3[band(a, 0xFF)], w[k + 1])
        local g = bxor(T0[rshift(c, 24)], T1[band(rshift(d, 16), 0xFF)], T2[band(rshift(a, 8), 0xFF)], T3[band(b, 0xFF)], w[k + 2])
        local h = bxor(T0[rshift(d, 24)], T1[band(rshift(a, 16), 0xFF)], T2[band(rshift(b, 8), 0xFF)], T3[band(c, 0xFF)], w[k + 3])
        a, b, c, d = e, f, g, h
    end
    local function last(p, q, r, s, k)
        return bxor(bor(lshift(SBOX[rshift(p, 24)], 24), lshift(SBOX[band(rshift(q, 16), 0xFF)], 16),
            lshift(SBOX[band(rshift(r, 8), 0xFF)], 8), SBOX[band(s, 0xFF)]), w[k])
    end
    return last(a, b, c, d, 56), last(b, c, d, a, 57), last(c, d, a, b, 58), last(d, a, b, c, 59)
end

-- ---------------------------------------------------------------------------------------------------------------------
-- GHASH, four bits at a time
-- ---------------------------------------------------------------------------------------------------------------------

local REDUCE = {}
for i, value in ipairs({ 0x0000, 0x1C20, 0x3840, 0x2460, 0x7080, 0x6CA0, 0x48C0, 0x54E0, 0xE100, 0xFD20, 0xD940, 0xC560,
    0x9180, 0x8DA0, 0xA9C0, 0xB5E0 }) do
    REDUCE[i - 1] = lshift(value, 16)
end

-- The 16 multiples of the hash key.
local function multiples(a, b, c, d)
    local m = { [0] = { 0, 0, 0, 0 }, [8] = { a, b, c, d } }
    local i = 4
    while i > 0 do
        local carry = band(d, 1) ~= 0 and 0xE1000000 or 0
        d = bor(rshift(d, 1), lshift(c, 31))
        c = bor(rshift(c, 1), lshift(b, 31))
        b = bor(rshift(b, 1), lshift(a, 31))
        a = bxor(rshift(a, 1), carry)
        m[i] = { a, b, c, d }
        i = rshift(i, 1)
    end
    for _, high in ipairs({ 2, 4, 8 }) do
        for low = 1, high - 1 do
            local x, y = m[high], m[low]
            m[high + low] = { bxor(x[1], y[1]), bxor(x[2], y[2]), bxor(x[3], y[3]), bxor(x[4], y[4]) }
        end
    end
    return m
end

local function multiply(m, a, b, c, d)
    local x = { d, c, b, a }
    local za, zb, zc, zd = 0, 0, 0, 0
    for i = 1, 4 do
        local w = x[i]
        for shift = 0, 28, 4 do
            if i > 1 or shift > 0 then
                local carry = REDUCE[band(zd, 15)]
                zd = bor(rshift(zd, 4), lshift(zc, 28))
                zc = bor(rshift(zc, 4), lshift(zb, 28))
                zb = bor(rshift(zb, 4), lshift(za, 28))
                za = bxor(rshift(za, 4), carry)
            end
            local h = m[band(rshift(w, shift), 15)]
            za, zb, zc, zd = bxor(za, h[1]), bxor(zb, h[2]), bxor(zc, h[3]), bxor(zd, h[4])
        end
    end
    return za, zb, zc, zd
end

local function absorb(m, text, a, b, c, d)
    for at = 1, #text, 16 do
        a, b, c, d = multiply(m, bxor(a, word_at(text, at)), bxor(b, word_at(text, at + 4)),
            bxor(c, word_at(text, at + 8)), bxor(d, word_at(text, at + 12)))
    end
    return a, b, c, d
end

-- ---------------------------------------------------------------------------------------------------------------------
-- GCM
-- ---------------------------------------------------------------------------------------------------------------------

local function word_bytes(w)
    return char(rshift(w, 24), band(rshift(w, 16), 0xFF), band(rshift(w, 8), 0xFF), band(w, 0xFF))
end

local schedules = {}

local function schedule_of(key)
    local s = schedules[key]
    if not s then
        local w = expand(key)
        s = { w = w, m = multiples(encrypt_block(w, 0, 0, 0, 0)) }
        schedules[key] = s
    end
    return s
end

--- Opens in Lua: the plaintext, or nil if the tag does not hold. All arguments are strings; the nonce has 12 bytes.
function M.open_in_lua(key, nonce, additional, sealed, tag)
    local s = schedule_of(key)
    local a, b, c, d = absorb(s.m, additional, 0, 0, 0, 0)
    a, b, c, d = absorb(s.m, sealed, a, b, c, d)
    a, b, c, d = multiply(s.m, a, bxor(b, #additional * 8), c, bxor(d, #sealed * 8))
    local na, nb, nc = word_at(nonce, 1), word_at(nonce, 5), word_at(nonce, 9)
    local ka, kb, kc, kd = encrypt_block(s.w, na, nb, nc, 1)
    if word_bytes(bxor(a, ka)) .. word_bytes(bxor(b, kb)) .. word_bytes(bxor(c, kc)) .. word_bytes(bxor(d, kd)) ~= tag then
        return nil
    end
    local out, counter = {}, 1
    for at = 1, #sealed, 16 do
        counter = counter + 1
        ka, kb, kc, kd = encrypt_block(s.w, na, nb, nc, counter)
        out[#out + 1] = word_bytes(bxor(ka, word_at(sealed, at)))
        out[#out + 1] = word_bytes(bxor(kb, word_at(sealed, at + 4)))
        out[#out + 1] = word_bytes(bxor(kc, word_at(sealed, at + 8)))
        out[#out + 1] = word_bytes(bxor(kd, word_at(sealed, at + 12)))
    end
    return sub(table.concat(out), 1, #sealed)
end

--- Opens with Wireshark's cipher; the same contract.
function M.open_natively(key, nonce, additional, sealed, tag)
    local cipher = GcryptCipher.open(GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0)
    cipher:setkey(ByteArray.new(key, true))
    cipher:setiv(ByteArray.new(nonce, true))
    cipher:authenticate(ByteArray.new(additional, true))
    local plain = #sealed > 0 and cipher:decrypt(nil, ByteArray.new(sealed, true)):raw() or ""
    if cipher:checktag(ByteArray.new(tag, true)) ~= 0 then
        return nil
    end
    return plain
end

-- Number 14 of the GCM specification's test cases (McGrew and Viega), and a packet with additional data and lengths that
-- fill no block, from another implementation.
local function known_answer(open)
    local zeros = string.rep("\0", 16)
    local sealed = "\206\167\064\061\077\096\107\110\007\078\197\211\186\243\157\024"
    local tag = "\208\209\200\167\153\153\107\240\038\091\152\181\212\138\185\025"
    if open(string.rep("\0", 32), string.rep("\0", 12), "", sealed, tag) ~= zeros
        or open(string.rep("\0", 32), string.rep("\0", 12), "", sealed, zeros) ~= nil then
        return false
    end
    local counting = {}
    for i = 0, 31 do counting[i + 1] = char(i) end
    local key = table.concat(counting)
    sealed = "\051\117\179\117\177\156\226\121\244\053\242\248\145\134\030\077\247\179\255\064"
    tag = "\037\096\130\218\231\210\018\047\212\123\104\065\254\071\158\163"
    return open(key, sub(key, 1, 12), "a header of 21 bytes.", sealed, tag) == "twenty bytes of text"
end

--- Whether the cipher written here gives the known answer.
function M.self_test()
    return known_answer(M.open_in_lua)
end

local native

--- Whether Wireshark's own cipher is there and gives the known answer.
function M.is_native()
    if native == nil then
        native = false
        if GcryptCipher and GCRY_CIPHER_AES256 and GCRY_CIPHER_MODE_GCM then
            local ran, right = pcall(known_answer, M.open_natively)
            native = ran and right
        end
    end
    return native
end

--- Opens with the faster of the two.
function M.open(...)
    if M.is_native() then
        return M.open_natively(...)
    end
    return M.open_in_lua(...)
end

return M
