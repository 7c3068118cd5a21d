#!/usr/bin/env escript
%% -*- erlang -*-
%%! -noinput
%%
%% What Erlang does with `timer:send_interval`: `escript intervals.escript`. One line for each rule:
%% its name, and what came of it in some intervals.
-mode(compile).

-define(INTERVAL, 20).

main(_) ->
    [io:format("~s ~s~n", [Name, Rule()]) || {Name, Rule} <- [
        {"holder_ends", fun holder_ends/0},
        {"name_moves", fun name_moves/0},
        {"name_moves_and_first_holder_ends", fun name_moves_and_first_holder_ends/0},
        {"no_holder", fun no_holder/0},
        {"ended_pid", fun ended_pid/0},
        {"late", fun late/0}]].

holder_ends() ->
    First = holder(worker),
    {ok, _} = timer:send_interval(?INTERVAL, worker, tick),
    finish(First),
    register(worker, self()),
    taken(worker).

name_moves() ->
    First = holder(worker),
    {ok, Timer} = timer:send_interval(?INTERVAL, worker, tick),
    unregister(worker),
    register(worker, self()),
    Got = taken(worker),
    {ok, cancel} = timer:cancel(Timer),
    finish(First),
    Got.

name_moves_and_first_holder_ends() ->
    First = holder(worker),
    {ok, _} = timer:send_interval(?INTERVAL, worker, tick),
    unregister(worker),
    register(worker, self()),
    finish(First),
    taken(worker).

no_holder() ->
    {ok, _} = timer:send_interval(?INTERVAL, worker, tick),
    register(worker, self()),
    taken(worker).

ended_pid() ->
    Pid = holder(worker),
    finish(Pid),
    {ok, _} = timer:send_interval(?INTERVAL, Pid, tick),
    taken(none).

%% The timers stand still for ten intervals: are those made up for?
late() ->
    Began = erlang:monotonic_time(millisecond),
    {ok, Timer} = timer:send_interval(?INTERVAL, self(), tick),
    Server = whereis(timer_server),
    erlang:suspend_process(Server),
    timer:sleep(10 * ?INTERVAL),
    erlang:resume_process(Server),
    timer:sleep(?INTERVAL),
    Due = (erlang:monotonic_time(millisecond) - Began) div ?INTERVAL,
    timer:sleep(?INTERVAL),
    {ok, cancel} = timer:cancel(Timer),
    case flush(0) >= Due of true -> "all"; false -> "some" end.

holder(Name) ->
    Self = self(),
    Pid = spawn(fun() -> register(Name, self()), Self ! up, receive finish -> ok end end),
    receive up -> Pid end.

finish(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

%% Whether ticks come; a first one may be on its way.
taken(Name) ->
    timer:sleep(?INTERVAL div 2),
    flush(0),
    timer:sleep(10 * ?INTERVAL),
    [unregister(Name) || Name =/= none],
    case flush(0) of 0 -> "none"; _ -> "some" end.

flush(N) -> receive tick -> flush(N + 1) after 0 -> N end.
