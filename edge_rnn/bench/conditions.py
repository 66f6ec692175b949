"""Conditions of a benchmark: machine, versions, clock, and load."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["conditions", "spell_conditions"]

_CPUS = Path("/sys/devices/system/cpu")


def conditions() -> dict[str, Any]:
    """Collect everything worth reporting next to a figure."""
    from edge_rnn import __version__
    from edge_rnn.bench import machine

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "processor": machine.processor(),
        "cores": machine.cores(),
        "frequency_scaling": _governors(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "garbage_collector": "off while timing; on in paced runs" if gc.isenabled() else "off",
        "python": machine.python(),
        "packages": {name: version for name, version in machine.packages().items() if version},
        "plain_calls_reason": machine.calls(),
    }


def spell_conditions(found: Mapping[str, Any]) -> str:
    """Format conditions as text, without the date."""
    packages = found["packages"]
    load = found["load_average"]
    parts = [
        f"{found['processor']}, {found['cores']} usable",
        f"frequency scaling: {found['frequency_scaling'] or 'not reported by the system'}",
        *([f"load average {load}"] if load is not None else []),
        f"garbage collector {found['garbage_collector']}",
        found["python"],
        f"numba {packages.get('numba', 'none')}, numpy {packages.get('numpy', 'none')}",
    ]
    return "; ".join(parts)


def _governors() -> str:
    """Frequency governors (``"performance"``, ``"ondemand"``); empty if the system does not report them."""
    found = set()
    for path in sorted(_CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor")):
        with suppress(OSError):
            found.add(path.read_text(encoding="ascii", errors="replace").strip())
    return ", ".join(sorted(found - {""}))
