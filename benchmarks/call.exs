# Calls a GenServer as often as each line of standard input says, and answers each with the
# nanoseconds that one call took.

defmodule Echo do
  use GenServer

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_call({:say, value}, _from, state), do: {:reply, value, state}
end

defmodule Benchmark do
  def calls(_server, 0), do: :ok

  def calls(server, count) do
    GenServer.call(server, {:say, count})
    calls(server, count - 1)
  end

  def serve(server) do
    case IO.gets("") do
      line when is_binary(line) ->
        count = line |> String.trim() |> String.to_integer()
        {microseconds, :ok} = :timer.tc(fn -> calls(server, count) end)
        IO.puts(microseconds * 1000 / count)
        serve(server)

      _end_of_file ->
        :ok
    end
  end
end

{:ok, server} = GenServer.start_link(Echo, nil)
IO.puts(System.version() <> " on OTP " <> System.otp_release())
Benchmark.serve(server)
