#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1:1 -noinput
%%
%% What Erlang itself does with a program: `escript oracle.escript PROGRAMS.jsonl > traces.jsonl`.
%%
%% The player tells processes what to do, one command at a time, and after each waits until nothing
%% moves any more. The recorder, an ETS table, knows who is who. The player traces the processes, because a
%% monitor that is set after a death no longer learns its reason.
%%
%% One scheduler (+S 1:1), as for the supervisors.
-module(oracle).
-mode(compile).
-export([main/1]).

-define(LIMIT_MS, 20000).
-define(QUIET_ROUNDS, 3).
-define(NEVER_MS, 1000000000).
-define(SOON_MS, 1).

main(Files) ->
    logger:set_primary_config(level, none),
    ok = io:setopts(standard_io, [{encoding, unicode}]),
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
    Before = processes(),
    {Player, Monitor} = spawn_monitor(fun() -> exit({trace, play(Program)}) end),
    Trace = receive
        {'DOWN', Monitor, process, Player, {trace, Lines}} -> Lines;
        {'DOWN', Monitor, process, Player, Crash} ->
            [[<<"driver_crash">>, iolist_to_binary(io_lib:format("~0p", [Crash]))]]
    after ?LIMIT_MS ->
        [[<<"limit">>]]
    end,
    lists:foreach(fun bury/1, processes() -- Before),
    #{<<"name">> => maps:get(<<"name">>, Program, null), <<"trace">> => Trace}.

bury(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

play(#{<<"processes">> := Ids, <<"timeline">> := Timeline}) ->
    ets:new(recorder, [named_table, public]),
    put(player, self()),
    [erlang:trace(spawn_process(spawn, Id, []), true, [procs, set_on_spawn]) || Id <- Ids],
    {Lines, _} = lists:foldl(fun play_step/2, snapshot([], #{}), Timeline),
    lists:append(lists:reverse(Lines)).

%% Both the lines and the snapshot that the last of them tell of.
play_step([Id | Op] = Step, {Lines, Seen}) ->
    Done = [[<<"do">> | Step]],
    case living(Id) of
        none -> {[Done ++ [[<<"gone">>, Id]] | Lines], Seen};
        Pid -> command(Pid, [Op]), snapshot([Done | Lines], Seen)
    end.

snapshot(Lines, Seen) ->
    settle(population(), 0),
    {Notes, Deaths} = collect([], []),
    States = maps:from_list([{Id, state(living(Id))} || Id <- population()]),
    Changed = [[<<"state">>, Id, State]
               || {Id, State} <- lists:sort(maps:to_list(States)), maps:get(Id, Seen, none) =/= State],
    [add_step_mark(living(Id)) || Id <- maps:keys(States)],
    {[Notes ++ Deaths ++ Changed | Lines], States}.

%% At rest: everybody has answered a few times over, and meanwhile nobody has come or gone.
settle(_, ?QUIET_ROUNDS) -> ok;
settle(Before, Quiet) ->
    [command(living(Id), []) || Id <- Before],
    case population() of
        Before -> settle(Before, Quiet + 1);
        Others -> settle(Others, 0)
    end.

%% Has a process do something, and waits until it is done or dead.
command(none, _) -> ok;
command(Pid, Ops) ->
    Monitor = monitor(process, Pid),
    Pid ! {command, Monitor, Ops},
    receive
        {done, Monitor} -> demonitor(Monitor, [flush]);
        {'DOWN', Monitor, process, Pid, _} -> true
    end.

population() ->
    lists:sort([Id || [Id, Pid] <- ets:match(recorder, {{process, '$1'}, '$2'}), is_process_alive(Pid)]).

living(Id) ->
    case ets:lookup(recorder, {process, Id}) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> none end;
        [] -> none
    end.

%% What the processes have told, and who has died, each in the order of their ids.
collect(Notes, Deaths) ->
    receive
        {note, Id, What, Result} -> collect([[<<"note">>, Id, What, Result] | Notes], Deaths);
        {trace, Pid, exit, Reason} -> collect(Notes, [[<<"died">>, id(Pid), written(Reason)] | Deaths]);
        Other when element(1, Other) =:= trace -> collect(Notes, Deaths)
    after 0 ->
        {by_id(lists:reverse(Notes)), by_id(lists:reverse(Deaths))}
    end.

by_id(Lines) -> [Line || {_, Line} <- lists:keysort(1, [{Id, Line} || [_, Id | _] = Line <- Lines])].

state(Pid) ->
    Keys = [links, trap_exit, registered_name, monitors, monitored_by, messages],
    [Links, Traps, Name, Monitors, Watchers, Messages] =
        [Value || {_, Value} <- process_info(Pid, Keys)],
    {message_queue_len, Length} = process_info(Pid, message_queue_len),
    State = #{<<"links">> => ids(Links),
              <<"trap_exit">> => Traps,
              <<"name">> => Name,
              <<"monitors">> => length(Monitors),
              <<"monitored_by">> => ids(Watchers),
              <<"message_queue_len">> => Length - length([found || step_mark <- Messages]),
              <<"mailbox">> => [written_message(Message) || Message <- in_one_order(Messages)]},
    maps:filter(fun(_, Value) -> not lists:member(Value, [[], 0, false]) end, State).

%% Between two step_marks only the order of each sender is fixed.
in_one_order([]) -> [];
in_one_order(Messages) ->
    {Interval, Rest} = lists:splitwith(fun(Message) -> Message =/= step_mark end, Messages),
    Sorted = lists:keysort(1, [{sender(Message), Message} || Message <- Interval]),
    [Message || {_, Message} <- Sorted] ++ in_one_order(lists:nthtail(min(1, length(Rest)), Rest)).

add_step_mark(Pid) ->
    {messages, Messages} = process_info(Pid, messages),
    case Messages =/= [] andalso lists:last(Messages) =/= step_mark of
        true -> Pid ! step_mark;
        false -> none
    end.

sender({message, From, _}) -> From;
sender({'EXIT', Pid, _}) -> id(Pid);
sender({'DOWN', Ref, _, _, _}) -> {_, Target} = monitor_of(Ref), Target.

written_message({message, From, Tag}) -> [<<"message">>, From, Tag];
written_message({'EXIT', Pid, Reason}) -> [<<"exit">>, id(Pid), written(Reason)];
written_message({'DOWN', Ref, process, Pid, Reason}) when is_pid(Pid) ->
    {Key, _} = monitor_of(Ref),
    [<<"down">>, Key, id(Pid), written(Reason)];
written_message({'DOWN', Ref, process, _NameAndNode, Reason}) ->
    {Key, _} = monitor_of(Ref),
    [<<"down">>, Key, <<"by name">>, written(Reason)].

%% ----------------------------------------------------------------------------------- the recorder

id(Pid) -> ets:lookup_element(recorder, {id, Pid}, 2).

%% Without the player, who watches everybody now and then.
ids(Pids) -> lists:sort([id(Pid) || Pid <- Pids, ets:member(recorder, {id, Pid})]).

pid(Id) -> entry({process, Id}).

monitor_of(Ref) -> ets:lookup_element(recorder, {ref, Ref}, 2).

%% What the program never got to is unknown.
entry(Key) ->
    case ets:lookup(recorder, Key) of
        [{_, Value}] -> Value;
        [] -> throw(unknown)
    end.

enter_process(Id, Pid) -> ets:insert(recorder, [{{process, Id}, Pid}, {{id, Pid}, Id}]).

enter_monitor(Key, Target, Ref) ->
    ets:insert(recorder, [{{monitor, get(id), Key}, Ref}, {{ref, Ref}, {Key, Target}}]).

%% ---------------------------------------------------------------------------------- a process

spawn_process(Function, Id, Script) ->
    Player = get(player),
    Body = fun() ->
        put(player, Player),
        put(id, Id),
        put(wanted, #{}),
        try lists:foreach(fun do/1, Script), live() catch throw:return -> ok end
    end,
    case Function of
        spawn -> Pid = spawn(Body), enter_process(Id, Pid), Pid;
        spawn_link -> Pid = spawn_link(Body), enter_process(Id, Pid), Pid;
        {spawn_monitor, Key} ->
            {Pid, Ref} = spawn_monitor(Body),
            enter_process(Id, Pid),
            enter_monitor(Key, Id, Ref),
            Pid
    end.

live() ->
    Wanted = get(wanted),
    case next(Wanted, infinity) of
        {command, Tag, Ops} ->
            lists:foreach(fun do/1, Ops),
            get(player) ! {done, Tag};
        Message ->
            {Ops, Others} = maps:take(key_of(Message), Wanted),
            put(wanted, Others),
            note(<<"want">>, written_message(Message)),
            lists:foreach(fun do/1, Ops)
    end,
    live().

%% The next command or message that is looked for, in the order of the mailbox.
next(Keys, Timeout) ->
    receive
        {command, _, _} = Command -> Command;
        {message, From, _} = Message when is_map_key({message, From}, Keys) -> Message;
        {'EXIT', Pid, _} = Signal when is_map_key({exit, Pid}, Keys) -> Signal;
        {'DOWN', Ref, _, _, _} = Down when is_map_key({down, Ref}, Keys) -> Down
    after Timeout ->
        nothing
    end.

key_of({message, From, _}) -> {message, From};
key_of({'EXIT', Pid, _}) -> {exit, Pid};
key_of({'DOWN', Ref, _, _, _}) -> {down, Ref}.

note(What, Result) -> get(player) ! {note, get(id), What, Result}.

do([<<"burst">>, Ops]) -> lists:foreach(fun do/1, Ops);
do([<<"return">>]) -> throw(return);
do([<<"exit">>, Reason]) -> exit(reason(Reason));
do([<<"raise">>, Reason]) -> erlang:error(reason(Reason));
do([What | Arguments]) ->
    Result = try op(What, Arguments)
             catch throw:unknown -> <<"unknown">>; error:badarg -> <<"badarg">>; error:noproc -> <<"noproc">>
             end,
    %% What has nothing to tell answers true, as most functions of the erlang module do.
    Result =:= true orelse note(What, Result).

op(<<"send">>, [Target, Tag]) -> target(Target) ! {message, get(id), Tag}, true;
op(<<"link">>, [Id]) -> link(pid(Id));
op(<<"unlink">>, [Id]) -> unlink(pid(Id));
op(<<"monitor">>, [Key, Target]) -> enter_monitor(Key, Target, monitor(process, target(Target)));
op(<<"demonitor">>, [Key]) -> demonitor(entry({monitor, get(id), Key}));
op(<<"demonitor">>, [Key, <<"flush">>]) -> demonitor(entry({monitor, get(id), Key}), [flush]);
op(<<"trap_exit">>, [Flag]) -> [process_flag(trap_exit, Flag)];
op(<<"signal">>, [Id, Reason]) -> exit(pid(Id), reason(Reason));
op(<<"register">>, [Name, Id]) -> register(binary_to_atom(Name), pid(Id));
op(<<"unregister">>, [Name]) -> unregister(binary_to_atom(Name));
op(<<"whereis">>, [Name]) ->
    case whereis(binary_to_atom(Name)) of undefined -> [null]; Pid -> [id(Pid)] end;
op(<<"is_alive">>, [Id]) -> [is_process_alive(pid(Id))];
op(<<"info">>, []) ->
    Keys = [links, trap_exit, registered_name, monitors],
    [Links, Traps, Name, Monitors] = [Value || {_, Value} <- process_info(self(), Keys)],
    [ids(Links), Traps, Name, length(Monitors)];
op(<<"receive">>, [Kind, Who]) ->
    case next(keys(Kind, Who), 0) of nothing -> <<"nothing">>; Message -> written_message(Message) end;
op(<<"want">>, [Kind, Who, Ops]) ->
    Keys = maps:map(fun(_, _) -> Ops end, keys(Kind, Who)),
    put(wanted, maps:merge(get(wanted), Keys)),
    true;
op(<<"spawn">>, [Id, Script]) -> spawn_process(spawn, Id, Script), true;
op(<<"spawn_link">>, [Id, Script]) -> spawn_process(spawn_link, Id, Script), true;
op(<<"spawn_monitor">>, [Id, Key, Script]) -> spawn_process({spawn_monitor, Key}, Id, Script), true;
op(<<"send_after">>, [Key, Target, Tag]) -> start_timer(Key, ?NEVER_MS, Target, Tag);
op(<<"send_soon">>, [Key, Target, Tag]) ->
    start_timer(Key, ?SOON_MS, Target, Tag),
    erlang:send_after(?SOON_MS + 1, self(), due),
    receive due -> true end;
op(<<"cancel_timer">>, [Key]) ->
    case erlang:cancel_timer(entry({timer, Key})) of false -> [null]; _Left -> [<<"some">>] end.

start_timer(Key, Milliseconds, Target, Tag) ->
    Timer = erlang:send_after(Milliseconds, target(Target), {message, get(id), Tag}),
    ets:insert(recorder, {{timer, Key}, Timer}).

target(<<"@", Name/binary>>) -> binary_to_atom(Name);
target(Id) -> pid(Id).

keys(<<"message">>, Id) -> #{{message, Id} => []};
keys(<<"exit">>, Id) -> #{{exit, pid(Id)} => []};
keys(<<"down">>, Key) -> #{{down, entry({monitor, get(id), Key})} => []};
keys(<<"any">>, Id) ->
    Refs = [Ref || [Key, Ref] <- ets:match(recorder, {{monitor, get(id), '$1'}, '$2'}),
                   monitor_of(Ref) =:= {Key, Id}],
    maps:from_list([{{message, Id}, []}, {{exit, pid(Id)}, []} | [{{down, Ref}, []} || Ref <- Refs]]).

%% ------------------------------------------------------------------------- terms in and out

%% A string of a program is an atom, an array a tuple.
reason(Word) when is_binary(Word) -> binary_to_atom(Word);
reason(Parts) when is_list(Parts) -> list_to_tuple([reason(Part) || Part <- Parts]);
reason(Other) -> Other.

%% A reason that carries a stack trace is a raised one.
written({Reason, [{_, _, _, Location} | _]}) when is_list(Location) -> [<<"raised">>, written(Reason)];
written(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
written(Tuple) when is_tuple(Tuple) -> [written(Part) || Part <- tuple_to_list(Tuple)];
written(Other) -> Other.

-include("../json.hrl").
