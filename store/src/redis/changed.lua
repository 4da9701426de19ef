#!lua flags=allow-oom
-- The first line has a Redis that takes no writes (read-only, short of replicas, unable to save) refuse all of our scripts
-- alike: it has nothing new to tell then, and nodes must not seem silent for that. Out of memory it takes ours, which are small.
-- Reads reports written since a number. KEYS: as in put.lua. ARGV: the number, most reports, life in milliseconds,
-- longest body. Returns the number to read on from, how many were looked at, and a list of age and body in turns.
local order, times, bodies = KEYS[1], KEYS[2], KEYS[3]
local cursor, most, life, longest = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for at, type in ipairs({ 'zset', 'zset', 'hash' }) do
  -- Garbage is nothing; the next write clears it.
  if redis.call('TYPE', KEYS[at]).ok ~= type then return { 0, 0, {} } end
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local last = tonumber(redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2] or 0)
if cursor > last then cursor = 0 end
local found = redis.call('ZRANGEBYSCORE', order, '(' .. cursor, '1e14', 'WITHSCORES', 'LIMIT', 0, most)
local reports = {}
for at = 1, #found, 2 do
  local node = found[at]
  cursor = tonumber(found[at + 1])
  local time = tonumber(redis.call('ZSCORE', times, node) or now - life)
  if now - time < life and redis.call('HSTRLEN', bodies, node) <= longest then
    reports[#reports + 1] = math.max(0, now - time)
    reports[#reports + 1] = redis.call('HGET', bodies, node) or ''
  end
end
return { cursor, #found / 2, reports }
