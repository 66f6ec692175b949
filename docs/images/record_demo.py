"""Record the output of ``edge-rnn demo`` in a terminal, as ``demo.svg`` in this folder.

    python docs/images/record_demo.py

The command runs in a terminal of its own, 96 columns wide. The figures in the picture are those of the machine that
it runs on; the caption in README.md names it.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

__all__ = ["main"]

COLUMNS, ROWS = 96, 40
PROMPT = "$ edge-rnn demo\n"
REWRITE = re.compile(rb"\r?(?:\x1b\[2K|\x1b\[1A\x1b\[2K)+")  # how rich moves back to draw a frame again
CHARACTER_WIDTH, CHARACTER_HEIGHT, LINE_HEIGHT = 12.2, 20, 24.4  # of rich's SVG
BLOCKS = dict(zip(" ▏▎▍▌▋▊▉█", (eighths / 8 for eighths in range(9)), strict=True))
BLOCK_TEXT = re.compile(
    rf'<text class="([^"]+)" x="([^"]+)" y="([^"]+)"[^>]*>([{"".join(BLOCKS)[1:]}]+)(?:&#160;)*</text>'
)
THEME = TerminalTheme(
    (23, 27, 34),
    (222, 226, 232),
    [
        *((23, 27, 34), (224, 108, 117), (122, 200, 140), (229, 192, 123)),
        *((97, 175, 239), (198, 120, 221), (86, 182, 194), (222, 226, 232)),
    ],
)
SVG = """\
<svg viewBox="0 0 FRAME_WIDTH FRAME_HEIGHT" xmlns="http://www.w3.org/2000/svg" role="img">
<title>edge-rnn demo in a terminal: activities of a smart watch's wearer, recognized sample by sample</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
<rect width="FRAME_WIDTH" height="FRAME_HEIGHT" rx="8" fill="#171b22" />
<g transform="translate(14, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def recorded(command: list[str]) -> bytes:
    """Return everything that a command writes to a terminal of ``COLUMNS`` by ``ROWS``."""
    process, terminal = pty.fork()
    if not process:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # no spinners
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    written = bytearray()
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        if not piece:
            break
        written += piece
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return bytes(written)


def last_screen(written: bytes) -> str:
    """Return the last frame of the live view, and everything printed below it."""
    frames = [frame for frame in REWRITE.split(written) if frame.strip()]
    start = max(number for number, frame in enumerate(frames) if "╭".encode() in frame)
    text = b"".join(frames[start:]).decode().replace("\r\n", "\n")
    text = re.sub(r"\x1b\[[?\d]*[a-ln-zA-Z]", "", text)  # keep colors alone
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def rectangle(text: re.Match[str]) -> str:
    """Draw block characters as a rectangle: fonts leave gaps between them."""
    style, x, y, blocks = text.groups()
    width = CHARACTER_WIDTH * sum(BLOCKS[block] for block in blocks)
    top = float(y) - CHARACTER_HEIGHT + 1.5
    return f'<rect class="{style}" x="{x}" y="{top:g}" width="{width:g}" height="{LINE_HEIGHT}" />'


def framed(svg: str) -> str:
    """Fill in the size of the picture: the terminal and a margin."""
    width, height = (float(size) for size in re.search(r'<rect width="([\d.]+)" height="([\d.]+)"', svg).groups())
    return svg.replace("FRAME_WIDTH", f"{width + 28:g}").replace("FRAME_HEIGHT", f"{height + 28:g}")


def main() -> None:
    """Record the demo and write the picture."""
    command = [sys.executable, "-m", "edge_rnn", "demo"]
    recorded(command)  # compile the kernels first
    screen = last_screen(recorded(command))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text(PROMPT), end="")
    console.print(Text.from_ansi(screen))
    svg = framed(console.export_svg(title="", theme=THEME, code_format=SVG, unique_id="demo"))
    svg = BLOCK_TEXT.sub(rectangle, svg)
    target = Path(__file__).with_name("demo.svg")
    target.write_text(svg, encoding="utf-8")
    print(f"{target.name}: {len(svg):,} bytes")
    print(re.sub(r"\x1b\[[\d;]*m", "", screen))


if __name__ == "__main__":
    main()
