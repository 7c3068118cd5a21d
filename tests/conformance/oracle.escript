#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1:1 -noinput
%%
%% What OTP itself does with a scenario: `escript oracle.escript SCENARIOS.jsonl > traces.jsonl`.
%%
%% Three parts play together. The player follows the timeline. The processes of the tree are real
%% supervisors and gen_servers whose callbacks are in this file. The recorder writes the trace: all
%% others report to it by synchronous calls, and before it notes anything down it notes the deaths
%% that have already happened, so that a death always stands before its consequences.
%%
%% One scheduler (+S 1:1) makes the traces repeatable; with more, signals of different senders
%% overtake each other and no two runs agree.
-module(oracle).
-mode(compile).
-behaviour(gen_server).
-export([main/1]).
-export([start_child_of/3, start_dynamic_child_of/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(LIMIT_MS, 20000).
-define(SETTLE_ATTEMPTS, 5000).

main(Files) ->
    logger:set_primary_config(level, none),
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    lists:foreach(fun play_file/1, Files),
    halt(0).

play_file(File) ->
    {ok, Content} = file:read_file(File),
    [io:format("~ts~n", [to_json(play_apart(from_json(Line)))])
     || Line <- binary:split(Content, <<"\n">>, [global]), is_scenario(string:trim(Line))].

is_scenario(<<>>) -> false;
is_scenario(<<"#", _/binary>>) -> false;
is_scenario(_) -> true.

%% ---------------------------------------------------------------------------------- the player

%% Every scenario is played by a process of its own, which may hang or crash without harm.
play_apart(Scenario) ->
    {Player, Monitor} = spawn_monitor(fun() -> exit({trace, play(Scenario)}) end),
    Trace = receive
        {'DOWN', Monitor, process, Player, {trace, Lines}} -> Lines;
        {'DOWN', Monitor, process, Player, Crash} ->
            [[<<"driver_crash">>, iolist_to_binary(io_lib:format("~0p", [Crash]))]]
    after maps:get(<<"limit_ms">>, Scenario, ?LIMIT_MS) ->
        exit(Player, kill),
        receive {'DOWN', Monitor, process, Player, _} -> [[<<"limit">>]] end
    end,
    stop_recorder(whereis(recorder)),
    #{<<"name">> => maps:get(<<"name">>, Scenario, null), <<"trace">> => Trace}.

play(#{<<"sup">> := Sup} = Scenario) ->
    process_flag(trap_exit, true),
    start_recorder(self()),
    Timeline = maps:get(<<"timeline">>, Scenario, []),
    Tree = #{<<"id">> => <<"root">>, <<"sup">> => Sup},
    case catch start_process(Tree, <<"root">>) of
        {ok, Root} -> play_timeline(Timeline, Root, settle(Root, none));
        Failure -> await_empty(?SETTLE_ATTEMPTS), note([<<"root_start">>, outcome(Failure)])
    end,
    normalise(ask(lines), parents(Tree, Timeline)).

%% A supervisor that was killed while a failed start was undone leaves orphans behind.
await_empty(0) -> ok;
await_empty(Attempts) ->
    case ask(population) of 0 -> ok; _ -> timer:sleep(1), await_empty(Attempts - 1) end.

%% The third argument tells whether the root still stands.
play_timeline([], Root, standing) ->
    note([<<"driver">>, <<"stop_root">>]),
    settle(Root, stop_root(Root, shutdown));
play_timeline([], _, fallen) ->
    ok;
play_timeline([_ | Later], Root, fallen) ->
    note([<<"skipped_root_dead">>]),
    play_timeline(Later, Root, fallen);
play_timeline([Event | Later], Root, standing) ->
    play_timeline(Later, Root, settle(Root, play_event(Event, Root))).

%% Returns {parted, Reason} if the root was stopped, anything else otherwise.
play_event([<<"batch">>, SupId, Pokes], _) ->
    note([<<"do">>, <<"batch">>, SupId]),
    case ask({living, SupId}) of
        none -> note([<<"no_such_live">>, SupId]);
        Sup ->
            ok = sys:suspend(Sup),
            lists:foreach(fun(Poke) -> await_unlinked(Sup, poke(Poke)) end, Pokes),
            sys:resume(Sup)
    end;
play_event([<<"start_child">>, SupId, #{<<"id">> := Id} = Node], Root) ->
    operate(start_child, SupId, Id, Root,
            fun(Sup) -> supervisor:start_child(Sup, child_spec(Node, start_child_of, SupId)) end);
play_event([<<"start_dyn">>, SupId, Id], Root) ->
    operate(start_dyn, SupId, Id, Root, fun(Sup) -> supervisor:start_child(Sup, [Id]) end);
play_event([<<"terminate_dyn">>, SupId, Id], Root) ->
    Pid = case ask({latest, Id}) of none -> undefined; Known -> Known end,
    operate(terminate_dyn, SupId, Id, Root, fun(Sup) -> supervisor:terminate_child(Sup, Pid) end);
play_event([<<"terminate_child">>, SupId, Id], Root) ->
    operate(terminate_child, SupId, Id, Root, fun(Sup) -> supervisor:terminate_child(Sup, Id) end);
play_event([<<"restart_child">>, SupId, Id], Root) ->
    operate(restart_child, SupId, Id, Root, fun(Sup) -> supervisor:restart_child(Sup, Id) end);
play_event([<<"delete_child">>, SupId, Id], Root) ->
    operate(delete_child, SupId, Id, Root, fun(Sup) -> supervisor:delete_child(Sup, Id) end);
play_event([<<"script">>, Id, Script], _) ->
    ask({script, Id, Script});
play_event([<<"sleep_ms">>, Milliseconds], _) ->
    timer:sleep(Milliseconds);
play_event([<<"stop_sup">>, Reason], Root) ->
    stop_root(Root, reason(Reason));
play_event([_Exit_Raise_or_Signal, _Id, _Reason] = Poke, _) ->
    poke(Poke).

%% Makes one process stop, raise or get a signal. The call that follows comes from the same sender,
%% so it is answered after the process has taken note, or fails because it is dead.
poke([What, Id, Value]) ->
    note([<<"do">>, What, Id, Value]),
    case ask({living, Id}) of
        none -> note([<<"no_such_live">>, Id]), none;
        Pid ->
            case What of
                <<"exit">> -> gen_server:cast(Pid, {stop, reason(Value)});
                <<"raise">> -> gen_server:cast(Pid, {raise, reason(Value)});
                <<"signal">> -> exit(Pid, reason(Value))
            end,
            try gen_server:call(Pid, sync, infinity) catch exit:_ -> dead end,
            Pid
    end.

%% A suspended supervisor has the exit signal of a dead child in its mailbox once the link is gone.
await_unlinked(_, none) -> ok;
await_unlinked(Sup, Pid) ->
    {links, Links} = process_info(Sup, links),
    case not is_process_alive(Pid) andalso lists:member(Pid, Links) of
        true -> erlang:yield(), await_unlinked(Sup, Pid);
        false -> ok
    end.

operate(What, SupId, Id, Root, Function) ->
    Sup = case SupId of
        <<"root">> -> Root;
        _ -> case ask({living, SupId}) of none -> undefined; Pid -> Pid end
    end,
    Result = try Function(Sup) catch exit:{Reason, _Call} -> {exit, Reason} end,
    note([<<"op">>, What, SupId, Id, outcome(Result)]).

stop_root(Root, Reason) ->
    exit(Root, Reason),
    receive {'EXIT', Root, Parting} -> {parted, Parting} end.

%% ---------------------------------------------------------------------------- the tree at rest

%% Waits until the tree is at rest or gone, and notes which.
settle(Root, Parted) ->
    case at_rest(Root, ?SETTLE_ATTEMPTS) of
        gone -> note([<<"root_exit">>, parting(Root, Parted)]), fallen;
        State -> note([<<"state">>, State]), standing
    end.

parting(_, {parted, Reason}) -> written(Reason);
parting(Root, _) ->
    receive {'EXIT', Root, Reason} -> written(Reason) after 2000 -> <<"?">> end.

at_rest(_, 0) -> <<"unsettled">>;
at_rest(Root, Attempts) ->
    Seen = try snapshot(Root) catch throw:busy -> busy; exit:_ -> dead end,
    Population = ask(population),
    case Seen of
        #{} -> case count_up(Seen) + 1 of Population -> Seen; _ -> again(Root, Attempts) end;
        dead when Population =:= 0 ->
            case is_process_alive(Root) of true -> again(Root, Attempts); false -> gone end;
        _ -> again(Root, Attempts)
    end.

again(Root, Attempts) ->
    timer:sleep(1),
    at_rest(Root, Attempts - 1).

%% Throws `busy` if a listed child is dead or being restarted; exits as a call to a dead supervisor does.
snapshot(Sup) ->
    Children = supervisor:which_children(Sup),
    Counts = supervisor:count_children(Sup),
    Which = [[written_id(Id), child_state(Pid, Type)] || {Id, Pid, Type, _} <- Children],
    #{<<"which">> => case lists:keymember(undefined, 1, Children) of
                         true -> lists:sort(Which);
                         false -> Which
                     end,
      <<"count">> => [proplists:get_value(Key, Counts)
                      || Key <- [specs, active, supervisors, workers]]}.

child_state(undefined, _) -> <<"down">>;
child_state(restarting, _) -> throw(busy);
child_state(Pid, Type) ->
    case {is_process_alive(Pid), Type} of
        {false, _} -> throw(busy);
        {true, supervisor} -> snapshot(Pid);
        {true, worker} -> <<"up">>
    end.

written_id(undefined) -> null;
written_id(Id) -> Id.

count_up(#{<<"which">> := Which}) ->
    lists:sum([case State of
                   <<"up">> -> 1;
                   <<"down">> -> 0;
                   #{} -> 1 + count_up(State)
               end || [_, State] <- Which]).

%% ------------------------------------------------------------------------- the tree's processes

sup_flags(Sup) ->
    options([strategy, intensity, period, auto_shutdown], Sup).

child_spec(#{<<"id">> := Id} = Node, StartFunction, SupId) ->
    Options = options([restart, shutdown, significant, type], Node),
    %% supervisor:start_child/2 appends a dynamic child's id to these arguments.
    Arguments = case StartFunction of
        start_child_of -> [SupId, Node, Id];
        start_dynamic_child_of -> [SupId, Node]
    end,
    Options#{id => Id, start => {?MODULE, StartFunction, Arguments}}.

options(Keys, Json) ->
    maps:from_list([{Key, option(maps:get(atom_to_binary(Key), Json))}
                    || Key <- Keys, is_map_key(atom_to_binary(Key), Json)]).

option(Word) when is_binary(Word) -> binary_to_atom(Word);
option(Value) -> Value.

start_dynamic_child_of(SupId, Node, Id) -> start_child_of(SupId, Node, Id).

start_child_of(_SupId, Node, Id) ->
    case ask({next_start, Id, maps:get(<<"start">>, Node, [])}) of
        [<<"error">>, R] -> note([<<"start_error">>, Id, R]), {error, reason(R)};
        [<<"raise">>, R] -> note([<<"start_raise">>, Id, R]), erlang:error(reason(R));
        [<<"init_stop">>, R] -> gen_server:start_link(?MODULE, {refusing, Id, reason(R)}, []);
        <<"ignore">> -> note([<<"ignore">>, Id]), ignore;
        <<"ok">> -> start_process(Node, Id)
    end.

start_process(#{<<"sup">> := Sup}, Id) -> supervisor:start_link(?MODULE, {supervisor, Id, Sup});
start_process(Node, Id) -> gen_server:start_link(?MODULE, {worker, Id, Node}, []).

%% Both behaviours find their init/1 here.
init({supervisor, Id, Sup}) ->
    ask({started, Id, self()}),
    StartFunction = case Sup of
        #{<<"strategy">> := <<"simple_one_for_one">>} -> start_dynamic_child_of;
        #{} -> start_child_of
    end,
    Children = maps:get(<<"children">>, Sup, []),
    {ok, {sup_flags(Sup), [child_spec(Child, StartFunction, Id) || Child <- Children]}};
init({worker, Id, Node}) ->
    process_flag(trap_exit, maps:get(<<"trap">>, Node, false)),
    {ok, #{id => Id, incarnation => ask({started, Id, self()}), node => Node}};
init({refusing, Id, Reason}) ->
    note([<<"init_stop">>, Id, written(Reason)]),
    {stop, Reason}.

handle_call(sync, _From, Worker) -> {reply, ok, Worker}.

handle_cast({stop, Reason}, Worker) -> {stop, Reason, Worker};
handle_cast({raise, Reason}, _Worker) -> erlang:error(Reason).

handle_info({'EXIT', _From, Reason}, Worker) -> note_of(<<"info_exit">>, Worker, Reason), {noreply, Worker};
handle_info(_Message, Worker) -> {noreply, Worker}.

terminate(Reason, #{node := Node} = Worker) ->
    note_of(<<"terminate">>, Worker, Reason),
    case Node of
        #{<<"term_hang_ms">> := Milliseconds} -> timer:sleep(Milliseconds);
        #{<<"term_exit">> := Other} -> exit(reason(Other));
        #{} -> ok
    end;
terminate(_Reason, _Supervisor) ->
    ok.

note_of(What, #{id := Id, incarnation := Incarnation}, Reason) ->
    note([What, Id, Incarnation, written(Reason)]).

%% ----------------------------------------------------------------------------------- the recorder

%% lines: newest first; alive: pid -> {id, incarnation}; latest: id -> pid; starts: id -> how many;
%% scripts: id -> what its next starts have to do.
-record(recorder, {lines = [], alive = #{}, latest = #{}, starts = #{}, scripts = #{}}).

start_recorder(Player) ->
    Hired = spawn(fun() ->
        process_flag(priority, high),
        recorder(monitor(process, Player), #recorder{})
    end),
    true = register(recorder, Hired).

stop_recorder(undefined) -> ok;
stop_recorder(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

note(Line) -> ask({note, Line}).

ask(Question) ->
    Tag = make_ref(),
    recorder ! {Tag, self(), Question},
    receive {Tag, Answer} -> Answer end.

recorder(PlayerMonitor, Recorder) ->
    receive
        {'DOWN', PlayerMonitor, process, _, _} -> ok;
        {'DOWN', _, process, Pid, Reason} -> recorder(PlayerMonitor, record_exit(Pid, Reason, Recorder));
        {Tag, From, Question} ->
            {Answer, After} = answer(Question, record_exits(Recorder)),
            From ! {Tag, Answer},
            recorder(PlayerMonitor, After)
    end.

record_exits(#recorder{alive = Alive} = Recorder) ->
    case lists:all(fun is_process_alive/1, maps:keys(Alive)) of
        true -> Recorder;
        false ->
            receive {'DOWN', _, process, Pid, Reason} when is_map_key(Pid, Alive) ->
                record_exits(record_exit(Pid, Reason, Recorder))
            end
    end.

record_exit(Pid, Reason, #recorder{alive = Alive, lines = Lines} = Recorder) ->
    {{Id, Incarnation}, Rest} = maps:take(Pid, Alive),
    Recorder#recorder{alive = Rest, lines = [[<<"exit_of">>, Id, Incarnation, written(Reason)] | Lines]}.

answer({note, Line}, #recorder{lines = Lines} = Recorder) ->
    {ok, Recorder#recorder{lines = [Line | Lines]}};
answer({started, Id, Pid}, #recorder{starts = Starts} = Recorder) ->
    monitor(process, Pid),
    Incarnation = maps:get(Id, Starts, 0) + 1,
    {Incarnation, Recorder#recorder{lines = [[<<"start">>, Id, Incarnation] | Recorder#recorder.lines],
                            alive = (Recorder#recorder.alive)#{Pid => {Id, Incarnation}},
                            latest = (Recorder#recorder.latest)#{Id => Pid},
                            starts = Starts#{Id => Incarnation}}};
answer({next_start, Id, Initial}, #recorder{scripts = Scripts} = Recorder) ->
    case maps:get(Id, Scripts, Initial) of
        [] -> {<<"ok">>, Recorder};
        [Next | Rest] -> {Next, Recorder#recorder{scripts = Scripts#{Id => Rest}}}
    end;
answer({script, Id, Script}, #recorder{scripts = Scripts} = Recorder) ->
    {ok, Recorder#recorder{scripts = Scripts#{Id => Script}}};
answer({latest, Id}, #recorder{latest = Latest} = Recorder) ->
    {maps:get(Id, Latest, none), Recorder};
answer({living, Id}, #recorder{latest = Latest, alive = Alive} = Recorder) ->
    case Latest of
        #{Id := Pid} when is_map_key(Pid, Alive) -> {Pid, Recorder};
        #{} -> {none, Recorder}
    end;
answer(population, Recorder) ->
    {map_size(Recorder#recorder.alive), Recorder};
answer(lines, Recorder) ->
    {lists:reverse(Recorder#recorder.lines), Recorder}.

%% ---------------------------------------------------------------------------- the trace's order

%% Dynamic children are stopped all at once, and the orphans of a killed supervisor die while its own
%% supervisor already reacts: OTP fixes no order there, so one is chosen. Ends of dynamic children
%% that are neighbours are sorted; the ends of orphans move behind the rest of their interval.
normalise(Lines, Parents) ->
    Dynamic = [Id || [<<"op">>, start_dyn, _, Id, _] <- Lines],
    lists:flatmap(fun(Interval) -> orphans_last(Interval, Parents) end,
                  intervals(sort_runs(Lines, Dynamic), [])).

sort_runs([], _) -> [];
sort_runs(Lines, Dynamic) ->
    case lists:splitwith(fun(Line) -> is_end(Line) andalso lists:member(hd(tl(Line)), Dynamic) end, Lines) of
        {[], [Line | Rest]} -> [Line | sort_runs(Rest, Dynamic)];
        {Run, Rest} -> sort_ends(Run) ++ sort_runs(Rest, Dynamic)
    end.

%% An interval ends with the line that says how the tree came to rest.
intervals([], []) -> [];
intervals([], Open) -> [lists:reverse(Open)];
intervals([[What | _] = Line | Lines], Open)
  when What =:= <<"state">>; What =:= <<"root_exit">>; What =:= <<"root_start">> ->
    [lists:reverse(Open), [Line] | intervals(Lines, [])];
intervals([Line | Lines], Open) ->
    intervals(Lines, [Line | Open]).

orphans_last(Interval, Parents) ->
    Killed = [Id || [<<"exit_of">>, Id, _, <<"killed">>] <- Interval],
    Young = [{Id, Incarnation} || [<<"start">>, Id, Incarnation] <- Interval],
    IsOrphanEnd = fun(Line) ->
        is_end(Line) andalso begin
            [_, Id, Incarnation | _] = Line,
            not lists:member({Id, Incarnation}, Young)
                andalso has_ancestor(Id, Killed, Parents)
        end
    end,
    {Orphans, Others} = lists:partition(IsOrphanEnd, Interval),
    Others ++ sort_ends(Orphans).

has_ancestor(Id, Wanted, Parents) ->
    case Parents of
        #{Id := Parent} -> lists:member(Parent, Wanted) orelse has_ancestor(Parent, Wanted, Parents);
        #{} -> false
    end.

parents(Tree, Timeline) ->
    Added = fun
        ([<<"start_child">>, SupId, Node], Parents) -> add_parents(Node, SupId, Parents);
        ([<<"start_dyn">>, SupId, Id], Parents) -> Parents#{Id => SupId};
        (_, Parents) -> Parents
    end,
    lists:foldl(Added, add_children(Tree, #{}), Timeline).

add_parents(#{<<"id">> := Id} = Node, Parent, Parents) ->
    add_children(Node, Parents#{Id => Parent}).

add_children(#{<<"id">> := Id} = Node, Parents) ->
    Children = maps:get(<<"children">>, maps:get(<<"sup">>, Node, #{}), []),
    lists:foldl(fun(Child, Known) -> add_parents(Child, Id, Known) end, Parents, Children).

is_end([What | _]) -> What =:= <<"terminate">> orelse What =:= <<"exit_of">>.

%% By id, incarnation, and terminate before exit.
sort_ends(Lines) ->
    [Line || {_, Line} <- lists:sort([{{Id, Incarnation, What =:= <<"exit_of">>}, Line}
                                      || [What, Id, Incarnation | _] = Line <- Lines])].

%% ------------------------------------------------------------------------- terms in and out

%% A string of a scenario is an atom, an array a tuple.
reason(Word) when is_binary(Word) -> binary_to_atom(Word);
reason(Parts) when is_list(Parts) -> list_to_tuple([reason(Part) || Part <- Parts]);
reason(Other) -> Other.

outcome({ok, Pid}) when is_pid(Pid) -> [<<"ok">>, <<"pid">>];
outcome({ok, undefined}) -> [<<"ok">>, null];
outcome({error, {already_started, _}}) -> [<<"error">>, <<"already_started">>];
outcome({error, {Reason, Child}}) when element(1, Child) =:= child -> [<<"error">>, written(Reason)];
outcome({error, Reason}) -> [<<"error">>, written(Reason)];
outcome(Other) -> written(Other).

%% A reason that carries a stack trace is a raised one.
written({Reason, [{_, _, _, Location} | _]}) when is_list(Location) -> [<<"raised">>, written(Reason)];
written(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
written(Pid) when is_pid(Pid) -> <<"pid">>;
written(Tuple) when is_tuple(Tuple) -> [written(Part) || Part <- tuple_to_list(Tuple)];
written(List) when is_list(List) -> [written(Part) || Part <- List];
written(Other) -> Other.

-include("json.hrl").
