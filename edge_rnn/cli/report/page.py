"""Self-contained HTML pages: one file without external resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from edge_rnn import atomic
from edge_rnn.bench import machine
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.printable import as_html

__all__ = ["Page", "Plot", "check_target", "measured_on", "write"]

_PACKAGES = ("numpy", "numba", "llvmlite", "matplotlib")
_STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#222;--dim:#666;--line:#ddd;--chosen:#c2255c;--mark:#fdeef3}
@media (prefers-color-scheme:dark){:root{--page:#16181b;--ink:#e4e4e4;--dim:#a0a0a0;--line:#3a3d42;--chosen:#f06595;
--mark:#3a2430}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:24px 20px 48px;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.15rem;margin:0 0 .25rem}
section{margin-top:2.2rem}.verdict{font-size:1.15rem;margin:0 0 .75rem;max-width:52em}p{margin:.25rem 0;max-width:62em}
.dim,figcaption,dl{color:var(--dim);font-size:.875rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;margin:0}dd{margin:0}
.scroll{overflow-x:auto;margin-top:.5rem;background:
linear-gradient(90deg,var(--page) 40%,transparent) 0 0/32px 100% no-repeat local,
linear-gradient(270deg,var(--page) 40%,transparent) 100% 0/32px 100% no-repeat local,
linear-gradient(90deg,#8886,transparent) 0 0/12px 100% no-repeat,
linear-gradient(270deg,#8886,transparent) 100% 0/12px 100% no-repeat}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{vertical-align:bottom;font-weight:600}.text,.label{text-align:left}.same{color:var(--dim)}
tr.chosen>*{background:var(--mark);font-weight:600}tr.chosen>:first-child{color:var(--chosen)}
tbody th,td.label{position:sticky;left:0;background:var(--page);text-align:left;vertical-align:baseline}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:2.2rem 2.5rem}
.plots section{min-width:0;margin-top:0}figure{margin:.5rem 0 0}figcaption{margin-top:.4rem}
#sensitivity{grid-column:1/-1}
#sensitivity figure{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:0 2.5rem;
align-items:center}
.lead svg{width:auto;max-width:100%}
svg{display:block;width:100%;max-width:600px;height:auto}svg *{stroke-linejoin:round;stroke-linecap:butt}
@media (max-width:600px){body{padding:16px 14px 32px}th,td{padding:.25rem .45rem}.word{display:none}
.label{white-space:normal}}
""".strip()


@dataclass(frozen=True, slots=True)
class Plot:
    """Plot on a page.

    Parameters
    ----------
    key
        Unique id within the page.
    title, caption
        Plain text.
    svg
        From :func:`edge_rnn.cli.report.svg.as_svg`.
    """

    key: str
    title: str
    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Page:
    """Content of a page, from top to bottom; plain text except for the table.

    Parameters
    ----------
    title
        Title of the window.
    heading, verdict
        Heading, and the result in one or two sentences.
    facts
        Names and values shown below the verdict, such as the files.
    table_title, table_note, table
        Table as HTML, with its heading and explanation.
    plots
        Plots, in columns if there is room.
    measured
        Method of measurement; empty if nothing was measured.
    lead
        Drawing next to the facts, as an ``<svg>`` element; empty for none.
    """

    title: str
    heading: str
    verdict: str
    facts: Mapping[str, str]
    table_title: str
    table_note: str
    table: str
    plots: Iterable[Plot] = ()
    measured: str = ""
    lead: str = ""


def check_target(target: str, option: str = "--report", *, has_plots: bool = True) -> None:
    """Check up front that :func:`write` can write ``target``, which ``option`` got; plots need Matplotlib.

    Raises
    ------
    UnsupportedError
        Matplotlib is not installed.
    InputError
        The name does not end in .html, its folder is missing, or it is a folder.
    """
    if has_plots and find_spec("matplotlib") is None:
        raise UnsupportedError(f"{option} needs matplotlib, which is not installed: pip install 'edge-rnn[plot]'.")
    path = Path(target)
    if path.suffix.lower() != ".html":
        raise InputError(f"{option} got {target!r}, expected a name that ends in .html.")
    if not path.parent.is_dir():
        raise InputError(f"{option} got {target!r}, but there is no folder {str(path.parent)!r}; make it first.")
    if path.is_dir():
        raise InputError(f"{option} got {target!r}, which is a folder; expected a file name.")


def measured_on() -> str:
    """Describe date, processor and versions: ``On 2026-01-02, on this processor, with these versions``."""
    from edge_rnn import __version__

    found = machine.packages().items()
    versions = ", ".join(f"{name} {version}" for name, version in found if version and name in _PACKAGES)
    return (
        f"On {date.today().isoformat()}, on {machine.processor()}, with edge_rnn {__version__}, {machine.python()}, "
        f"{versions}"
    )


def write(target: str, page: Page) -> None:
    """Write a page atomically.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    plots = "\n".join(
        f'<section id="{plot.key}">\n<h2>{as_html(plot.title)}</h2>\n<figure>{plot.svg}\n'
        f"<figcaption>{as_html(plot.caption)}</figcaption></figure>\n</section>"
        for plot in page.plots
    )
    listed = "".join(f"<dt>{as_html(key)}</dt><dd>{as_html(value)}</dd>" for key, value in page.facts.items())
    how = f'<p class="dim">{as_html(page.measured)}</p>'
    measured = f"<section>\n<h2>How it was measured</h2>\n{how}\n</section>" if page.measured else ""
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{as_html(page.title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<header>
<h1>{as_html(page.heading)}</h1>
<p class="verdict">{as_html(page.verdict)}</p>
{f"<dl>{listed}</dl>" if listed else ""}
</header>
{f'<figure class="lead">{page.lead}</figure>' if page.lead else ""}
<section>
<h2>{as_html(page.table_title)}</h2>
<p class="dim">{as_html(page.table_note)}</p>
<div class="scroll" tabindex="0">
{page.table}
</div>
</section>
{f'<section class="plots">{plots}</section>' if plots else ""}
{measured}
</body>
</html>
"""
    atomic.write(target, text.encode())
