"""Which switches of a network go together: one rule a field, by what stands before it.

A rule says what is wrong, or nothing. It belongs to the last of the fields it is about, so that the
error names one field. A field that was itself refused is not there to be asked about.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rankspace.ranks.counts import bits

Fields = Mapping[str, Any]
Rule = Callable[[Any, Fields], str]


def fits(value: object, fields: Fields) -> str:
    """No rule."""
    return ""


def _heads(heads: int, fields: Fields) -> str:
    width = fields.get("width", 4 * heads)
    if width % (4 * heads):
        return f"width {width} must be a multiple of four times the heads, {heads}"
    return ""


def _noise(noise: int, fields: Fields) -> str:
    heads = fields.get("heads", noise + 1)
    return "" if noise < heads else f"must be fewer than the heads, {heads}"


def _bases(bases: tuple[float, ...], fields: Fields) -> str:
    if not all(1 < base < float("inf") for base in bases):
        return "must be finite and above 1"
    alone = len(bases) == 2 and not fields.get("noise_heads", 1)
    return "a second base is for noise heads; set noise_heads" if alone else ""


def _think(think: str, fields: Fields) -> str:
    gated = think != "dense" and fields.get("gated", False)
    return f"{think} has no gate; set gated to false" if gated else ""


def _squared(squared: bool, fields: Fields) -> str:
    other = fields.get("gated", False) or fields.get("think", "dense") != "dense"
    return "needs gated false and think dense" if squared and other else ""


def _gate_beta(gate_beta: str, fields: Fields) -> str:
    gated = gate_beta == "channel" or fields.get("gated", True)
    return "" if gated else "a beta of the input needs gated true"


def _experts(experts: int, fields: Fields) -> str:
    if experts == 1:
        return "must be 0 or at least 2"
    plain = fields.get("gated", True) and fields.get("gate_beta", "channel") == "channel"
    return "" if plain or not experts else "needs gated true and gate_beta channel"


def _active(active: int, fields: Fields) -> str:
    experts = fields.get("experts", 0)
    return "" if not experts or active <= experts else f"must be at most the experts, {experts}"


def _speak(speak: str, fields: Fields) -> str:
    heard = speak == "sum" or fields.get("all_blocks_speak", True)
    return "" if heard else "needs all_blocks_speak true"


def _memory(memory: str, fields: Fields) -> str:
    if memory not in ("annealed", "held") and not fields.get("prior", True):
        return "needs prior true"
    silent = memory == "feature" and not fields.get("rank_buckets", 1)
    return "a memory that is a feature needs rank_buckets above 0" if silent else ""


def _order(order: int, fields: Fields) -> str:
    if order > 2 and fields.get("memory", "held") != "held":
        return "above 2 needs the memory held"
    most, size = 1 << bits(order), fields.get("vocabulary", 2)
    if size > most:
        return f"{order} fits vocabularies of at most {most}, and this one has {size}"
    return ""


def _document(document: bool, fields: Fields) -> str:
    other = fields.get("memory", "held") != "held"
    return "needs the memory held" if document and other else ""


def _hold(hold: Mapping[str, float], fields: Fields) -> str:
    needs = {
        "attention": ("query_key_norm true", fields.get("query_key_norm", True)),
        "gate": ("gated true and no experts", _one_gate(fields)),
        "router": ("experts", fields.get("experts", 2)),
        "output": ("prior true", fields.get("prior", True)),
    }
    for kind, share in hold.items():
        need, met = needs[kind]
        if not met:
            return f"{kind} needs {need}"
        if not 0 < share < 1:
            return f"{kind} must be held at a share between 0 and 1, not {share}"
    return ""


def _one_gate(fields: Fields) -> bool:
    return bool(fields.get("gated", True)) and not fields.get("experts", 0)


RULES: Mapping[str, Rule] = {
    "heads": _heads,
    "noise_heads": _noise,
    "rotary_bases": _bases,
    "think": _think,
    "squared": _squared,
    "gate_beta": _gate_beta,
    "experts": _experts,
    "active": _active,
    "speak": _speak,
    "memory": _memory,
    "order": _order,
    "document": _document,
    "hold": _hold,
}
