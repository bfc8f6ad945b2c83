"""CPU-seconds of the packaged language model: reading, writing, choosing among 20 titles; a process for each back end.

python benchmarks/lm_speed.py          # one thread; SmolLM2-135M-Instruct
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from result_file import write_result

BACK_ENDS = ("smollm2", "transformers:smollm2")
TITLES = 20
_CHILD = """
import json, sys
from honeyguide.core.resources import cpu_seconds, peak_rss_mb
from honeyguide.data.load import load_data
from honeyguide.lm.port import Prompt
from honeyguide.lm.registry import language_model
lm = language_model(sys.argv[1])
titles = load_data("goodbooks-mini").items["title"].to_list()
found = {"model": lm.name.rpartition("/")[2]}
start = cpu_seconds()
lm.generate([Prompt.of("Hi", max_tokens=1)])
found["load"] = cpu_seconds() - start

def timed(prompt):
    start = cpu_seconds()
    usage = lm.generate([prompt])[0].usage
    return cpu_seconds() - start, usage

long = "A reader liked: " + "; ".join(titles[100:160]) + ". What next?"
read, usage = timed(Prompt.of(long, max_tokens=1))
found["read_tokens"], found["read_per_second"] = usage.prompt_tokens, usage.prompt_tokens / read
both, more = timed(Prompt.of("Tell a story of a bird that leads people to honey.", max_tokens=32))
short, less = timed(Prompt.of("Tell a story of a bird that leads people to honey.", max_tokens=1))
found["write_tokens"] = more.answer_tokens - less.answer_tokens
found["write_per_second"] = found["write_tokens"] / max(both - short, 1e-9)
options = [title[:40] for title in titles[:int(sys.argv[2])]]
start = cpu_seconds()
choice = lm.choose(Prompt.of("A reader liked: " + "; ".join(t[:30] for t in titles[100:104]) + ". Which book next?"),
                   options, calibrate=Prompt.of("Which book next?"))
spent = cpu_seconds() - start
found |= {"passes": choice.passes, "choose": spent, "tokens_per_pass": choice.usage.prompt_tokens / choice.passes,
          "choose_per_pass": spent / choice.passes, "peak_rss_mb": peak_rss_mb()}
found["choose_per_250_tokens"] = spent / choice.usage.prompt_tokens * 250
print(json.dumps(found))
"""


def measure(name: str) -> dict[str, float]:
    """One back end in a process of its own; the conversion for transformers is done before."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _CHILD, name, str(TITLES)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(run.stdout.strip().rpartition("\n")[2])
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def main() -> None:
    """Measure both, and write the result after each."""
    from honeyguide.lm.convert import converted
    from honeyguide.lm.llama import smollm2_file

    converted(smollm2_file())
    results = {}
    protocol = "one thread, CPU-seconds, a new process for each back end; choose: both orders and a neutral prompt"
    for name in BACK_ENDS:
        results[name] = measure(name)
        print(name, results[name], flush=True)
        write_result(
            "lm_speed",
            results,
            dataset="goodbooks-mini",
            split="none",
            protocol=protocol,
            seeds=[0],
            config={"titles": TITLES},
        )


if __name__ == "__main__":
    main()
