from __future__ import annotations

from tests.agent.test_lm_parser import Scripted
from tests.serve.conftest import Served

from honeyguide.lm.port import LMError


def test_a_language_model_says_how_commands_are_meant_and_its_failure_is_in_the_answer(served: Served) -> None:
    served.engine.lm = Scripted({"rowling": "exclude", "spare": "ignore"}, LMError("the endpoint is down."))
    out = served.post("/v1/command", {"user_id": "ann", "command": "spare me rowling"})
    assert out["heard"] and not out["note"]
    (want,) = out["preferences"]
    assert want["said"].startswith("no authors: J.K. Rowling")
    out = served.post("/v1/command", {"user_id": "ann", "command": "before 1990"})
    assert "the endpoint is down" in out["note"], "the grammar understood instead"
    assert len(out["preferences"]) == 2
