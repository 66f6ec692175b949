"""The demo without the host side: playing, scoring, lines, the live picture, the plot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import needs
from edge_rnn import Model, Stream, data_path, load, plugins
from edge_rnn.cli import main
from edge_rnn.cli.demo import play as demo_play
from edge_rnn.cli.demo.play import Recording, load_recording, play, score
from edge_rnn.cli.demo.view import show_lines, show_live
from edge_rnn.errors import FileError

LABELS = ("Standing", "Running", "Walking", "Badminton")


@pytest.fixture
def recording() -> Recording:
    return load_recording(data_path("smart_watch/recording.npz"), 500)


@pytest.fixture
def model() -> Model:
    return load(data_path("smart_watch/gru.safetensors"))


class Clock:
    """Clock that moves only during sleep, and then by too much."""

    def __init__(self, too_much: float) -> None:
        self.now = 1000.0
        self.too_much = too_much

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.too_much


@pytest.mark.parametrize("rate_hz", [10.0, 1000.0])
def test_play_keeps_time_without_drift(
    rate_hz: float, model: Model, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(too_much=0.03)
    monkeypatch.setattr(demo_play, "time", clock)
    out = np.zeros((500, 4), np.float32)
    start, done = clock.now, 0
    for count in play(Stream(model), recording.x, out, rate_hz):
        assert count == min(500, int((clock.now - start) * rate_hz) + 1)
        assert count > done
        done = count
    assert done == 500
    last = 499 / rate_hz
    assert last <= clock.now - start <= last + demo_play.FRAME_SECONDS + 2 * clock.too_much
    assert np.array_equal(out, Stream(model).run(recording.x))


def test_play_at_once(model: Model, recording: Recording) -> None:
    out = np.zeros((500, 4), np.float32)
    assert list(play(Stream(model), recording.x, out, None)) == [100, 200, 300, 400, 500]
    assert np.array_equal(out, Stream(model).run(recording.x))


def test_score() -> None:
    recording = Recording(
        np.zeros((7, 1), np.float32), np.array([1, 1, 1, 0, 0, 1, 1]), np.array([5, 5, 5, 2, 2, 3, 3])
    )
    parts = score(recording, np.array([1, 0, 1, 1, 1, 1]))
    assert [(part.start, part.stop, part.truth, part.majority, part.right) for part in parts] == [
        (0, 3, 1, 1, 2),
        (3, 5, 0, 1, 0),
        (5, 6, 1, 1, 1),
    ]


def test_damaged_recording(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 not a zip"):
        (tmp_path / "r.npz").write_bytes(content)
        with pytest.raises(FileError, match=r"r\.npz: the recording cannot be read"):
            load_recording(tmp_path / "r.npz")
    with pytest.raises(FileError, match="cannot be read"):
        load_recording(tmp_path / "none.npz")


def test_lines(model: Model, recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    out = np.zeros((500, 4), np.float32)
    show_lines(LABELS, recording, out, play(Stream(model), recording.x, out, None))
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["recording", "samples", "truth", "network", "correct"]
    for number, (line, part) in enumerate(zip(lines, score(recording, out.argmax(1)), strict=True), start=1):
        expected = [number, part.start, LABELS[part.truth], LABELS[part.majority], part.right, "of", 100]
        assert line.split() == [str(each) for each in expected]


def picture(model: Model, recording: Recording, width: int, colours: Any) -> list[str]:
    """The last picture of a live view, line by line."""
    console = Console(
        file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=colours, legacy_windows=False
    )
    out = np.zeros((len(recording), 4), np.float32)
    done = play(Stream(model), recording.x, out, None)
    show_live(console, "watch", LABELS, recording, out, (count for count in done if count in (300, 500)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return text[text.rindex("╭") :].splitlines()


@pytest.mark.parametrize("width", [40, 80, 133])
def test_live_picture_without_colours_spells_the_labels(width: int, model: Model, recording: Recording) -> None:
    lines = picture(model, recording, width, None)
    assert all(len(line) == width for line in lines[:-1] if not line.startswith("\x1b"))
    (truth,) = (line for line in lines if line.startswith("│ truth"))
    cells = truth.removeprefix("│ truth").strip(" │")
    assert len(cells) == width - 13
    expected = [LABELS[recording.y[int((i + 0.5) * 500 / len(cells))]][0] for i in range(len(cells))]
    wrong = sum(got != want for got, want in zip(cells, expected, strict=True))
    assert wrong <= 5  # a cell may straddle the border of two recordings
    assert any("500 of 500 samples" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 133])
def test_bars_fill_the_width(width: int, model: Model, recording: Recording) -> None:
    lines = [line for line in picture(model, recording, width, None) if "% " in line and "accuracy" not in line]
    assert len(lines) == 4
    ends = {line.index("%") + 1 for line in lines}
    assert ends == {width - 2 - len(" ◂ truth")}


def test_interrupt_keeps_the_summary(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(stream: Stream, xs: Any, out: Any, rate_hz: float | None) -> Any:
        for count in demo_play_once(stream, xs, out, rate_hz):
            if count > 300:
                raise KeyboardInterrupt
            yield count

    demo_play_once = play
    monkeypatch.setattr(demo_play, "play", interrupted)
    monkeypatch.setattr(plugins, "_entry_points", lambda group: {})
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert "of samples; 3 of 3 recordings by majority vote" in out
    assert "edge-rnn: interrupted after 300 samples; the summary is of these." in err


def test_interrupt_before_the_first_sample(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(demo_play, "play", interrupted)
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert "accuracy" not in out
    assert err == "edge-rnn: interrupted.\n"


@pytest.mark.parametrize("width", [1, 12])
def test_live_picture_in_hardly_any_space(width: int, model: Model, recording: Recording) -> None:
    assert picture(model, recording, width, None)


def test_live_picture_in_colours(model: Model, recording: Recording) -> None:
    lines = picture(model, recording, 80, "truecolor")
    (truth,) = (line for line in lines if " truth   " in line)
    assert "38;2;86;180;233" in truth  # Standing
    assert truth.count("▌") == 67


@pytest.fixture
def without_host_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entry_points", lambda group: {})


@pytest.mark.usefixtures("without_host_side")
def test_demo_without_the_host_side(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--samples", "200", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["steps"] == 200
    assert found["onnx_max_abs_error"] is found["onnxruntime_ns_p50"] is None
    assert "pip install 'edge-rnn[export]'" in found["onnx_missing"]
    assert (found["weight_bytes"], found["state_bytes"]) == tuple(Stream(model).memory)

    assert main(["demo", "--samples", "200"]) == 0
    out = capsys.readouterr().out
    assert "not compared: edge_rnn_export is not installed" in out
    assert "2 of 2 recordings" in out


@pytest.mark.usefixtures("without_host_side")
@pytest.mark.parametrize(("kind", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
@pytest.mark.sampled(2)
def test_plot(kind: str, magic: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.package("matplotlib")
    target = tmp_path / f"wrist{kind}"
    target.write_text("an older picture")
    assert main(["demo", "--samples", "300", "--json", "--plot", str(target)]) == 0
    assert target.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [target]
    assert json.loads(capsys.readouterr().out)["steps"] == 300


def test_plot_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], Any] = lambda name: None  # noqa: E731
    monkeypatch.setattr("edge_rnn.cli.report.style.find_spec", find)
    assert main(["demo", "--plot", "wrist.png"]) == 1
    assert "pip install 'edge-rnn[plot]'" in capsys.readouterr().err
