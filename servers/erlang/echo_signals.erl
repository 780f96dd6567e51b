%% Ends the runtime at SIGTERM, at once: the socket's file goes, and nothing is flushed.
-module(echo_signals).
-behaviour(gen_event).
-export([init/1, handle_event/2, handle_call/2]).

init({Options, _}) ->
    {ok, Options}.

handle_event(sigterm, Options) ->
    case Options of
        [{ifaddr, {local, Path}}] -> _ = file:delete(Path);
        _ -> ok
    end,
    halt(0, [{flush, false}]);
handle_event(_, Options) ->
    {ok, Options}.

handle_call(_, Options) ->
    {ok, ok, Options}.
