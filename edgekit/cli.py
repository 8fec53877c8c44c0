"""The command line. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperGroup

from edgekit.errors import EdgekitError, GateError, InputError

if TYPE_CHECKING:
    from edgekit.record import Record
    from edgekit.study import Ended


class _Commands(TyperGroup):
    """Says on Ctrl-C what is kept; typer itself would end with 'Aborted.'."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted; finished stages are kept, run the same command to go on", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Compress a trained medical-imaging model, check the exported files, measure and report them.\n\n"
        "Exit codes: 0 done, 2 bad input, 3 a gate rejected an artifact, 4 something needed is missing, "
        "5 a device or process failed, 1 a defect of edgekit."
    ),
)
Module = Annotated[
    str | None,
    typer.Option(
        help="package.module:callable that builds your network, for 'architecture: module'. Its code runs."
    ),
]
Mlflow = Annotated[
    str | None,
    typer.Option(help="log the record in MLflow too: the address of a server, or a folder"),
]


def _console() -> Console:
    # The stream is bound here: what converters print while they work is caught from sys.stdout.
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)


@app.command()
def compress(
    recipe: Annotated[Path, typer.Argument(help="a recipe file, such as recipes/quickstart.yaml")],
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/NAME when absent")] = None,
    module: Module = None,
    mlflow: Mlflow = None,
) -> None:
    """Run a recipe: passes, export, checks, evaluation, measurement, record and checklist."""
    from edgekit import environment
    from edgekit import recipe as recipes

    environment.no_telemetry()
    environment.spin_briefly()
    if mlflow is not None:
        # What is missing is said before hours of work, not after them.
        from edgekit.report import tracking

        tracking.client(mlflow)
    loaded, targets = recipes.load(recipe)
    from edgekit.outputs import exit_code
    from edgekit.progress import Reporter

    console = _console()
    members = [one for one in loaded if isinstance(one, recipes.StudyRun)]
    folder = out or Path("runs") / (members[0].study.name if members else loaded[0].name)
    words = ["compress", _shown(recipe), "--out", _shown(folder), *(["--module", module] if module else [])]
    command = f"edgekit {shlex.join(words)}"
    if members:
        from edgekit import study

        ended = study.execute(members, targets, folder, module, Reporter(console), command)
        _show_study(console, ended, folder)
        if mlflow is not None:
            done = [(one.record, study.folder_of(one.member, folder)) for one in ended if one.record is not None]
            _log(console, done, mlflow)
        raise typer.Exit(max(one.exit_code for one in ended))
    from edgekit.pipeline import Run

    record = Run(loaded[0], targets, folder, module, Reporter(console)).execute(command)
    _show(console, record, folder)
    if mlflow is not None:
        _log(console, [(record, folder)], mlflow)
    raise typer.Exit(exit_code(record))


@app.command()
def bench(
    target: Annotated[
        str | None,
        typer.Option(help="whose artifacts are measured again; a target file; or 'all'"),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="folder of the run; the newest under runs/ when absent")] = None,
    module: Module = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for a device that another run uses")] = 0.0,
    keep: Annotated[bool, typer.Option("--keep", help="leave runner, artifacts and samples on the device")] = False,
    file: Annotated[
        Path | None, typer.Option("--import", help="add what was measured elsewhere, see 'edgekit bundle'")
    ] = None,
    by: Annotated[str | None, typer.Option(help="with --import: who measured")] = None,
) -> None:
    """Measure the artifacts of a run again, on the target's device, and add the samples to its record."""
    from edgekit import environment

    if (target is None) == (file is None):
        raise EdgekitError("give either --target, to measure, or --import, to add what was measured elsewhere")

    environment.no_telemetry()
    from edgekit.progress import Reporter
    from edgekit.rebench import newest_run, rebench

    console = _console()
    folder = run or newest_run(Path("runs"))
    if file is not None:
        from edgekit import imports

        _show(console, imports.add(folder, file, by), folder)
    if target is not None:
        _show(console, rebench(folder, target, module, Reporter(console), wait, keep), folder)


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    target: Annotated[str, typer.Option(help="whose artifacts go into the bundle")],
    out: Annotated[Path, typer.Option(help="folder to write")],
) -> None:
    """Write a folder with artifacts, runner, inputs and instructions, for a device that is out of reach."""
    from edgekit import bundle as bundles

    for path in bundles.write(run, target, out):
        _console().print(str(path), highlight=False, soft_wrap=True)


@app.command()
def report(
    record: Annotated[Path, typer.Argument(help="record.json, the folder that holds it, or the folder of a study")],
    out: Annotated[Path | None, typer.Option(help="folder to write into; beside the record when absent")] = None,
    form: Annotated[
        Literal["checklist", "csv", "model-card"],
        typer.Option(
            help="csv: every sample; model-card: README.md as Hugging Face's hub reads it; nothing is sent"
        ),
    ] = "checklist",
    mlflow: Mlflow = None,
) -> None:
    """Write the checklist and its pictures again, from the record alone; or a study's table, from its records."""
    from edgekit import record as records
    from edgekit import report as reports
    from edgekit.report import ablation

    console = _console()
    study = ablation.find(record) if record.is_dir() and not (record / "record.json").exists() else None
    if study is not None and (form != "checklist" or mlflow is not None):
        raise InputError("is a study", where=str(record), remedy="name the folder of one of its runs")
    if study is not None:
        paths = ablation.write(study, out or record)
    else:
        loaded = records.read(record)
        beside = record if record.is_dir() else record.parent
        folder = out or beside
        paths = reports.write(loaded, folder) if form == "checklist" else [reports.write_form(loaded, folder, form)]
        if mlflow is not None:
            _log(console, [(loaded, beside)], mlflow)
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="records, folders that hold one, or folders of studies")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; printed when absent")] = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="show latencies of different machines, marked on every row")
    ] = False,
) -> None:
    """Put runs side by side: networks, differences on the same test images with their tests, latency, size."""
    from edgekit.report import comparison
    from edgekit.store import write_text

    text = comparison.render(comparison.read(runs), across_machines)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    _console().print(str(out), highlight=False, soft_wrap=True)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="a record, its folder, or a checklist in Markdown")],
    form: Annotated[
        Literal["text", "github", "json"], typer.Option("--format", help="github: annotations of its workflows")
    ] = "text",
) -> None:
    """Verify a record and the files beside it: hashes, figures, contradictions, gaps; or lint a checklist alone."""
    from edgekit.report import check as checks

    found = checks.check_path(path)
    wrong = [one for one in found if one.severity == "error"]
    if form == "json":
        typer.echo(json.dumps([vars(one) for one in found], indent=1))
    for one in found if form != "json" else ():
        typer.echo(checks.annotation(one, path) if form == "github" else f"{one.where}: {one.rule}: {one.text}")
    if wrong:
        raise typer.Exit(GateError.exit_code)
    if form == "text":
        typer.echo(f"{path}: nothing found")


@app.command()
def targets() -> None:
    """List the targets: which can run here, and what the others lack."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit import runtimes
    from edgekit import target as known

    table = Table("target", "runtime", "precisions", "export here", "run here", title="targets")
    for name in known.available():
        one = known.load(name)
        runtime = runtimes.get(one.runtime)
        lacks = runtime.cannot_export(one), runtime.cannot_run(one)
        table.add_row(name, one.runtime, ", ".join(one.precisions), *(escape(reason or "yes") for reason in lacks))
    _console().print(table)


@app.command()
def models(
    search: Annotated[str, typer.Argument(help="part of a name, or a listed network's whole name")] = "",
    everything: Annotated[bool, typer.Option("--all", help="names only, timm's other networks included")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="what is known of each network, for programs")] = False,
) -> None:
    """List edgekit's networks and those of timm that the papers used, with their counts and runtimes.

    With part of a name: the names that hold it, timm's other networks included. With the whole name of a listed
    network: all that is known of it.
    """
    from edgekit.report import networks

    listed = networks.all_known()
    if as_json:
        from edgekit.counts import CONVENTION

        found = [one.as_json() for one in listed if search in one.entry.name]
        if not found:
            raise EdgekitError(f"no listed network's name holds '{search}'", remedy="'edgekit models' lists them")
        typer.echo(json.dumps({"convention": CONVENTION, "networks": found}, indent=1, allow_nan=False))
        return
    exact = [one for one in listed if one.entry.name == search]
    if exact:
        for line in networks.lines(exact[0]):
            typer.echo(line)
        return
    if search or everything:
        from edgekit import zoo

        names = [name for name in zoo.names() if search in name]
        for name in names:
            typer.echo(name)
        if not names:
            raise EdgekitError(
                f"no architecture's name holds '{search}'", remedy="'edgekit models --all' lists all"
            )
        return
    console = _console()
    made, notes = networks.table(listed)
    console.print(made)
    for line in [*notes.lines(), *networks.LEGEND]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


@app.command()
def schema(
    kind: Annotated[Literal["recipe", "target"], typer.Argument(help="which file")],
    form: Annotated[Literal["json", "markdown"], typer.Option("--format", help="markdown: for people")] = "json",
) -> None:
    """Print the JSON Schema of a recipe or target file, for editors; or the same as a reference to read."""
    from edgekit import schema_reference

    if form == "markdown":
        typer.echo(schema_reference.markdown(kind), nl=False)
        return
    typer.echo(json.dumps(schema_reference.json_schema(kind), indent=1))


def _shown(path: Path) -> str:
    """A path as the record keeps it, which goes to print: whose machine it was on is nobody's business."""
    if not path.is_absolute():
        return str(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _show(console: Console, record: Record, folder: Path) -> None:
    from edgekit import report as reports

    console.print(reports.table(record))
    for line in reports.summary_lines(record):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for name in (
        "report.html",
        "checklist.md",
        "checklist.tex",
        "record.json",
        "pictures",
        "artifacts",
        "rejected",
    ):
        path = folder / name
        if path.exists():
            console.print(f"  {path}", highlight=False, soft_wrap=True)


def _log(console: Console, made: list[tuple[Record, Path]], uri: str) -> None:
    from edgekit.report import tracking

    to = tracking.client(uri)
    for record, folder in made:
        console.print(f"  MLflow run {tracking.log(record, folder, to, uri)}", highlight=False, soft_wrap=True)


def _show_study(console: Console, ended: list[Ended], folder: Path) -> None:
    """The table of the study, and what went wrong in single runs."""
    from edgekit.report import ablation

    runs = ablation.find(folder)
    written = []
    if runs is not None and any(one.record is not None for one in ended):
        written = ablation.write(runs, folder)
        console.print(ablation.table(runs))
    for one in ended:
        if one.error is not None:
            console.print(f"{one.title}: error: {one.error}", style="red", soft_wrap=True, markup=False)
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; every error that edgekit knows ends in one message and its exit code."""
    try:
        app()
    except EdgekitError as error:
        # Not through rich: the message may hold brackets, and its lines must stay whole for editors and grep.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
