%% A process of Erlang's own per connection: light, scheduled by the runtime, with a heap apart.
%%
%% How it waits: gen_tcp:recv asks the socket's driver for whatever comes and waits for its message;
%% the runtime's poll thread has one epoll set, and schedulers run what is ready.
%%
%% What it costs: per echo a read, a write, and messages between process and driver; per connection
%% a heap of some KB, and a binary for what was just read.
%%
%% The trap: a socket in active mode is read as fast as the peer sends, whatever the process makes
%% of it. In passive mode the next read is asked for, so a peer that does not read is held back:
%% gen_tcp:send waits while the driver's queue is above its high watermark.
-module(echo).
-export([main/0]).

-define(BUFFER_BYTES, 16 * 1024).
-define(BACKLOG_MAX, 65535).
%% How long accepting rests when there is no descriptor for the next connection.
-define(REST_MS, 100).

main() ->
    case init:get_plain_arguments() of
        ["--version"] -> version();
        _ -> run()
    end.

version() ->
    File = filename:join([
        code:root_dir(), "releases", erlang:system_info(otp_release), "OTP_VERSION"
    ]),
    {ok, Version} = file:read_file(File),
    io:format("Erlang/OTP ~s, ERTS ~s~n", [
        string:trim(Version), erlang:system_info(version)
    ]),
    halt(0).

run() ->
    Listen = os:getenv("LISTEN", "tcp://0.0.0.0:7000"),
    Address = parse_listen(uri_string:parse(Listen)),
    Address =/= error orelse
        fail(2, "LISTEN='~s': expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH", [
            Listen
        ]),
    Backlog = parse_integer(os:getenv("BACKLOG", "4096"), ?BACKLOG_MAX),
    Backlog =/= error orelse
        fail(2, "BACKLOG: expected a number from 1 to ~b", [?BACKLOG_MAX]),
    {Port, Options} = Address,
    %% exit_on_close: a peer that half-closes is still owed what it sent.
    Common = [
        binary,
        {packet, raw},
        {active, false},
        {exit_on_close, false},
        {reuseaddr, true},
        {nodelay, true},
        {buffer, ?BUFFER_BYTES},
        {backlog, Backlog}
    ],
    case gen_tcp:listen(Port, Options ++ Common) of
        {ok, Socket} ->
            stop_on_signal(Options),
            accept(Socket);
        {error, Reason} ->
            fail(1, "cannot listen on ~s: ~s", [Listen, inet:format_error(Reason)])
    end.

%% {Port, options of gen_tcp:listen}, or error.
parse_listen(#{scheme := "unix", host := "", path := Path}) when length(Path) > 1 ->
    {0, [{ifaddr, {local, Path}}]};
parse_listen(#{scheme := "tcp", host := Host, port := Port}) when is_integer(Port), Port > 0 ->
    case inet:parse_strict_address(Host) of
        {ok, IP} when tuple_size(IP) =:= 4 -> {Port, [inet, {ip, IP}]};
        {ok, IP} -> {Port, [inet6, {ipv6_v6only, true}, {ip, IP}]};
        {error, _} -> error
    end;
parse_listen(_) ->
    error.

parse_integer(Text, Most) ->
    case string:to_integer(Text) of
        {Value, ""} when Value >= 1, Value =< Most -> Value;
        _ -> error
    end.

accept(Listener) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            %% It may read only when the socket is its own, so that it closes with it.
            Process = spawn(fun() ->
                receive
                    go -> echo(Socket)
                end
            end),
            _ = gen_tcp:controlling_process(Socket, Process),
            Process ! go;
        {error, closed} ->
            fail(1, "the listening socket was closed", []);
        {error, _} ->
            %% Not timer:sleep: its module is loaded at first use, and that takes a descriptor.
            receive
            after ?REST_MS -> ok
            end
    end,
    accept(Listener).

echo(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            case gen_tcp:send(Socket, Bytes) of
                ok -> echo(Socket);
                {error, _} -> gen_tcp:close(Socket)
            end;
        {error, _} ->
            gen_tcp:close(Socket)
    end.

%% The runtime's own answer to SIGTERM takes applications down first, and may wait for output that
%% nobody takes.
stop_on_signal(Options) ->
    ok = gen_event:swap_handler(
        erl_signal_server, {erl_signal_handler, []}, {echo_signals, Options}
    ),
    ok = os:set_signal(sigterm, handle).

fail(ExitCode, Format, Arguments) ->
    io:format(standard_error, "erlang: " ++ Format ++ "~n", Arguments),
    halt(ExitCode).
