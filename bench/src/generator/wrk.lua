-- Has wrk send batches of messages that are responses, so that an echo answers them.
--
-- Arguments: messages in a batch, the head of a message, the length of its body.

wrk.init = function(arguments)
   local pipeline = tonumber(arguments[1])
   local message = arguments[2] .. string.rep("x", tonumber(arguments[3]))
   local batch = string.rep(message, pipeline)
   -- wrk looks at a batch before the run, and only then: it wants requests, and counts them to
   -- know how many responses to await.
   local looked_at = false
   wrk.request = function()
      if not looked_at then
         looked_at = true
         return string.rep("GET / HTTP/1.1\r\n\r\n", pipeline)
      end
      return batch
   end
end

-- To wrk a failed connection is a figure. Here it means that something else was measured.
function done(summary)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status
   if failed > 0 then
      io.stderr:write(string.format("%d connections or responses failed\n", failed))
      os.exit(1)
   end
end
