-- Requests for wrk from a file of lines: method, path, body, parted by tabs. A thread begins anew at the end.
local requests, place = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = { ["Host"] = wrk.host .. ":" .. wrk.port }
    if #body > 0 then
      headers["Content-Type"] = "application/json"
    end
    requests[#requests + 1] = wrk.format(method, path, headers, #body > 0 and body or nil)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end
