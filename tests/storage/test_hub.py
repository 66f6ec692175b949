"""Models on the Hugging Face Hub, against a fake Hub on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_rnn
import needs
from edge_rnn.cli import main
from edge_rnn.errors import FileAccessError, FileError, InputError, MissingFileError, UnsupportedError
from edge_rnn.storage.hub import HubAddress, local_file, named_after
from fake_hub import FakeHub, fake_hub

WATCH = edge_rnn.data_path("smart_watch/gru.safetensors")
REBER = edge_rnn.data_path("reber/lstm.safetensors")


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint, as HF_ENDPOINT does before huggingface_hub is imported."""
    constants = needs.package("huggingface_hub", "huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with a model, and an empty cache."""
    constants = needs.package("huggingface_hub", "huggingface_hub.constants")
    with fake_hub() as served:
        files = {"model.safetensors": WATCH.read_bytes(), "small/lstm.safetensors": REBER.read_bytes()}
        served.models["someone/wrist"] = {"main": files, "v1": {"model.safetensors": REBER.read_bytes()}}
        point_to(served.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield served


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://someone/wrist", HubAddress("someone/wrist")),
        ("hf://someone/wrist@v1", HubAddress("someone/wrist", revision="v1")),
        ("hf://someone/wrist/a/b.safetensors", HubAddress("someone/wrist", "a/b.safetensors")),
        ("hf://someone/wrist/b.safetensors@v1.2", HubAddress("someone/wrist", "b.safetensors", "v1.2")),
        ("hf://someone/wrist@v1.2/b.safetensors", HubAddress("someone/wrist", "b.safetensors", "v1.2")),
        ("hf://someone/wrist@refs/pr/3/b.safetensors", HubAddress("someone/wrist", "b.safetensors", "refs/pr/3")),
        ("hf://someone/wrist/b.safetensors@refs/pr/3", HubAddress("someone/wrist", "b.safetensors", "refs/pr/3")),
    ],
)
def test_address_has_model_file_and_revision(text: str, address: HubAddress) -> None:
    assert HubAddress.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://wrist",
        "hf://someone/wrist/",
        "hf://someone/wrist@v1/b.safetensors@v2",
        "hf://someone/wrist@",
        "hf://datasets/someone/walks",
        "hf://-x/wrist",
        "hf://someone/wrist/model.bin",
        "hf://someone/wrist/../other/model.safetensors",
        "hf://someone/wrist//model.safetensors",
    ],
)
def test_malformed_address_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(InputError, match=r"load got .*expected"):
        edge_rnn.load(text)


def test_model_is_fetched_once_and_then_taken_from_the_cache(hub: FakeHub) -> None:
    get = "GET /someone/wrist/resolve/main/model.safetensors"
    model = edge_rnn.load("hf://someone/wrist")
    assert model.fingerprint == edge_rnn.load(WATCH).fingerprint
    assert hub.requests.count(get) == 1
    edge_rnn.load("hf://someone/wrist")
    assert hub.requests.count(get) == 1


@pytest.mark.parametrize(
    "command", [["inspect", "hf://someone/wrist", "--json"], ["export", "hf://someone/wrist", "-o", "{output}"]]
)
def test_command_asks_for_the_file_once(hub: FakeHub, command: list[str], tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    output.write_bytes(b"of an earlier export")
    local_file("hf://someone/wrist")  # to the cache
    hub.requests.clear()
    local_file("hf://someone/wrist")
    asked = len(hub.requests)
    assert main([word.format(output=output) for word in command]) == 0
    assert len(hub.requests) == 2 * asked > 0


def test_file_and_revision_are_those_of_the_address(hub: FakeHub) -> None:
    reber = edge_rnn.load(REBER).fingerprint
    assert edge_rnn.load("hf://someone/wrist/small/lstm.safetensors").fingerprint == reber
    assert edge_rnn.load("hf://someone/wrist@v1").fingerprint == reber


def test_cache_does_when_the_hub_cannot_be_reached(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = local_file("hf://someone/wrist")
    hub.requests.clear()
    monkeypatch.setattr(needs.package("huggingface_hub", "huggingface_hub.constants"), "HF_HUB_OFFLINE", True)
    assert local_file("hf://someone/wrist") == fetched
    assert not hub.requests


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            "hf://someone/ankle",
            MissingFileError,
            "the Hub has no model 'someone/ankle', or it is private; .* hf auth login",
        ),
        ("hf://someone/wrist@v9", MissingFileError, "has no revision 'v9'; name a branch, a tag or a commit"),
        ("hf://someone/wrist/b.safetensors", MissingFileError, "has no file 'b.safetensors'; name one that it has"),
        ("hf://someone/gated", FileAccessError, "access is restricted; accept its terms on its page"),
        ("hf://someone/huge", FileError, "is not a model: it has 2147483648 bytes, expected at most 1073741824"),
        ("hf://someone/other", FileError, "is text, like recordings, expected a model file of edge_rnn"),
    ],
)
def test_error_says_what_to_do(hub: FakeHub, text: str, error: type[Exception], says: str) -> None:
    hub.models["someone/gated"] = hub.models["someone/wrist"]
    hub.gated.add("someone/gated")
    hub.models["someone/huge"] = {"main": {"model.safetensors": b"x"}}
    hub.models["someone/other"] = {"main": {"model.safetensors": b"not tensors"}}
    if text.endswith("huge"):
        hub.claimed["model.safetensors"] = 2**31
    with pytest.raises(error, match=says) as raised:
        edge_rnn.load(text)
    assert str(raised.value).startswith(text)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("is_offline", [True, False])
def test_hub_out_of_reach(hub: FakeHub, is_offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = needs.package("huggingface_hub", "huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    point_to("http://127.0.0.1:1", monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the Hub's retries
    with pytest.raises(MissingFileError, match="is not in the cache, and the Hub cannot be reached; connect, or unset"):
        edge_rnn.load("hf://someone/wrist")
    assert not hub.requests


def test_error_of_the_http_client_says_that_the_file_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise type("RemoteProtocolError", (Exception,), {})("peer closed connection")

    monkeypatch.setattr(needs.package("huggingface_hub"), "hf_hub_download", broken)
    with pytest.raises(FileError, match=r"hf://someone/wrist: cannot be fetched: peer closed connection\."):
        edge_rnn.load("hf://someone/wrist")


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UnsupportedError, match=r"needs huggingface_hub, .*: pip install 'edge-rnn\[hub\]'"):
        edge_rnn.load("hf://someone/wrist")


def test_files_do_not_import_the_hub() -> None:
    code = f"import sys, edge_rnn; edge_rnn.load({str(WATCH)!r}); sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_save_refuses_an_address() -> None:
    with pytest.raises(InputError, match=r"expected a file; save to model.safetensors, and upload it"):
        edge_rnn.save(edge_rnn.load(WATCH), "hf://someone/wrist")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.safetensors", "a/b.safetensors"),
        ("hf://someone/wrist@v1", "wrist.safetensors"),
        ("hf://someone/wrist/a/b.safetensors", "b.safetensors"),
    ],
)
def test_results_are_named_after_the_model(path: str, name: str) -> None:
    assert named_after(path) == Path(name)


def test_hub_reads_the_header_of_a_model_file(hub: FakeHub, tmp_path: Path) -> None:
    """The Hub shows tensors and parameters from the header, whose other entries have to be strings."""
    parse = needs.package("huggingface_hub").parse_local_safetensors_file_metadata
    found = parse(WATCH)
    assert sum(found.parameter_count.values()) == edge_rnn.load(WATCH).num_parameters
    assert all(type(value) is str for value in found.metadata.values())
    assert found.metadata.keys() == {"edge_rnn"}


def _command(hub: FakeHub, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "edge_rnn", *words]
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_commands_take_an_address(hub: FakeHub, tmp_path: Path) -> None:
    shown = _command(hub, tmp_path, "inspect", "hf://someone/wrist")
    assert shown.returncode == 0, shown.stderr
    assert f"hf://someone/wrist, {WATCH.stat().st_size:,} bytes" in shown.stdout
    refused = _command(hub, tmp_path, "inspect", "hf://someone/ankle")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("edge-rnn: hf://someone/ankle: the Hub has no model")


def test_export_names_the_graph_after_the_model(hub: FakeHub, tmp_path: Path) -> None:
    found = _command(hub, tmp_path, "export", "hf://someone/wrist", "--steps", "50")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "wrist.onnx").is_file()


def test_service_needs_a_file_that_stays(hub: FakeHub, tmp_path: Path) -> None:
    words = ("hf://someone/wrist", "--source", "stdin:", "--sink", "mqtt://broker/x")
    found = _command(hub, tmp_path, "setup", *words)
    assert found.returncode == 1
    assert "fetch it first: hf download someone/wrist model.safetensors --local-dir ." in found.stderr
    assert not hub.requests
