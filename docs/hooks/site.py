"""What mkdocs cannot do by itself: notebooks as pages, CONTRIBUTING.md as a page, links into the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[2]
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files."""
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "contributing.md", content=_LINK.sub(_from_root, contributing)))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        content = notebook_page(Path(config.docs_dir) / notebook.src_uri)
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to those pages; a link to a file outside the documentation becomes its name."""
    return _LINK.sub(_within, markdown)


def _from_root(link: re.Match[str]) -> str:
    text, target = link.groups()
    return f"[{text}]({target.removeprefix('docs/')})" if target.startswith(("docs/", "http")) else text


def _within(link: re.Match[str]) -> str:
    text, target = link.groups()
    if target.endswith("../CONTRIBUTING.md"):
        target = target.replace("../CONTRIBUTING.md", "contributing.md")
    elif target.startswith("../") and re.match(r"(\.\./)+(src|tests|benchmarks|\.ci|Makefile|NOTICE|LICENSE)", target):
        return text
    return f"[{text}]({target.replace('.ipynb', '.md')})"


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its text, its code, and what the code printed."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts.extend(_output(output) for output in cell.outputs)
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```"
    data = output.get("data", {})
    if "image/png" in data:
        image = data["image/png"].replace("\n", "")
        return f"![]({'data:image/png;base64,' + image})"
    if "text/html" in data:
        return re.sub(r"\n\s*\n", "\n", data["text/html"])  # a blank line would end the HTML block
    return f"```text\n{data['text/plain'].rstrip()}\n```" if "text/plain" in data else ""
