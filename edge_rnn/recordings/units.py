"""Common spellings of units, to detect that a source's units differ from the model's."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["check_units", "unit_of"]

_SPELLINGS = {
    "m/s^2": "m/s^2 m/s2 m/s/s m/sec^2 m*s^-2 m·s^-2 ms^-2 ms-2 ms2 mps2 m_s2 m_s^2",
    "g": "g gn g0 g_n",
    "mg": "mg",
    "rad/s": "rad/s rad/sec rads rad_s rad*s^-1 rad·s^-1",
    "°/s": "°/s deg/s deg/sec dps deg_s degrees/s degree/s °/sec º/s",
    "°C": "°c degc deg_c celsius c ºc",
    "K": "k kelvin",
    "°F": "°f degf fahrenheit f",
    "%": "% percent pct",
    "V": "v volt volts",
    "mV": "mv",
    "µV": "uv µv μv",
    "A": "a ampere",
    "mA": "ma",
    "Pa": "pa",
    "hPa": "hpa mbar",
    "kPa": "kpa",
    "µT": "ut µt μt",
    "G": "gauss",
    "m": "m metre meter",
    "mm": "mm",
    "cm": "cm",
}
_UNITS = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings.split()}


def unit_of(text: str) -> str:
    """Return the canonical unit of a spelling; empty if it is unknown."""
    return _UNITS.get(text.strip().casefold().replace("²", "^2").replace("**", "^").replace(" ", ""), "")


def check_units(found: Sequence[str], expected: Sequence[str], names: Sequence[str], what: str, remedy: str) -> str:
    """Describe a mismatch of units in a sentence; empty if there is none.

    Parameters
    ----------
    found, expected
        One text per channel, of the source and of the model; empty or unknown units match everything.
    names
        Channel names; may be empty.
    what, remedy
        Subject that has the units, and the remedy.
    """
    for place, (one, other) in enumerate(zip(found, expected, strict=False)):
        if unit_of(one) and unit_of(other) and unit_of(one) != unit_of(other):
            channel = names[place] if names else f"channel {place + 1}"
            return f"{what} gives {channel} in {one}, but the model reads {other}; {remedy}."
    return ""
