from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.lm.server import serving
from typer.testing import CliRunner

from honeyguide.cli.main import app


def run(*line: str, given: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["ask", *line], input=given)
    return done.exit_code, done.stdout, done.stderr


def test_an_answer_is_printed_and_what_it_cost_is_noted() -> None:
    with serving() as (url, answers):
        code, said, noted = run("what?", "--model", f"tiny@{url}", "--system", "be brief")
    assert (code, said) == (0, "echo: what?\n") and "10 tokens read, 5 written" in noted
    assert answers.asked[0]["messages"][0] == {"role": "system", "content": "be brief"}


def test_json_and_a_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    with serving() as (url, answers):
        line = ["-", "-m", f"tiny@{url}", "--schema", str(tmp_path / "schema.json"), "--json"]
        code, said, _ = run(*line, given="from outside")
    found = json.loads(said)
    assert code == 0 and json.loads(found["text"]) == {"echo": 1} and found["usage"]["answer_tokens"] == 5
    assert answers.asked[0]["messages"][-1]["content"] == "from outside"


@pytest.mark.parametrize("content", ["[1]", "{", None])
def test_a_file_that_holds_no_schema_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_text(content)
    code, _, noted = run("what?", "--schema", str(file), "-m", "tiny@http://localhost:9/v1")
    assert code == 2 and "holds no JSON schema" in noted


def test_an_unknown_model_is_refused() -> None:
    code, _, noted = run("what?", "-m", "nonesuch")
    assert code == 2 and "no language model 'nonesuch'" in noted
