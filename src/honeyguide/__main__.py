"""``python -m honeyguide`` is ``honeyguide``."""

from __future__ import annotations

from honeyguide.cli.main import main

if __name__ == "__main__":
    main()
