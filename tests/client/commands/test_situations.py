"""The worst situations of a client: the line that it prints, and its exit code. The table is in ``situations``."""

import pytest
from client.situations import SITUATIONS, act
from client.transfers import fresh_bucket

pytestmark = pytest.mark.slow


def test_at_least_forty_situations_have_distinct_names():
    assert len({(situation.group, situation.what) for situation in SITUATIONS}) == len(SITUATIONS) >= 40
    groups = {situation.group for situation in SITUATIONS}
    assert groups >= {"credentials", "region", "network", "disk", "encoding", "permissions"}


@pytest.mark.parametrize(
    "situation", SITUATIONS, ids=[f"{situation.group}: {situation.what}" for situation in SITUATIONS]
)
def test_each_situation_prints_its_line_and_ends_with_its_exit_code(situation, tmp_path, request):
    outcome = act(situation, tmp_path, lambda: fresh_bucket(request.getfixturevalue("platform")))
    assert "Traceback" not in outcome.stderr
    assert outcome.exit_code == situation.exit_code, outcome
    assert outcome.line(situation).startswith(outcome.expected), outcome
    if situation.exit_code in (2, 3):
        assert outcome.line(situation)
