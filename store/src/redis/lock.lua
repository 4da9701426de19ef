-- A lock: one hash with its holder, until when it is held, the number of the holding, the text that was published last and
-- when; times are milliseconds of this server's clock. KEYS: the hash. ARGV: verb, life and time to keep in milliseconds,
-- longest text, then for lead and resign the holder, for publish the number and the text.
local key, verb, life, keep, longest = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Garbage is nothing; the next holder clears it.
local kind = redis.call('TYPE', key).ok
local ours = kind == 'hash' or kind == 'none'
local function number(field)
  local value = ours and tonumber(redis.call('HGET', key, field) or 0) or 0
  if value >= 0 and value < 1e14 then return value end
  return 0
end
local till, token = number('until'), number('token')
-- A clock that was set back leaves a lock that would be held for too long.
local held = till > now and till <= now + life

if verb == 'published' then
  local at = number('at')
  if not ours or at == 0 or now - at >= keep or redis.call('HSTRLEN', key, 'text') > longest then return {} end
  return { tostring(math.max(0, now - at)), redis.call('HGET', key, 'text') or '' }
end
local mine = held and redis.call('HGET', key, 'holder') == ARGV[5]
if verb == 'lead' then
  if held and not mine then return 0 end
  if not ours then redis.call('DEL', key) end
  if not held then token = token + 1 end
  redis.call('HSET', key, 'holder', ARGV[5], 'until', now + life, 'token', token)
  redis.call('PEXPIRE', key, keep)
  return token
end
if verb == 'resign' then
  if mine then redis.call('HSET', key, 'until', 0) end
  return 0
end
if not held or token ~= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', key, 'text', ARGV[6], 'at', now)
return 1
