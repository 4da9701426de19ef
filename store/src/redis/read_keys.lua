-- Reads keys. KEYS: the hash of keys. ARGV: longest body, then ids. Returns when the index was begun and last changed, in
-- microseconds, or zeros where it is lost; and a list of id and body in turns.
local key, longest = KEYS[1], tonumber(ARGV[1])
if redis.call('TYPE', key).ok ~= 'hash' then return { { 0, 0 }, {} } end
local begun, changed = tonumber(redis.call('HGET', key, '#begun')), tonumber(redis.call('HGET', key, '#changed'))
if not begun or not changed then return { { 0, 0 }, {} } end
local found = {}
for at = 2, #ARGV do
  local length = redis.call('HSTRLEN', key, ARGV[at])
  if length > 0 and length <= longest then
    found[#found + 1] = ARGV[at]
    found[#found + 1] = redis.call('HGET', key, ARGV[at])
  end
end
return { { begun, changed }, found }
