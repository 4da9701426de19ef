#!lua flags=allow-oom
-- The leases of one node: a sorted set of sessions by the end of their lease, in milliseconds of this server's clock.
-- KEYS: the set. ARGV: verb, session, life in milliseconds, slots. Returns 1 or 0, or the count.
local key, verb, session = KEYS[1], ARGV[1], ARGV[2]
local life, slots = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- What we did not write goes: another type, or a lease longer than any (a clock that was set back leaves such).
local kind = redis.call('TYPE', key).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
redis.call('ZREMRANGEBYSCORE', key, '(' .. (now + life), '+inf')

if verb == 'count' then return redis.call('ZCARD', key) end
if verb == 'release' then return redis.call('ZREM', key, session) end
if verb == 'claim' and not redis.call('ZSCORE', key, session) and redis.call('ZCARD', key) >= slots then return 0 end
redis.call('ZADD', key, now + life, session)
redis.call('PEXPIRE', key, life)
return 1
