#!/usr/bin/env escript
%% Sends frames of the given sizes and checks that each comes back:
%%
%%   escript client.escript 7007 0 5 25600 1048576
%%
%% {packet, 4} does all of the framing. It refuses an ERROR of volleyd as too long: emsgsize.
-mode(compile).

main([Port | Sizes]) ->
    Payloads = [rand:bytes(list_to_integer(Size)) || Size <- Sizes],
    Options = [binary, {active, false}, {packet, 4}, {nodelay, true}],
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, list_to_integer(Port), Options),
    %% All are in flight at once. A process of its own sends them, because a server whose replies
    %% nobody reads takes no more frames. What it can't send gets no reply below.
    spawn_link(fun() ->
        [gen_tcp:send(Socket, Payload) || Payload <- Payloads],
        gen_tcp:shutdown(Socket, write)
    end),
    [{ok, Payload} = gen_tcp:recv(Socket, 0) || Payload <- Payloads],
    {error, closed} = gen_tcp:recv(Socket, 0),
    io:format("~b frames came back~n", [length(Payloads)]).
