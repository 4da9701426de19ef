#!lua flags=allow-oom
-- How legs to nodes went: a stream, in the order it was told. KEYS: the stream. ARGV: verb, life in milliseconds, most
-- entries, teller; then to tell: node, opened and failed in turns; to read: the last id that was read.
-- Reading returns the id to go on from, and teller, node, opened and failed in turns.
local key, verb, life, most, teller = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local kind = redis.call('TYPE', key).ok
if kind ~= 'stream' and kind ~= 'none' then
  redis.call('DEL', key)
end
if verb == 'tell' then
  for at = 5, #ARGV, 3 do
    redis.call('XADD', key, 'MAXLEN', most, '*', 't', teller, 'n', ARGV[at], 'o', ARGV[at + 1], 'f', ARGV[at + 2])
  end
  redis.call('PEXPIRE', key, life)
  return { '', {} }
end

local last, told, clock = ARGV[5], {}, redis.call('TIME')
local since = clock[1] * 1000 + math.floor(clock[2] / 1000) - life
if not last:find('^%d+%-%d+$') then last = '0-0' end
for _, entry in ipairs(redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', most)) do
  last = entry[1]
  local fields = entry[2]
  if tonumber(last:match('^%d+')) > since and #fields == 8 and fields[2] ~= teller then
    for at = 4, 8, 2 do told[#told + 1] = fields[at] end
  end
end
return { last, told }
