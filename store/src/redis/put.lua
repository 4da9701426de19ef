#!lua flags=allow-oom
-- Writes reports. KEYS: order (node by number of the write), times (node by when the agent spoke, in milliseconds of
-- this server's clock), bodies. ARGV: life in milliseconds, then for each report: node, age in milliseconds, body.
local order, times, bodies, life = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- What we did not write goes: other types here, numbers beyond counting below.
local function own(key, type)
  local kind = redis.call('TYPE', key).ok
  if kind ~= type and kind ~= 'none' then redis.call('DEL', key) end
end
own(order, 'zset') own(times, 'zset') own(bodies, 'hash')
redis.call('ZREMRANGEBYSCORE', order, '(1e14', '+inf')

-- The old go, and those from the future too: a clock that was set back leaves such.
local function forget(from, to)
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', times, from, to, 'LIMIT', 0, 1000)) do
    redis.call('ZREM', order, node)
    redis.call('ZREM', times, node)
    redis.call('HDEL', bodies, node)
  end
end
forget('-inf', now - life)
forget('(' .. now, '+inf')

local number = tonumber(redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2] or 0)
for at = 2, #ARGV, 3 do
  number = number + 1
  redis.call('ZADD', order, number, ARGV[at])
  redis.call('ZADD', times, now - tonumber(ARGV[at + 1]), ARGV[at])
  redis.call('HSET', bodies, ARGV[at], ARGV[at + 2])
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, life) end
return number
