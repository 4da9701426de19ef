-- Writes keys. KEYS: the hash of keys. ARGV: longest body, then for each key: id, body. Returns when the index was begun and
-- last changed, in microseconds of this server's clock.
local key = KEYS[1]
local kind = redis.call('TYPE', key).ok
-- What we did not write goes.
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', key) end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- Numbers that Lua would write with an exponent.
local function text(number) return string.format('%.0f', number) end

-- The time of a revocation, where a body has one.
local function revoked(body)
  local read, value = pcall(cjson.decode, body)
  local record = read and type(value) == 'table' and value.version == 1 and value.key
  return type(record) == 'table' and type(record.revoked) == 'number'
end

local changed = false
for at = 2, #ARGV, 2 do
  local before = redis.call('HGET', key, ARGV[at])
  if before ~= ARGV[at + 1] and not (before and revoked(before)) then
    redis.call('HSET', key, ARGV[at], ARGV[at + 1])
    changed = true
  end
end
if not tonumber(redis.call('HGET', key, '#begun')) then redis.call('HSET', key, '#begun', text(now)) end
if changed or not tonumber(redis.call('HGET', key, '#changed')) then
  -- The clock may stand still or be set back, and two changes must differ.
  local last = tonumber(redis.call('HGET', key, '#changed')) or 0
  redis.call('HSET', key, '#changed', text(math.max(now, last + 1)))
end
return { tonumber(redis.call('HGET', key, '#begun')), tonumber(redis.call('HGET', key, '#changed')) }
