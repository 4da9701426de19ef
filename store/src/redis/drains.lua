#!lua flags=allow-oom
-- An operator's last word on each node, as "number word". KEYS: the hash. ARGV: life in milliseconds, most nodes, then node,
-- number and word in turns. Returns node and order in turns, of every node.
local key, life, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
local kind = redis.call('TYPE', key).ok
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('DEL', key)
end
for at = 3, #ARGV, 3 do
  local known = redis.call('HGET', key, ARGV[at])
  local number = known and tonumber(known:match('^(%d+) '))
  local room = known or redis.call('HLEN', key) < most
  if room and (not number or number < tonumber(ARGV[at + 1])) then
    redis.call('HSET', key, ARGV[at], ARGV[at + 1] .. ' ' .. ARGV[at + 2])
    redis.call('PEXPIRE', key, life)
  end
end
return redis.call('HGETALL', key)
