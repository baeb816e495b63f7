#!/usr/bin/env escript
%% Echoes each frame: four bytes of length, big-endian, and the payload. Prints its port.
%% {packet, 4} does all of the framing.
-mode(compile).

main([]) ->
    {ok, Listener} = gen_tcp:listen(0, [
        binary,
        {ip, {127, 0, 0, 1}},
        {backlog, 128},
        {active, false},
        {packet, 4},
        %% No frame is longer: a stray `GET ` would be one of a gigabyte.
        {packet_size, 1 bsl 20},
        {nodelay, true},
        %% Else the end of what a peer sends would drop the replies that it has not read yet.
        {exit_on_close, false}
    ]),
    {ok, Port} = inet:port(Listener),
    io:format("~b~n", [Port]),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    gen_tcp:controlling_process(Socket, spawn(fun() -> echo(Socket) end)),
    accept(Listener).

echo(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Payload} ->
            ok = gen_tcp:send(Socket, Payload),
            echo(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.
