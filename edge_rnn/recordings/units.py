"""Units as people spell them, for telling that a source's are not the model's."""

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
    """The unit that a text spells; empty where it is none that is known."""
    return _UNITS.get(text.strip().casefold().replace("²", "^2").replace("**", "^").replace(" ", ""), "")


def check_units(found: Sequence[str], expected: Sequence[str], names: Sequence[str], what: str, remedy: str) -> str:
    """Problem of a source's units, in a sentence; empty where none is known to differ.

    Parameters
    ----------
    found, expected
        One text a channel, of the source and of the model; empty or unknown ones match everything.
    names
        Of the channels; may be empty.
    what, remedy
        What has the units, and what to do.
    """
    for place, (one, other) in enumerate(zip(found, expected, strict=False)):
        if unit_of(one) and unit_of(other) and unit_of(one) != unit_of(other):
            channel = names[place] if names else f"channel {place + 1}"
            return f"{what} gives {channel} in {one}, but the model reads {other}; {remedy}."
    return ""
