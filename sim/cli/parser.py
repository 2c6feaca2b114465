"""Arguments: argparse whose complaints are our errors, with a suggestion for a misspelt option.

argparse and not typer: the command answers within a few bare imports' time, and typer alone costs one of them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sim.errors import InputError, Problem
from sim.yamlfile import closest


class Parser(argparse.ArgumentParser):
    """Raises `InputError` instead of leaving the process."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Turn a complaint into a problem; a misspelt option gets the one it may mean."""
        hint = None
        if message.startswith("unrecognized arguments: "):
            word = message.partition(": ")[2].split()[0]
            known = self._options()
            guess = closest(word, known)
            others = known.get(word.partition("=")[0], [])
            hint = f"did you mean {guess}?" if guess else f"see {self.prog} --help"
            hint = f"this verb has none; a flag of {', '.join(others)}" if others else hint
        raise InputError(Problem(message, code="usage", hint=hint))

    def _options(self) -> dict[str, list[str]]:
        """Every option of every verb -> the verbs that have it."""
        found: dict[str, list[str]] = {option: [] for action in self._actions for option in action.option_strings}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb, parser in action.choices.items():
                    for option in parser._option_string_actions:
                        found.setdefault(option, []).append(verb)
        return found


def count(text: str) -> int | str:
    """A whole number; anything else is left as it is, and refused together with all other problems."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else text


def error_object(exit_code: int, problems: Sequence[Mapping[str, object]]) -> str:
    """`sparksim.error/1`, one line."""
    full = [{"file": None, "line": None, "path": None, "hint": None, **problem} for problem in problems]
    return json.dumps({"schema": "sparksim.error/1", "exit_code": exit_code, "problems": full})


def add_model(parser: argparse.ArgumentParser, *, has_machines: bool = False) -> None:
    """The flags that say which model runs how, and on what. `has_machines`: --hardware may be given several times."""
    parser.add_argument("--model", help="card name, Hugging Face id, or path to a config.json")
    parser.add_argument("--runtime", help="NAME[@VERSION], e.g. llama.cpp@b7941, vllm")
    if has_machines:
        parser.add_argument("--hardware", action="append", help="machine; two or more: all of them side by side")
    else:
        parser.add_argument("--hardware", help="machine (default dgx-spark)")
    parser.add_argument("--quant", help="recipe (default: what the checkpoint says)")
    parser.add_argument("--kv-dtype", help="format of the KV cache (default: the runtime's)")
    parser.add_argument("--batch", type=count, metavar="N", help="sequences (default 1)")
    parser.add_argument("--prompt", type=count, metavar="N", help="new tokens per sequence (default 2048)")
    parser.add_argument("--depth", type=count, metavar="N", help="tokens already cached per sequence (default 0)")
    parser.add_argument("--output", type=count, metavar="N", help="tokens to generate per sequence (default 128)")


def add_shared(parser: argparse.ArgumentParser) -> None:
    """The flags of every simulating verb."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="override a field (repeatable)"
    )
    parser.add_argument(
        "--spec-dir", action="append", default=[], metavar="DIR", help="look for names here first (repeatable)"
    )
    add_plugin(parser)
    parser.add_argument("--cache", metavar="DIR|off", help="folder of the kernel profile cache")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="seed of everything random")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """The flag of every verb that reads hardware files."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="Python file that registers components (it is run!)",
    )


def load_plugins(arguments: argparse.Namespace) -> None:
    """Run the files of `--plugin`, where the verb has it and it is given."""
    files = getattr(arguments, "plugin", None)
    if files:
        from sim.system.plugins import load_plugin  # noqa: PLC0415 - most commands need none

        for file in files:
            load_plugin(file)


def add_plot(parser: argparse.ArgumentParser, what: str) -> None:
    """The flags of a verb that draws one picture."""
    parser.add_argument("--plot", metavar="FILE", help=f"draw {what}, as SVG and PNG")
    parser.add_argument("--force", action="store_true", help="replace the files of --plot if they exist")


def plot_target(name: str, *, force: bool, flag: str = "plot") -> Path:
    """Where `--plot` (or another `flag`) draws to; worth asking before a long run.

    Raises:
        InputError: not a picture's name, no such folder, or the files exist and `force` is not set.
    """
    path = Path(name)
    problems = []
    if path.suffix not in ("", ".svg", ".png"):
        problems.append(Problem(f"{name!r} is neither .svg nor .png", code="bad_argument", path=flag))
    if not path.parent.is_dir():
        problems.append(Problem(f"there is no folder {str(path.parent)!r}", code="bad_argument", path=flag))
    taken = [one for suffix in (".svg", ".png") if (one := path.with_suffix(suffix)).exists()]
    if taken and not force:
        problems.append(Problem(f"{taken[0]} exists", code="exists", path=flag, hint="--force replaces it"))
    if problems:
        raise InputError(problems)
    return path
