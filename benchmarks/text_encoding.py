"""CPU-seconds of turning the titles of a shop into vectors, with and without the cache, each in a new process.

python benchmarks/text_encoding.py          # one thread: OMP_NUM_THREADS=1 is set for the measured processes
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from result_file import write_result

DATA = "amazon-beauty"
_CHILD = """
import json, sys
from honeyguide.core.resources import cpu_seconds, peak_rss_mb
from honeyguide.data.load import load_data
from honeyguide.encode.cache import VectorCache
from honeyguide.encode.items import item_texts, text_vectors
from honeyguide.encode.text import text_encoder
items = load_data(sys.argv[1]).items
texts = item_texts(items, ["title"]) if sys.argv[3] == "titles" else item_texts(items)
start = cpu_seconds()
encoder = text_encoder(sys.argv[2])
vectors = text_vectors(texts, encoder)
print(json.dumps({"texts": len(texts), "characters": sum(map(len, texts)), "cpu_seconds": cpu_seconds() - start,
                  "peak_rss_mb": peak_rss_mb(), "cache_bytes": VectorCache(encoder).size_bytes,
                  "encoder": encoder.name, "version": encoder.version}))
"""


def measure(encoder: str, what: str, cache: str) -> dict[str, float]:
    """One process that reads the texts and encodes them; the clock starts before the encoder is loaded."""
    environment = {**os.environ, "HONEYGUIDE_CACHE": cache, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _CHILD, DATA, encoder, what]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(run.stdout)
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}


def main() -> None:
    """Measure, and write the result after every encoder."""
    results = {}
    protocol = "one thread, a new process each, loading of the encoder included; titles alone, or all text of an item"
    for encoder, what in (("use", "titles"), ("minilm", "titles")):
        with tempfile.TemporaryDirectory() as cache:
            first = measure(encoder, what, cache)
            results[f"{encoder} {what}"] = {"first": first, "cached": measure(encoder, what, cache)}
        print(f"{encoder} {what}: {results[f'{encoder} {what}']}", flush=True)
        write_result("text_encoding", results, dataset=DATA, split="none", protocol=protocol, seeds=[], config={})


if __name__ == "__main__":
    main()
