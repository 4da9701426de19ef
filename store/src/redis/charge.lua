-- Charges parts of sessions. KEYS: the prefix of every key below, which share its hash tag. ARGV: seconds for which a session
-- is remembered, seconds for which a day is kept, then for each charge: session, part, day, key, pool|model and six amounts,
-- apart by spaces. Returns for each charge what it added: the six amounts and the sessions that began.
local prefix, remembered, kept = KEYS[1], ARGV[1], ARGV[2]

local function numbers(text)
  local list = {}
  for number in string.gmatch(text or '', '%d+') do list[#list + 1] = tonumber(number) end
  return list
end

-- What we did not write goes.
local function own(key, type)
  local kind = redis.call('TYPE', key).ok
  if kind ~= type and kind ~= 'none' then redis.call('DEL', key) end
end

local added = {}
for at = 3, #ARGV, 6 do
  local session, day, key, cell = prefix .. ':session:' .. ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local keys, cells = prefix .. ':keys:' .. day, prefix .. ':day:' .. day .. ':' .. key
  own(session, 'hash') own(keys, 'set') own(cells, 'hash')
  local began = 1 - redis.call('EXISTS', session)
  local known, total = numbers(redis.call('HGET', session, ARGV[at + 1])), numbers(redis.call('HGET', cells, cell))
  local now, more = {}, {}
  for part, amount in ipairs(numbers(ARGV[at + 5])) do
    local before = known[part] or 0
    now[part] = string.format('%.0f', math.max(before, amount))
    more[part] = string.format('%.0f', math.max(before, amount) - before)
  end
  more[#more + 1] = began
  for part, amount in ipairs(more) do total[part] = string.format('%.0f', (total[part] or 0) + amount) end
  redis.call('HSET', session, ARGV[at + 1], table.concat(now, ' '))
  redis.call('EXPIRE', session, remembered)
  redis.call('HSET', cells, cell, table.concat(total, ' '))
  redis.call('EXPIRE', cells, kept)
  redis.call('SADD', keys, key)
  redis.call('EXPIRE', keys, kept)
  added[#added + 1] = table.concat(more, ' ')
end
return added
