-- Reads a part of the keys. KEYS: the hash of keys. ARGV: longest body, cursor, how many. Returns the next cursor, and a list of
-- id and body in turns.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return { '0', {} } end
local answer = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local found = {}
for at = 1, #answer[2], 2 do
  local id, body = answer[2][at], answer[2][at + 1]
  if string.sub(id, 1, 1) ~= '#' and #body <= tonumber(ARGV[1]) then
    found[#found + 1] = id
    found[#found + 1] = body
  end
end
return { answer[1], found }
