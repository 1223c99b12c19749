"""Every command of the docs runs, on a small model, or is parsed by the program that it calls."""

from __future__ import annotations

import glob
import importlib.util
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from dualstylegan.cli import build_app
from dualstylegan.portrait.add_style import AddStyleSettings, add_style
from tests.conftest import ROOT
from tests.support import command as cli
from tests.support.desk import STUDIO_PX, copy_model, docs_model, lay_out
from tests.support.shell_blocks import Command, blocks, commands, pages
from tests.support.studios import RunningStudio, running_studio

PAGES = {name: page for name, page in pages(ROOT).items() if blocks(page, "sh")}
STUDIO, MLFLOW = "http://127.0.0.1:7860", "http://127.0.0.1:5001"
# Beginnings of words: what has such a word is parsed and not run, and why.
PARSED = {
    "serve": "serves until Ctrl-C; tests/dualstylegan/studio asks a running one",
    "import-published": "needs the published files; tests/dualstylegan/published makes some",
    "export-published": "needs an imported model; tests/dualstylegan/published has one",
    "export-onnx": "traces for a minute; the tests of dualstylegan/graphs export a model",
    "export-web": "as above; the tests of dualstylegan/web export a site and visit it",
    "push": "needs a hub; tests/dualstylegan/portrait has a stand-in of one",
    "org/name": "a model on a hub, as above",
    "models:/": "needs a filled registry; tests/tasks/serving has one",
    "data/models/cartoon": "an imported model, as above",
    "data/models/mine": "adding a style takes seconds; one page does, see OWN_PAGES",
}
# Pages on which the above runs all the same.
OWN_PAGES = {"data/models/mine": "docs/howto/add-style.md"}
# Pages whose reader has trained a style set of his own.
OWN_SETS = {"docs/tutorial.md": "mine"}
# Options that make a command with such a word short: of an option given twice the last one counts.
SHORTENED = {"film": ("--seconds", "0.2"), "--fit-steps": ("--fit-steps", "1")}
# Commands that have run in this process; on other pages they are parsed.
RAN: set[tuple[str, ...]] = set()
# Programs of which the test only knows that they are meant.
UNRUN = {
    "git": "changes the reader's repository",
    "cd": "moves the reader's shell",
    ".": "reads the environment's script into the reader's shell",
    "docker": "needs Docker, and the wheels of a trained model",
    "pre-commit": "optional, and not installed with the project",
}
REAL = ("cmp", "cp", "ls", "mkdir")
PLACEHOLDERS = {"sitters": "SITTER", "styles": "STYLE", "live": "LIVE"}
OPTIONS_OF_CURL = {"--data-binary": 1, "-d": 1, "-H": 1, "-o": 1, "-X": 1, "-s": 0}


@dataclass
class Desk:
    """Reader who types the commands of a page, in a folder of his own.

    Attributes:
        page: that is read.
        weights: pinned weights.
        patch: sets what `export` exports.
        stack: ends what was begun.
        known: identifiers that the studio gave, by the words that stand for them in the docs.
    """

    page: str
    weights: Path
    patch: pytest.MonkeyPatch
    stack: ExitStack
    known: dict[str, str] = field(default_factory=dict)
    _studio: RunningStudio | None = None

    @property
    def studio(self) -> RunningStudio:
        """Running studio, which is begun when the first request is made."""
        if self._studio is None:
            model = docs_model(self.weights, STUDIO_PX)
            self._studio = self.stack.enter_context(running_studio(model))
        return self._studio


def run_dualstylegan(desk: Desk, command: Command) -> None:
    """Run the command in this process; some are parsed alone, see `PARSED`."""
    parsed = [part for part in PARSED if OWN_PAGES.get(part) != desk.page]
    known = command.arguments in RAN
    if known or any(word.startswith((*parsed,)) for word in command.arguments):
        group: Any = typer.main.get_command(build_app())
        name, *rest = command.arguments
        group.commands[name].make_context(name, rest)
        return
    short = (option for word in command.arguments for option in SHORTENED.get(word, ()))
    done = cli.run(*command.arguments, *short)
    assert done.status == 0, (command.text, done.stderr)
    RAN.add(command.arguments)


def run_python(desk: Desk, command: Command) -> None:
    """Check that a script or module is there and knows the options; stages are DVC's to run."""
    first, *rest = command.arguments
    if first == "-m":
        found = importlib.util.find_spec(rest[0])
        assert found is not None, command.text
        assert found.origin is not None
        path, rest = Path(found.origin), rest[1:]
        path = path.with_name("__main__.py") if path.name == "__init__.py" else path
    else:
        path = ROOT / first
    sources = path.read_text() + "".join(
        (ROOT / "flows" / "arguments.py").read_text() for _ in [0] if path.parent.name == "flows"
    )
    for word in rest:
        if word.startswith("-"):
            assert f'"{word}"' in sources, command.text
        elif word.endswith(".yaml"):
            assert (ROOT / word).is_file(), command.text


def run_make(desk: Desk, command: Command) -> None:
    """Let make say what it would do."""
    subprocess.run(
        ["make", "-n", *command.arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def run_dvc(desk: Desk, command: Command) -> None:
    """Let DVC parse it; stages must be those of dvc.yaml."""
    from dvc.cli.parser import get_main_parser

    given = get_main_parser().parse_args(list(command.arguments))
    folder = ROOT / str(given.cd)
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    if given.cmd in ("repro", "status"):
        named = {target.partition("@")[0] for target in given.targets or ()}
        assert named <= {*stages}, command.text


def run_prefect(desk: Desk, command: Command) -> None:
    """Let Prefect parse it."""
    from prefect.cli import _app

    _app._app.parse_args(list(command.arguments), exit_on_error=False, print_error=False)


def run_mlflow(desk: Desk, command: Command) -> None:
    """Let MLflow parse it."""
    from mlflow.cli import cli as group

    found: Any = group
    rest = list(command.arguments)
    while hasattr(found, "get_command"):
        name = rest.pop(0)
        found = found.get_command(found.make_context(name, [], resilient_parsing=True), name)
        assert found is not None, command.text
    found.make_context(command.program, rest)


def run_curl(desk: Desk, command: Command) -> None:
    """Send the request to a running studio; requests to MLflow need a server of the registry's."""
    words = iter(command.arguments)
    given: dict[str, str] = {}
    for word in words:
        if word.startswith("-"):
            given[word] = next(words) if OPTIONS_OF_CURL[word] else ""
        else:
            given["url"] = word
    url = given["url"]
    if url.startswith(MLFLOW):
        assert url == f"{MLFLOW}/invocations"
        return
    assert url.startswith(STUDIO), command.text
    path = url.removeprefix(STUDIO)
    for word, identifier in desk.known.items():
        path = path.replace(f"/{word}", f"/{identifier}")
    upload = given.get("--data-binary", "").removeprefix("@")
    body = Path(upload).read_bytes() if upload else None
    method = given.get("-X", "POST" if upload else "GET")
    end = time.monotonic() + 60
    # a style that is being learnt is not ready yet
    while (answer := desk.studio.ask(method, path, body)).status == 400:
        assert time.monotonic() < end, answer.body
        time.sleep(0.1)
    assert answer.status < 300, (command.text, answer.body)
    if "-o" in given:
        Path(given["-o"]).write_bytes(answer.body)
    elif method == "POST":
        kind = path.split("/")[2].split("?")[0]
        desk.known[PLACEHOLDERS[kind]] = answer.json["id"]


def run_pip(desk: Desk, command: Command) -> None:
    """Check the extras and the wheels that are named; installing needs a package index."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert command.arguments[0] == "install", command.text
    for word in command.arguments[1:]:
        if word.startswith("dualstylegan["):
            assert set(word[len("dualstylegan[") : -1].split(",")) <= {*extras}, command.text


def export(desk: Desk, command: Command) -> None:
    """Set variables for the commands that follow on the page."""
    for word in command.arguments:
        name, _, value = word.partition("=")
        if name != "DUALSTYLEGAN_WEIGHTS":  # the tests' own weights lie elsewhere
            desk.patch.setenv(name, value)


def run_real(desk: Desk, command: Command) -> None:
    """Run a program of the system in the folder, as a shell does."""
    words = (sorted(glob.glob(word)) if "*" in word else [word] for word in command.arguments)
    subprocess.run([command.program, *(part for found in words for part in found)], check=True)


def leave(desk: Desk, command: Command) -> None:
    """Leave a command to the reader, see `UNRUN`."""


RUNNERS: dict[str, Callable[[Desk, Command], None]] = {
    "dualstylegan": run_dualstylegan,
    "python": run_python,
    "make": run_make,
    "dvc": run_dvc,
    "prefect": run_prefect,
    "mlflow": run_mlflow,
    "curl": run_curl,
    "pip": run_pip,
    "export": export,
    **dict.fromkeys(REAL, run_real),
    **dict.fromkeys(UNRUN, leave),
}


@pytest.fixture(scope="module")
def laid_out(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder of photos, and the folder of a model."""
    folder = tmp_path_factory.mktemp("desk")
    model = docs_model(weights)
    model.weights_dir = None
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DUALSTYLEGAN_WEIGHTS", raising=False)
        model.save_pretrained(folder / "model")
    (folder / "photos").mkdir()
    return lay_out(folder / "photos", weights), folder / "model"


@pytest.fixture
def desk(
    request: pytest.FixtureRequest,
    weights: Path,
    laid_out: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    """Return a reader of a page in a folder that has what it names."""
    name = request.node.callspec.params.get("name", "")
    photos, model = laid_out
    folder = tmp_path / "work"
    shutil.copytree(photos, folder)
    copy_model(model, folder, OWN_SETS.get(name, "demo"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DUALSTYLEGAN_WEIGHTS", str(weights))
    few = AddStyleSettings(refine_steps=1)  # 80 steps take a minute
    monkeypatch.setitem(add_style.__kwdefaults__, "settings", few)  # type: ignore[arg-type]
    with ExitStack() as stack:
        yield Desk(name, weights, monkeypatch, stack)


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_run(name: str, desk: Desk) -> None:
    for command in commands(PAGES[name]):
        assert command.program in RUNNERS, f"{command.text}: name a runner, or a reason in UNRUN"
        RUNNERS[command.program](desk, command)
    if name == "README.md":  # tests/test_readme.py runs its snippet
        return
    for block in blocks(PAGES[name], "python"):
        code = compile(block, name, "exec")
        if "add_style(" not in block:  # takes seconds; tests/test_examples.py adds one in Python
            exec(code, {})


def test_commands_stand_in_shell_blocks() -> None:
    programs = "|".join(map(re.escape, RUNNERS))
    indented = re.compile(rf"^ {{4,}}(?:{programs}) .*$", re.MULTILINE)
    for name, page in pages(ROOT).items():
        assert indented.findall(re.sub(r"^```.*?^```", "", page, flags=re.S | re.M)) == [], name
        assert {language for language in re.findall(r"^```(\w*)$", page, re.M) if language} <= {
            *("sh", "python", "json", "text", "math", "mermaid", "yaml", "toml"),
        }, name


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(word for command in commands(PAGES[name]) for word in command.arguments)


def test_exceptions_are_needed() -> None:
    used = {word for name in PAGES for word in _words(name)}
    programs = {command.program for page in PAGES.values() for command in commands(page)}
    assert {part for part in PARSED if not any(word.startswith(part) for word in used)} == set()
    assert {program for program in UNRUN if program not in programs} <= {"cd", "."}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("dualstylegan transfer photo.jpg --stile A -o out.png", "--stile"),
        ("dualstylegan tranfer photo.jpg", "tranfer"),
        ("dualstylegan transfer photo.jpg --style Z -o out.png", "unknown style"),
        ("prefect deployment rum portrait/embedded", "rum"),
        ("mlflow models serve --port-number 5", "--port-number"),
        ("dvc repro nonesuch", "nonesuch"),
        ("python -m tasks.register --sure", "--sure"),
        ("curl --upload photo.jpg http://127.0.0.1:7860/api/sitters", "--upload"),
        ("pip install 'dualstylegan[movies]'", "movies"),
    ],
)
def test_a_wrong_command_fails(line: str, told: str, desk: Desk) -> None:
    (command,) = commands(f"```sh\n{line}\n```")
    with pytest.raises((Exception, SystemExit)) as raised:
        RUNNERS[command.program](desk, command)
    assert told in line or told in str(raised.value)
