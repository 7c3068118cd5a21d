%% Just enough JSON for scenarios and traces; OTP has had its own only since 27.
from_json(Text) ->
    {Value, _} = value(trimmed(Text)),
    Value.

trimmed(Text) -> string:trim(Text, leading, " \t\r\n").

value(<<"null", Rest/binary>>) -> {null, Rest};
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<$", Rest/binary>>) -> text(Rest, []);
value(<<$[, Rest/binary>>) -> members(trimmed(Rest), $], fun value/1, []);
value(<<${, Rest/binary>>) ->
    {Pairs, After} = members(trimmed(Rest), $}, fun pair/1, []),
    {maps:from_list(Pairs), After};
value(Text) ->
    {Digits, Rest} = string:take(Text, "-0123456789"),
    {binary_to_integer(Digits), Rest}.

members(<<Close, Rest/binary>>, Close, _, Found) -> {lists:reverse(Found), Rest};
members(<<$,, Rest/binary>>, Close, Member, Found) -> members(trimmed(Rest), Close, Member, Found);
members(Text, Close, Member, Found) ->
    {Value, Rest} = Member(Text),
    members(trimmed(Rest), Close, Member, [Value | Found]).

pair(<<$", Text/binary>>) ->
    {Key, Rest} = text(Text, []),
    <<$:, After/binary>> = trimmed(Rest),
    {Value, Left} = value(trimmed(After)),
    {{Key, Value}, Left}.

text(<<$", Rest/binary>>, Found) -> {unicode:characters_to_binary(lists:reverse(Found)), Rest};
text(<<$\\, Escaped/utf8, Rest/binary>>, Found) -> text(Rest, [Escaped | Found]);
text(<<Character/utf8, Rest/binary>>, Found) -> text(Rest, [Character | Found]).

to_json(Map) when is_map(Map) ->
    Pairs = [[to_json(Key), $:, to_json(Value)] || {Key, Value} <- lists:sort(maps:to_list(Map))],
    [${, lists:join($,, Pairs), $}];
to_json(List) when is_list(List) -> [$[, lists:join($,, [to_json(Value) || Value <- List]), $]];
to_json(Text) when is_binary(Text) -> [$", [escaped(Character) || <<Character/utf8>> <= Text], $"];
to_json(Number) when is_integer(Number) -> integer_to_list(Number);
to_json(Word) when Word =:= true; Word =:= false; Word =:= null -> atom_to_list(Word);
to_json(Atom) -> to_json(atom_to_binary(Atom)).

escaped(Character) when Character =:= $"; Character =:= $\\ -> [$\\, Character];
escaped(Character) -> Character.
