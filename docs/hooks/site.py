"""What mkdocs cannot do by itself: folders in the navigation, notebooks, CONTRIBUTING.md, formulas without scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[2]
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"(\.\./)+(src|tests|benchmarks|\.ci|Makefile|NOTICE|LICENSE)")
_CODE_OR_MATH = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.M | re.S
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write out ``folder/*`` in the navigation."""
    for entry in config.nav or []:
        for title, pages in entry.items():
            if isinstance(pages, list):
                entry[title] = [page for pattern in pages for page in _matching(Path(config.docs_dir), pattern)]
    return config


def _matching(docs: Path, pattern: Any) -> list[Any]:
    if not (isinstance(pattern, str) and pattern.endswith("/*")):
        return [pattern]
    pages = (page.relative_to(docs).as_posix() for page in docs.glob(f"{pattern}.md"))
    return sorted(page for page in pages if not page.endswith("README.md"))


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
    """Point links to those pages and turn formulas into MathML, which browsers draw by themselves."""
    return _CODE_OR_MATH.sub(_formula, _LINK.sub(_within, markdown))


def _from_root(link: re.Match[str]) -> str:
    text, target = link.groups()
    return f"[{text}]({target.removeprefix('docs/')})" if target.startswith(("docs/", "http")) else text


def _within(link: re.Match[str]) -> str:
    """A link to a file outside the documentation becomes its text."""
    text, target = link.groups()
    if _OUTSIDE.match(target):
        return text
    return f"[{text}]({target.replace('../CONTRIBUTING.md', 'contributing.md').replace('.ipynb', '.md')})"


def _formula(found: re.Match[str]) -> str:
    if found["code"] is not None:
        return found["code"]
    if found["block"] is not None:
        return f"<div>{convert(found['block'], display='block')}</div>"
    return str(convert(found["inline"]))


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
        return f"![](data:image/png;base64,{data['image/png'].replace(chr(10), '')})"
    return f"```text\n{data['text/plain'].rstrip()}\n```" if "text/plain" in data else ""
