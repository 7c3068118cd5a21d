"""OTP is the judge: the same scenarios are played on candil and on real Erlang, and must agree."""
