-- wrk's requests: tasks of system.echo, each with an id of its own. Arguments: prefix of the ids, bytes of the value, and,
-- to keep a pace, milliseconds between an answer and the next request; each second request is a GET then.
-- At the end one line: RESULT and its figures, times in microseconds.
local BEHIND = 256 -- a GET asks for the task so many requests ago: that one has been answered
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local prefix, tail, pause, count

function init(args)
  prefix, pause, count = args[1] .. "-" .. number .. "-", tonumber(args[3] or 0), 0
  tail = '","input_data":{"value":"' .. string.rep("x", tonumber(args[2])) .. '"}}'
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if pause == 0 then delay = nil end
end

-- Of each connection; they differ, so that connections do not go in step.
function delay()
  return pause / 2 + math.random(pause)
end

function request()
  count = count + 1
  if pause > 0 and count % 2 == 0 and count > BEHIND + 2 then
    return wrk.format("GET", "/v1/tasks/" .. prefix .. (count - 1 - BEHIND) .. "/status", {}, "")
  end
  return wrk.format(nil, nil, nil, '{"task_name":"system.echo","task_id":"' .. prefix .. count .. tail)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %.0f %.0f %.0f %.0f\n", summary.requests, summary.duration, errors.status,
    errors.timeout, errors.connect + errors.read + errors.write, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max))
end
