#!lua flags=allow-oom
-- The leases on one resource: a sorted set of sessions by the end of their lease, in milliseconds of this server's clock.
-- KEYS: the set. ARGV: verb, life in milliseconds, limit, sessions. Returns 0 full, 1 held, 2 held before; or the count.
local key, verb, life, limit = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- What we did not write goes: another type, or a lease longer than any (a clock that was set back leaves such).
local kind = redis.call('TYPE', key).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
redis.call('ZREMRANGEBYSCORE', key, '(' .. (now + life), '+inf')

if verb == 'count' then return redis.call('ZCARD', key) end
if verb == 'release' then return redis.call('ZREM', key, ARGV[4]) end
local known = verb == 'claim' and redis.call('ZSCORE', key, ARGV[4])
if verb == 'claim' and not known and redis.call('ZCARD', key) >= limit then return 0 end
for at = 4, #ARGV do redis.call('ZADD', key, now + life, ARGV[at]) end
redis.call('PEXPIRE', key, life)
return known and 2 or 1
