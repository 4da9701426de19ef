#!lua flags=allow-oom
-- What one key has used. The rates are GCRA, as store/src/gcra.rs explains it, in microseconds of this server's clock.
-- KEYS: when its sessions and its uploads are paid for, and its audio (a day in UTC, and the milliseconds heard in it).
-- ARGV: verb, period and longest debt in microseconds, then the limits, empty for none: sessions, bytes and milliseconds; then
-- bytes and milliseconds used. Returns what refused (0 nothing, 1 to 3 as in KEYS), how long to wait, and what sessions owe.
local verb, period, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local sessions, uploads, audio = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local bytes, heard = tonumber(ARGV[7]), tonumber(ARGV[8])
local clock = redis.call('TIME')
local now = clock[1] * 1e6 + clock[2]
local day, day_ends = math.floor(clock[1] / 86400), (math.floor(clock[1] / 86400) + 1) * 86400e6

-- What we did not write goes: other types here, numbers that are none or too large below.
for at, type in ipairs({ 'string', 'string', 'hash' }) do
  local kind = redis.call('TYPE', KEYS[at]).ok
  if kind ~= type and kind ~= 'none' then redis.call('DEL', KEYS[at]) end
end

local function unpaid(key)
  local owed = (tonumber(redis.call('GET', key) or nil) or 0) - now
  if owed > 0 and owed <= longest then return owed end
  return 0
end
local function cost(units, limit)
  if limit == 0 then return units == 0 and 0 or longest end
  return math.min(units * period / limit, longest)
end
local function wait(key, units, limit)
  if limit == 0 and units > 0 then return period end
  local over = unpaid(key) + math.min(cost(units, limit), period) - period
  -- What is less comes of rounding.
  return over >= 100 and over or 0
end
local function charge(key, units, limit)
  local owed = math.min(unpaid(key) + cost(units, limit), longest)
  if owed > 0 then redis.call('SET', key, string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000)) end
end

local today, used = unpack(redis.call('HMGET', KEYS[3], 'day', 'milliseconds'))
used = tonumber(today or nil) == day and tonumber(used or nil) or 0
if not (used >= 0 and used < 1e12) then used = 0 end

local refused, waits = 0, 0
if verb == 'admit' then
  local function check(number, time)
    if refused == 0 and time > 0 then refused, waits = number, time end
  end
  if sessions then check(1, wait(KEYS[1], 1, sessions)) end
  if uploads then check(2, wait(KEYS[2], bytes, uploads)) end
  if audio and used >= audio then check(3, day_ends - now) end
  if refused == 0 and sessions then charge(KEYS[1], 1, sessions) end
end
if refused == 0 then
  if uploads then charge(KEYS[2], bytes, uploads) end
  if heard > 0 then
    redis.call('HSET', KEYS[3], 'day', day, 'milliseconds', string.format('%.0f', used + heard))
    redis.call('EXPIRE', KEYS[3], 172800)
  end
end
return { refused, math.ceil(waits), math.ceil(unpaid(KEYS[1])) }
