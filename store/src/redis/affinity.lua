#!lua flags=allow-oom
-- A session's last leg, as "version epoch node". KEYS: its key. ARGV: verb, life in milliseconds, and what to write.
local key, verb = KEYS[1], ARGV[1]
if verb == 'remember' then
  redis.call('SET', key, ARGV[3], 'PX', ARGV[2])
elseif verb == 'let_go' then
  redis.call('PEXPIRE', key, ARGV[2])
elseif redis.call('TYPE', key).ok == 'string' then
  return redis.call('GETRANGE', key, 0, 511)
end
return ''
