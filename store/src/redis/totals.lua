-- Reads a day's totals. KEYS: the prefix, as in charge.lua. ARGV: the day, a key or nothing for all keys, a cursor, and about
-- how many keys to look at. Returns the next cursor, 0 at the end, and a list of key, pool|model and amounts in turns.
local prefix, day, key = KEYS[1], ARGV[1], ARGV[2]
local keys, cursor = { key }, '0'
if key == '' then
  keys = {}
  if redis.call('TYPE', prefix .. ':keys:' .. day).ok == 'set' then
    local scanned = redis.call('SSCAN', prefix .. ':keys:' .. day, ARGV[3], 'COUNT', ARGV[4])
    cursor, keys = scanned[1], scanned[2]
  end
end
local found = {}
for _, name in ipairs(keys) do
  local cells = prefix .. ':day:' .. day .. ':' .. name
  if redis.call('TYPE', cells).ok == 'hash' then
    local fields = redis.call('HGETALL', cells)
    for at = 1, #fields, 2 do
      found[#found + 1] = name
      found[#found + 1] = fields[at]
      found[#found + 1] = fields[at + 1]
    end
  end
end
return { cursor, found }
