"""What instance types are, and which have the GPU that a person asks for: the shipped table first, then EC2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.prices import TypeFacts, known_types, on_demand_price, type_facts
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2

_GPU_ASKED = re.compile(r"(?P<what>[A-Za-z][\w .-]*?|(?P<gb>\d+)\s*[gG][iI]?[bB])(?::(?P<count>\d+))?")
_GB_PER_GIB = 1024**3 / 1000**3
_ROUNDED = 0.99
"""A card of 24 GB has 22.35 GiB: its makers count in thousands, and keep some."""
_MOST_TYPES = 6
_MOST_TIMES_THE_CHEAPEST = 2.0
"""Of types with the same GPU: what costs more than twice the cheapest is not what was meant by asking for the GPU."""


@dataclass(frozen=True)
class GpuAsked:
    """A GPU as a person asks for it."""

    name: str | None
    memory_gb: float | None
    """Of each, in GB as its makers count them, at least."""
    count: int

    @classmethod
    def parse(cls, text: str) -> GpuAsked:
        """Read ``A10G``, ``A10G:1``, ``L4:4``, ``24GB`` or ``24GB:2``.

        Raises
        ------
        InvalidRequest
            It is none of these.
        """
        found = _GPU_ASKED.fullmatch(text.strip())
        count = 1 if found is None or found["count"] is None else int(found["count"])
        if found is None or count < 1:
            raise InvalidRequest(
                f"{text!r} is not a way to ask for GPUs.", "Write a name and a number (A10G:1), or a memory (24GB)."
            )
        if found["gb"]:
            return cls(None, float(found["gb"]), count)
        return cls(found["what"].strip(), None, count)

    def fits(self, facts: TypeFacts) -> bool:
        """Whether a type has just that many of these GPUs."""
        if facts.accelerator is None or facts.accelerator_count != self.count:
            return False
        if self.memory_gb is not None:
            return (facts.accelerator_memory_gib or 0.0) * _GB_PER_GIB >= self.memory_gb * _ROUNDED
        return self.names(facts.accelerator)

    def names(self, accelerator: str) -> bool:
        """Whether a GPU is called so: ``A100`` is any of them, ``A100-80GB`` that one."""
        return _plain(accelerator) == _plain(self.name or "") or accelerator.upper().startswith(
            f"{(self.name or '').upper()}-"
        )


class Catalogue:
    """Types of one region.

    Parameters
    ----------
    ec2
        The account: asked for what the table does not have.
    region
        Where.
    """

    def __init__(self, ec2: Ec2, region: str) -> None:
        self._ec2, self._region = ec2, region
        self._asked: dict[str, TypeFacts] = {}

    def facts(self, names: Sequence[str]) -> list[TypeFacts]:
        """Return what types are, in the order of `names`.

        Raises
        ------
        InvalidRequest
            There is no such type in the region.
        """
        known = {name: found for name in names if (found := self._asked.get(name) or type_facts(name)) is not None}
        missing = [name for name in names if name not in known]
        for described in self._ec2.instance_types(missing) if missing else ():
            facts = facts_of(described)
            known[facts.name] = self._asked[facts.name] = facts
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            raise InvalidRequest(
                f"There is no instance type {unknown!r} in {self._region}.",
                f"{_near(unknown, known_types())}For example: g5.xlarge, g4dn.xlarge, m5.large.",
            )
        return [known[name] for name in names]

    def with_gpu(self, text: str) -> list[TypeFacts]:
        """Return types that have the GPUs asked for, the cheapest first.

        Raises
        ------
        InvalidRequest
            No type has them.
        """
        asked = GpuAsked.parse(text)
        shipped = [facts for name in known_types() if (facts := type_facts(name)) is not None]
        fitting = [facts for facts in shipped if asked.fits(facts)]
        known = [*shipped]
        if not fitting:
            # A GPU that is newer than the table: EC2 itself knows.
            described = self._ec2.gpu_types()
            known += [facts_of(each) for each in described]
            fitting = [facts for facts in known if asked.fits(facts)]
            self._asked.update({facts.name: facts for facts in fitting})
        if not fitting:
            raise _no_such_gpu(text, asked, known)
        return self._sensible(fitting)

    def cheaper_fits(self, facts: TypeFacts) -> list[TypeFacts]:
        """Return types of the table that could take the place of one: no less GPU memory, or vCPUs and memory."""
        shipped = [found for name in known_types() if (found := type_facts(name)) is not None]
        return sorted(
            (each for each in shipped if each.name != facts.name and _replaces(each, facts)), key=self._by_price
        )

    def _sensible(self, fitting: Iterable[TypeFacts]) -> list[TypeFacts]:
        by_price = sorted(fitting, key=self._by_price)
        cheapest = self._price(by_price[0])
        most = None if cheapest is None else cheapest * _MOST_TIMES_THE_CHEAPEST
        affordable = [each for each in by_price if most is None or (self._price(each) or 0.0) <= most]
        # One image for all: that of the cheapest's architecture.
        return [each for each in affordable if each.arch == by_price[0].arch][:_MOST_TYPES]

    def _price(self, facts: TypeFacts) -> float | None:
        price = on_demand_price(facts.name, self._region)
        return price.per_hour if price else None

    def _by_price(self, facts: TypeFacts) -> tuple[float, int, str]:
        price = self._price(facts)
        return (float("inf") if price is None else price, facts.vcpus, facts.name)


def facts_of(described: Any) -> TypeFacts:
    """Read an entry of DescribeInstanceTypes (EC2 API reference, InstanceTypeInfo, GpuInfo)."""
    gpus = described.get("GpuInfo", {}).get("Gpus", [])
    architectures = described.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    memory_mib = gpus[0].get("MemoryInfo", {}).get("SizeInMiB") if gpus else None
    return TypeFacts(
        described["InstanceType"],
        sum(int(gpu.get("Count", 0)) for gpu in gpus),
        "arm64" if "arm64" in architectures else "x86_64",
        int(described["VCpuInfo"]["DefaultVCpus"]),
        described["MemoryInfo"]["SizeInMiB"] / 1024,
        gpus[0].get("Name") if gpus else None,
        None if memory_mib is None else round(memory_mib / 1024, 2),
    )


def facts_text(facts: TypeFacts) -> str:
    """Return a type as a person compares it: ``1 A10G 22 GiB, 4 vCPU, 16 GiB``."""
    parts = [f"{facts.vcpus} vCPU", f"{facts.memory_gib:g} GiB"]
    if facts.accelerator:
        memory = f" {facts.accelerator_memory_gib:.0f} GiB" if facts.accelerator_memory_gib else ""
        parts.insert(0, f"{facts.accelerator_count} {facts.accelerator}{memory}")
    return ", ".join(parts)


def _replaces(other: TypeFacts, facts: TypeFacts) -> bool:
    if other.arch != facts.arch:
        return False
    if facts.accelerator_count:
        enough = (other.accelerator_memory_gib or 0.0) >= (facts.accelerator_memory_gib or 0.0)
        return other.accelerator_count >= facts.accelerator_count and enough
    return not other.accelerator_count and other.vcpus >= facts.vcpus and other.memory_gib >= facts.memory_gib


def _no_such_gpu(text: str, asked: GpuAsked, known: Sequence[TypeFacts]) -> InvalidRequest:
    names = sorted({facts.accelerator for facts in known if facts.accelerator})
    if asked.name is not None and not any(asked.names(name) for name in names):
        near = _near(asked.name, names, key=str.upper)
        return InvalidRequest(f"There is no GPU {asked.name!r} on EC2.", f"{near}There are: {', '.join(names)}.")
    same = [GpuAsked(asked.name, asked.memory_gb, facts.accelerator_count) for facts in known if facts.accelerator]
    counts = sorted({each.count for each in same if each.count and any(each.fits(facts) for facts in known)})
    if not counts:
        most = max((facts.accelerator_memory_gib or 0.0) * _GB_PER_GIB for facts in known)
        return InvalidRequest(f"No GPU on EC2 has {asked.memory_gb:g} GB.", f"The largest has {most:.0f} GB.")
    what = asked.name or f"{asked.memory_gb:g}GB"
    numbers = ", ".join(f"{what}:{count}" for count in counts)
    return InvalidRequest(f"No instance type has {text}.", f"There are: {numbers}.")


def _near(word: str, words: Sequence[str], key: Callable[[str], str] = str) -> str:
    by_key = {key(each): each for each in words}
    close = difflib.get_close_matches(key(word), by_key, 1, 0.5)
    return f"Did you mean {by_key[close[0]]}? " if close else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]", "", name).upper()
