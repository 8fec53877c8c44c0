"""The machine and the software that the figures come from."""

from __future__ import annotations

from typing import Any

from edgekit.record import Record
from edgekit.report import figures, results
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, does_not_apply, not_measured, not_recorded
from edgekit.report.items import Item, item, per_artifact
from edgekit.report.plain import dig, stated, words


def hardware(record: Record) -> list[Item]:
    """Device, memory, power mode, thermal state, load."""
    machine = record.machine
    size = dig(machine, "memory_bytes")
    memory = f"{size / 1e9:.1f} GB (10^9 bytes) of RAM" if isinstance(size, (int, float)) else size
    return [
        item("Device model", _device(machine)),
        *_devices(record),
        item("Memory capacity", stated(memory, "the machine's description holds no memory size")),
        item("Power mode", _power(record)),
        item("Thermal constraints", _thermal(machine)),
        item("System load", _load(machine)),
    ]


def _devices(record: Record) -> list[Item]:
    """The machines on which single artifacts were timed, each with its system and what ran there."""
    found: dict[str, list[str]] = {}
    for name, machine in results.machines(record).items():
        known = [_device(machine).text]
        known += [words(machine[key]) for key in ("os", "kernel", "architecture") if machine.get(key)]
        running = dig(machine, "versions")
        known += [f"python {words(dig(machine, 'python'))}; {words(running)}"] if running else []
        found.setdefault(", ".join(known), []).append(name)
    return [item(f"Device of {', '.join(names)}", Shown(text)) for text, names in found.items()]


def _device(machine: dict[str, Any]) -> Shown:
    model = stated(dig(machine, "cpu"), "the machine's description holds no CPU model")
    if model.value is None:
        return model
    parts = [model.value]
    cores = [dig(machine, f"cores_{kind}") for kind in ("physical", "logical", "usable")]
    if any(cores):
        known = (words(count) if count else "unknown" for count in cores)
        parts.append("cores: {} physical, {} logical, {} usable by the process".format(*known))
    if dig(machine, "isa"):
        parts.append(f"instruction sets {words(machine['isa'])}")
    if dig(machine, "hypervisor"):
        parts.append(f"hypervisor: {words(machine['hypervisor'])}")
    gpus = dig(machine, "gpus")
    if isinstance(gpus, list):
        parts.append(f"GPU: {words([dig(one, 'name') for one in gpus])}")
    return Shown("; ".join(parts))


def _power(record: Record) -> Shown:
    modes = [
        f"power mode {words(target['power_mode'])} ({oneline(name)})"
        for name, target in record.targets.items()
        if dig(target, "power_mode")
    ]
    governor = stated(dig(record.machine, "governor"), "no CPU frequency governor is visible")
    sustained = "sustained: the timed runs of a process follow one another without a pause"
    shown = modes or ["no target names a power mode"]
    return Shown("; ".join([sustained, *shown, f"CPU frequency governor: {governor.text}"]))


def _thermal(machine: dict[str, Any]) -> Shown:
    found = stated(dig(machine, "temperatures_c"), "no temperature was read")
    if found.value is None:
        return Shown(why=f"{found.why}; 'Throttling or drift' says what the samples show", kind=found.kind)
    return Shown(f"temperatures in degrees Celsius before the run: {found.value}")


def _load(machine: dict[str, Any]) -> Shown:
    found = dig(machine, "load_average")
    if isinstance(found, (list, tuple)):
        averages = ", ".join(f"{v:.2f}" if isinstance(v, (int, float)) else words(v) for v in found)
        return Shown(f"load average {averages} (1, 5 and 15 minutes) when the machine was described")
    return stated(found, "the machine's description holds no load")


def software(record: Record) -> list[Item]:
    """Engines and versions, their settings, operating system, driver."""
    machine = record.machine
    names = [one.name for one in results.exported(record)]
    return [
        item("Runtime engine and version", _versions(record)),
        per_artifact(
            "Backend configuration", record.targets, lambda name: _backend(record.targets[name]), prose=True
        ),
        per_artifact("Compiler optimizations", names, lambda name: _compiler(record, name), prose=True),
        item("Operating system", _system(machine)),
        item("Driver", _driver(record)),
    ]


def _versions(record: Record) -> Shown:
    found = dig(record.machine, "versions")
    text = words(found) if isinstance(found, dict) else None
    python = dig(record.machine, "python")
    if text is None:
        return stated(found, "the machine's description holds no versions")
    return Shown(f"python {words(python)}; {text}" if python else text)


def _backend(target: dict[str, Any]) -> Shown:
    threads, options = dig(target, "threads"), dig(target, "options")
    text = f"{figures.runtime(words(dig(target, 'runtime')))} on {words(dig(target, 'device'))}, "
    text += f"{threads} threads" if threads else "every core that the process may use"
    return Shown(text + (f", options: {words(options)}" if options else ", no further options"))


def _compiler(record: Record, name: str) -> Shown:
    one = results.artifact(record, name)
    exporter = dig(one.details, "exporter") if one is not None else None
    if exporter is None:
        return not_recorded("the runtime's defaults were used, and it does not list its graph optimizations")
    return Shown(
        f"exported by {words(exporter)}; the runtime's own graph optimizations at their defaults, not listed"
    )


def _system(machine: dict[str, Any]) -> Shown:
    found = stated(dig(machine, "os"), "the machine's description holds no operating system")
    kernel, kind = dig(machine, "kernel"), dig(machine, "architecture")
    if found.value is None or kernel is None:
        return found
    return Shown(f"{found.value}, kernel {words(kernel)}" + (f", {words(kind)}" if kind else ""))


def _driver(record: Record) -> Shown:
    gpus = dig(record.machine, "gpus")
    if isinstance(gpus, list) and (drivers := {words(d) for one in gpus if (d := dig(one, "driver"))}):
        return Shown(f"NVIDIA {', '.join(sorted(drivers))}")
    devices = {words(dig(target, "device")) for target in record.targets.values()}
    if all(device.upper() in ("CPU", "XNNPACK") for device in devices):
        return does_not_apply("every target runs on the CPU")
    return (
        stated(gpus, "no driver of an accelerator was seen")
        if not isinstance(gpus, list)
        else not_measured("the accelerator's driver does not give its version")
    )
