"""Runs honeyguide commands, each in a child forked after everything was loaded: a fault at every step costs no start.

One JSON line in: the arguments of a command, and the file for what it says. One JSON line out: how it ended. Nothing
is computed before the fork, because the threads of polars would not survive it.
"""

from __future__ import annotations

import json
import os
import sys

import honeyguide.api
import honeyguide.cli.main
import honeyguide.data.load
import honeyguide.experiment.bundle
import honeyguide.experiment.update
import honeyguide.models.linear.itemknn
import honeyguide.serve.backup


def run(arguments: list[str], log: str) -> None:
    """The command, as the shell would start it; ends the process."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["honeyguide", *arguments]
    status = 0
    try:
        honeyguide.cli.main.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Until the input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(asked["arguments"], asked["log"])
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
