#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1:1 -noinput
%%
%% What OTP itself does with a program: `escript oracle.escript PROGRAMS.jsonl > traces.jsonl`.
%%
%% The player walks through the timeline. Clients, one of them the server's parent, do what it tells
%% them; the server is a real gen_server whose callbacks are in this file and do what each request
%% says. All of them write their lines into one table, in the order of time.
%%
%% One scheduler (+S 1:1) makes it repeatable, and tells exactly when all is at rest: when nobody is
%% left who could run.
-module(oracle).
-mode(compile).
-export([main/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2,
         code_change/3]).

-define(LIMIT_MS, 20000).
-define(LONG_MS, 60000).
%% Each another time, so that what comes soon has an order.
-define(SERVER_SOON_MS, 8).
-define(START_SOON_MS, 14).
-define(CALL_SOON_MS, 20).
-define(SLEEP_MS, 45).
-define(NAME, the_server).
-define(NOBODY, nobody_has_this_name).

%% on: what is left to do for messages that carry no script; mark: what sys looks at.
-record(state, {server, on, mark = 0}).

main(Files) ->
    logger:set_primary_config(level, none),
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = code:ensure_modules_loaded([gen, gen_server, proc_lib, sys]), % which takes its time
    lists:foreach(fun play_file/1, Files),
    halt(0).

play_file(File) ->
    {ok, Content} = file:read_file(File),
    [io:format("~ts~n", [to_json(play_apart(from_json(Line)))])
     || Line <- binary:split(Content, <<"\n">>, [global]), is_program(string:trim(Line))].

is_program(<<>>) -> false;
is_program(<<"#", _/binary>>) -> false;
is_program(_) -> true.

%% ---------------------------------------------------------------------------------- the player

%% Every program is played by a process of its own, which may hang or crash without harm.
play_apart(Program) ->
    {Player, Monitor} = spawn_monitor(fun() -> exit({trace, play(Program)}) end),
    Trace = receive
        {'DOWN', Monitor, process, Player, {trace, Lines}} -> Lines;
        {'DOWN', Monitor, process, Player, Crash} ->
            [[<<"driver_crash">>, iolist_to_binary(io_lib:format("~0p", [Crash]))]]
    after ?LIMIT_MS ->
        exit(Player, kill),
        receive {'DOWN', Monitor, process, Player, _} -> [[<<"limit">>]] end
    end,
    #{<<"name">> => maps:get(<<"name">>, Program, null), <<"trace">> => Trace}.

play(#{<<"server">> := Server, <<"timeline">> := Timeline} = Program) ->
    recorder = ets:new(recorder, [named_table, public, ordered_set]),
    ets:insert(recorder, [{watcher, spawn_link(fun watcher/0)}, {module, module_of(Server)},
                       {slowness, maps:get(<<"slowness">>, Program, 1)}]),
    {Dead, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, Dead, _} -> ets:insert(recorder, {{latest, <<"dead">>}, Dead}) end,
    Clients = [{<<"parent">>, is_map_key(<<"parent_traps">>, Server)},
               {<<"a">>, true}, {<<"b">>, true}, {<<"c">>, false}, {<<"d">>, false}],
    [spawn(fun() -> begin_client(Role, Traps, Server) end) || {Role, Traps} <- Clients],
    settle(),
    play_step([<<"start">>, <<"parent">>]),
    play_steps(Timeline, 1),
    Lines = [Line || [Line] <- ets:match(recorder, {{line, '_'}, '$1'})],
    empty_the_stage(),
    Lines.

play_steps([], _) -> ok;
play_steps([Step | Later], Number) ->
    note([<<"step">>, Number]),
    play_step(Step),
    play_steps(Later, Number + 1).

play_step([<<"open">>]) ->
    [Waiting ! open || {gate, Waiting} <- ets:take(recorder, gate)],
    settle();
play_step([<<"sleep">>]) ->
    timer:sleep(slowly(?SLEEP_MS)),
    settle();
play_step([_, Role | _] = Step) ->
    Client = latest(Role),
    case {is_process_alive(Client), ets:member(recorder, {busy, Role})} of
        {false, _} -> note([Role, dead]);
        {true, true} -> note([Role, busy]);
        {true, false} -> ets:insert(recorder, {{busy, Role}}), Client ! {do, Step}
    end,
    settle().

%% With one scheduler, and this process on it, all is at rest when nobody wants to run. The queue
%% alone does not tell: a garbage collection may take a process elsewhere.
settle() ->
    erlang:yield(),
    case statistics(run_queue) =:= 0 andalso lists:all(fun waits/1, processes() -- [self()]) of
        true -> ok;
        false -> settle()
    end.

waits(Pid) ->
    case process_info(Pid, status) of
        undefined -> true;
        {status, Status} -> Status =:= waiting
    end.

empty_the_stage() ->
    Everybody = [Pid || [Pid] <- ets:match(recorder, {{role, '$1'}, '_'})],
    [exit(Pid, kill) || Pid <- Everybody],
    settle(),
    ets:delete(recorder).

%% All times can be longer, for a machine that stands still now and then.
slowly(Milliseconds) -> Milliseconds * ets:lookup_element(recorder, slowness, 2).

note(Line) ->
    ets:insert(recorder, {{line, erlang:unique_integer([monotonic])}, Line}).

latest(Role) ->
    ets:lookup_element(recorder, {latest, Role}, 2).

%% Writes who ended and why; whoever is given a role waits until it watches.
watcher() ->
    receive
        {watch, Pid} -> monitor(process, Pid), Pid ! watched;
        {'DOWN', _, process, Pid, Reason} -> note([role(Pid), exited, written(Reason)])
    end,
    watcher().

enter(Role) ->
    ets:insert(recorder, [{{latest, Role}, self()}, {{role, self()}, Role}]),
    ets:lookup_element(recorder, watcher, 2) ! {watch, self()},
    receive watched -> ok end.

role(Pid) ->
    case ets:lookup(recorder, {role, Pid}) of
        [{_, Role}] -> Role;
        [] -> <<"?">>
    end.

%% --------------------------------------------------------------------------------- the clients

begin_client(Role, Traps, Server) ->
    process_flag(trap_exit, Traps),
    enter(Role),
    client(Role, Server).

client(Role, Server) ->
    receive
        {do, Step} -> do(Step, Server), ets:delete(recorder, {busy, Role});
        {[alias | _], _} -> a_second_reply;
        Message -> is_leftover(Message) orelse note([Role, message, message(Message)])
    end,
    client(Role, Server).

do([<<"start">>, Role], Server) ->
    Alive = ets:member(recorder, {latest, <<"server">>}) andalso is_process_alive(latest(<<"server">>)),
    case Alive andalso not is_map_key(<<"name">>, Server) of
        true -> note([Role, skipped]);
        false -> note([Role, start, start(Server)])
    end;
do([<<"call">>, Role, Target, Script, Timeout], _) ->
    try gen_server:call(target(Target), {script, Script}, timeout(Timeout)) of
        Reply -> note([Role, reply, Reply])
    catch
        exit:{Reason, {gen_server, call, _}} -> note([Role, failed, written(Reason)])
    end;
do([<<"cast">>, _, Target, Script], _) ->
    gen_server:cast(target(Target), {script, Script});
do([<<"send">>, Role, Target, Script], _) ->
    try target(Target) ! {script, Script} catch error:badarg -> note([Role, not_sent]) end;
do([<<"signal">>, _, Reason], _) ->
    exit(target(<<"server">>), reason(Reason));
do([<<"stop">>, Role, Target, Reason, Timeout], _) ->
    Wanted = reason(Reason),
    try gen_server:stop(target(Target), Wanted, timeout(Timeout)) of
        ok -> note([Role, stopped])
    catch
        exit:{Wanted, {sys, terminate, _}} -> note([Role, stopped]); % by somebody else, but as wanted
        exit:{Other, {sys, terminate, _}} when Other =/= calling_self -> % which is the server's
            note([Role, not_stopped, written(Other)]);
        exit:Other -> note([Role, not_stopped, written(Other)])
    end;
do([<<"sys">>, Role, What | Argument], _) ->
    Result = try sys(What, target(<<"server">>), Argument)
        catch
            exit:{Reason, {sys, _, _}} -> [<<"exit">>, written(Reason)];
            error:_ -> refused
        end,
    note([Role, sys, What, Result]);
do([<<"reply">>, _, Tag, Value], _) ->
    reply(Tag, Value);
do([<<"monitor">>, _], _) ->
    monitor(process, target(<<"server">>));
do([<<"link">>, Role], _) ->
    case is_process_alive(target(<<"server">>)) of
        true -> link(target(<<"server">>));
        false -> note([Role, skipped])
    end;
do([<<"unlink">>, _], _) ->
    unlink(target(<<"server">>));
do([<<"die">>, _, Reason], _) ->
    exit(reason(Reason)).

%% Up to OTP 25 a failed start_link leaves an exit message at a parent that traps them; later not.
is_leftover({'EXIT', Pid, _}) -> ets:member(recorder, {failed, self(), Pid});
is_leftover(_) -> false.

start(Server) ->
    Started = gen(Server),
    case Started of
        {ok, {Pid, _}} when is_pid(Pid) -> <<"ok">>;
        {ok, Pid} when is_pid(Pid) -> <<"ok">>;
        {error, {already_started, Pid}} when is_pid(Pid) -> <<"already_started">>;
        Failure ->
            ets:insert(recorder, {{failed, self(), latest(<<"server">>)}}),
            case Failure of
                ignore -> <<"ignore">>;
                {error, Reason} -> [<<"error">>, written(Reason)]
            end
    end.

gen(#{<<"start">> := How} = Server) ->
    Options = [{timeout, slowly(?START_SOON_MS)} || is_map_key(<<"start_timeout">>, Server)],
    Module = ets:lookup_element(recorder, module, 2),
    case is_map_key(<<"name">>, Server) of
        true -> apply(gen_server, binary_to_atom(How), [{local, ?NAME}, Module, Server, Options]);
        false -> apply(gen_server, binary_to_atom(How), [Module, Server, Options])
    end.

sys(<<"suspend">>, Pid, []) -> sys:suspend(Pid, ?LONG_MS);
sys(<<"resume">>, Pid, []) -> sys:resume(Pid, ?LONG_MS);
sys(<<"get_state">>, Pid, []) ->
    #state{mark = Mark} = sys:get_state(Pid, ?LONG_MS), Mark;
sys(<<"replace_state">>, Pid, [<<"bug">>]) ->
    sys:replace_state(Pid, fun(_) -> erlang:error(bug) end, ?LONG_MS);
sys(<<"replace_state">>, Pid, [Mark]) ->
    #state{mark = New} = sys:replace_state(Pid, fun(State) -> State#state{mark = Mark} end, ?LONG_MS),
    New;
sys(<<"change_code">>, Pid, [Extra]) ->
    case sys:change_code(Pid, ?MODULE, old, Extra, ?LONG_MS) of
        ok -> ok;
        {error, _} -> refused
    end.

target(<<"name">>) -> ?NAME;
target(<<"unknown">>) -> ?NOBODY;
target(<<"none">>) -> undefined;
target(<<"server">>) ->
    case ets:member(recorder, {latest, <<"server">>}) of
        true -> latest(<<"server">>);
        false -> latest(<<"dead">>)
    end;
target(Role) -> latest(Role).

timeout(<<"soon">>) -> slowly(?CALL_SOON_MS);
timeout(<<"long">>) -> ?LONG_MS.

reply(Tag, Value) ->
    [gen_server:reply(From, Value) || {_, From} <- ets:lookup(recorder, {from, Tag})].

%% ---------------------------------------------------------------------------------- the server

%% A module with all callbacks but those that the program's server does without.
module_of(Server) ->
    Missing = [binary_to_atom(Name) || Name <- maps:get(<<"without">>, Server, [])],
    Callbacks = [{init, 1}, {handle_call, 3}, {handle_cast, 2}, {handle_info, 2},
                 {handle_continue, 2}, {terminate, 2}, {code_change, 3}],
    Present = [Callback || {Name, _} = Callback <- Callbacks, not lists:member(Name, Missing)],
    Forms = [{attribute, 1, module, scripted}, {attribute, 1, export, Present}
             | [delegation(Callback) || Callback <- Present]],
    {ok, scripted, Binary} = compile:forms(Forms),
    {module, scripted} = code:load_binary(scripted, "scripted", Binary),
    scripted.

delegation({Name, Arity}) ->
    Arguments = [{var, 1, list_to_atom("A" ++ integer_to_list(N))} || N <- lists:seq(1, Arity)],
    Body = {call, 1, {remote, 1, {atom, 1, ?MODULE}, {atom, 1, Name}}, Arguments},
    {function, 1, Name, Arity, [{clause, 1, Arguments, [], [Body]}]}.

init(#{<<"init">> := Script} = Server) ->
    enter(<<"server">>),
    note([<<"server">>, init]),
    process_flag(trap_exit, maps:get(<<"trap">>, Server, false)),
    State = effects(Script, #state{server = Server, on = maps:get(<<"on">>, Server, #{})}),
    case then(Script) of
        [<<"ignore">>] -> ignore;
        [<<"stop">>, Reason] -> {stop, reason(Reason)};
        none -> {ok, State};
        Then -> ended(Then, {ok, State})
    end.

handle_call({script, #{<<"tag">> := Tag} = Script}, {Caller, _} = From, State0) ->
    note([<<"server">>, handle_call, Tag, role(Caller)]),
    ets:insert(recorder, {{from, Tag}, From}),
    State = effects(Script, State0),
    case {then(Script), Script} of
        {[<<"stop">>, Reason], #{<<"reply">> := Reply}} -> {stop, reason(Reason), Reply, State};
        {Then, #{<<"reply">> := Reply}} -> ended(Then, {reply, Reply, State});
        {Then, #{}} -> ended(Then, {noreply, State})
    end.

handle_cast({script, #{<<"tag">> := Tag} = Script}, State) ->
    note([<<"server">>, handle_cast, Tag]),
    follow(Script, State).

handle_continue({script, #{<<"tag">> := Tag} = Script}, State) ->
    note([<<"server">>, handle_continue, Tag]),
    follow(Script, State).

handle_info(Message, #state{on = On} = State) ->
    note([<<"server">>, handle_info, message(Message)]),
    case {Message, On} of
        {{script, Script}, _} -> follow(Script, State);
        {timeout, #{<<"timeout">> := [Script | Rest]}} ->
            follow(Script, State#state{on = On#{<<"timeout">> := Rest}});
        {{'EXIT', _, _}, #{<<"EXIT">> := [Script | Rest]}} ->
            follow(Script, State#state{on = On#{<<"EXIT">> := Rest}});
        {{'DOWN', _, _, _, _}, #{<<"DOWN">> := [Script | Rest]}} ->
            follow(Script, State#state{on = On#{<<"DOWN">> := Rest}});
        _ -> {noreply, State}
    end.

terminate(Reason, #state{server = Server} = State) ->
    note([<<"server">>, terminate, written(Reason)]),
    case Server of
        #{<<"terminate">> := Script} -> follow(Script, State);
        #{} -> ok
    end.

code_change(_, State, Extra) ->
    note([<<"server">>, code_change, Extra]),
    case Extra of
        <<"bug">> -> erlang:error(bug);
        _ -> {ok, State}
    end.

follow(Script, State) -> ended(then(Script), {noreply, effects(Script, State)}).

then(Script) -> maps:get(<<"then">>, Script, none).

%% What a callback returns, from what it would return if nothing followed.
ended(none, Return) -> Return;
ended([<<"timeout">>, Timeout], Return) -> erlang:append_element(Return, server_timeout(Timeout));
ended([<<"continue">>, Script], Return) -> erlang:append_element(Return, {continue, {script, Script}});
ended([<<"stop">>, Reason], Return) -> {stop, reason(Reason), element(2, Return)};
ended([<<"raise">>, Reason], _) -> erlang:error(reason(Reason));
ended([<<"exit">>, Reason], _) -> exit(reason(Reason));
ended([<<"bad">>, Value], _) -> Value.

server_timeout(<<"soon">>) -> slowly(?SERVER_SOON_MS);
server_timeout(<<"long">>) -> ?LONG_MS;
server_timeout(Milliseconds) -> Milliseconds.

effects(Script, State) -> lists:foldl(fun effect/2, State, maps:get(<<"does">>, Script, [])).

effect([<<"mark">>, Mark], State) -> State#state{mark = Mark};
effect(Effect, State) -> affect(Effect), State.

affect([<<"reply">>, Tag, Value]) -> reply(Tag, Value);
affect([<<"cast">>, Script]) -> gen_server:cast(self(), {script, Script});
affect([<<"send">>, Script]) -> self() ! {script, Script};
affect([<<"trap">>, Traps]) -> process_flag(trap_exit, Traps);
affect([<<"exit_self">>, Reason]) -> exit(self(), reason(Reason));
affect([<<"monitor">>, Role]) -> is_process_alive(latest(Role)) andalso monitor(process, latest(Role));
affect([<<"link">>, Role]) -> is_process_alive(latest(Role)) andalso link(latest(Role));
affect([<<"unlink">>, Role]) -> unlink(latest(Role));
affect([<<"signal">>, Role, Reason]) -> exit(latest(Role), reason(Reason));
affect([<<"tell">>, Role, Word]) -> latest(Role) ! {word, Word};
affect([<<"unregister">>]) -> whereis(?NAME) =:= self() andalso unregister(?NAME);
affect([<<"call_self">>]) -> gen_server:call(self(), impossible, ?LONG_MS);
affect([<<"stop_self">>]) -> gen_server:stop(self(), normal, ?LONG_MS);
affect([<<"call_nobody">>]) -> gen_server:call(?NOBODY, impossible, ?LONG_MS);
affect([<<"wait">>]) ->
    ets:insert(recorder, {gate, self()}),
    receive open -> ok end.

%% ------------------------------------------------------------------------- terms in and out

message(timeout) -> <<"timeout">>;
message({script, #{<<"tag">> := Tag}}) -> Tag;
message({word, Word}) -> [<<"word">>, Word];
message({'EXIT', Pid, Reason}) -> [<<"EXIT">>, role(Pid), written(Reason)];
message({'DOWN', _, process, Pid, Reason}) -> [<<"DOWN">>, role(Pid), written(Reason)];
message(Other) -> iolist_to_binary(io_lib:format("~0p", [Other])).

%% A string of a program is an atom, an array a tuple.
reason(Word) when is_binary(Word) -> binary_to_atom(Word);
reason(Parts) when is_list(Parts) -> list_to_tuple([reason(Part) || Part <- Parts]);
reason(Other) -> Other.

%% A reason that carries a stack trace is a raised one, one that carries a call a failed call's.
written({Reason, [{_, _, _, Location} | _]}) when is_list(Location) -> [<<"raised">>, written(Reason)];
written({Reason, {gen_server, call, _}}) -> [<<"call">>, written(Reason)];
written({Reason, {sys, terminate, _}}) -> [<<"call">>, written(Reason)];
written(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
written(Tuple) when is_tuple(Tuple) -> [written(Part) || Part <- tuple_to_list(Tuple)];
written(Other) -> Other.

-include("../json.hrl").
