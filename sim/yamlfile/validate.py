"""Plain data to a pydantic model, and what pydantic says about it in our words: all problems, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from sim.errors import Problem, SimError, SpecError
from sim.yamlfile.document import ABSENT, Document, Key, step_into

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    T = TypeVar("T", bound=BaseModel)

Place = tuple[Key, ...]
Locate = Callable[[Place], tuple[str | None, int | None]]

_PLAIN: dict[str, str] = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
}


def validate_model(
    model: type[T], document: Document, *, at: Sequence[Key] = (), data: Any = None, error: type[SimError] = SpecError
) -> T:
    """The `model` that the data at path `at` of `document` describes.

    `data`: used instead of the document's own (which still gives the lines). `error`: what is raised.

    Raises:
        SpecError: (or `error`) with every problem, each with file, line and path.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - costs 40 ms, and JSON is loaded without it

    value = document.at(at) if data is None else data
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        found = problems_of(exc, model, value, lambda path: (document.file, document.line_of((*at, *path))), at)
        raise error(found) from None


def problems_of(
    exc: ValidationError, model: type[BaseModel], data: Any, locate: Locate, at: Sequence[Key] = ()
) -> list[Problem]:
    """One problem per thing that is wrong, in the order of the lines.

    `locate` gives file and line of a path within `data`; `at` stands before the paths that are shown. A field that is
    unknown and one that is missing, with names alike, are one typo and one problem.
    """
    errors: dict[Place, list[Any]] = {}
    for item in exc.errors(include_url=False):
        errors.setdefault(_place(item["loc"], data, is_missing=item["type"] == "missing"), []).append(item)
    missing = {place for place, items in errors.items() if items[0]["type"] == "missing"}
    found: list[Problem] = []
    for place, items in errors.items():
        if items[0]["type"] != "extra_forbidden":
            continue
        parent = place[:-1]
        absent = [str(path[-1]) for path in missing if path[:-1] == parent]
        known = [name for name in fields_at(model, parent) if name in absent or not _holds(data, (*parent, name))]
        guess = closest(str(place[-1]), [*absent, *known]) or closest(str(place[-1]), fields_at(model, parent))
        missing.discard((*parent, guess or ""))
        found.append(_problem(unknown_field(str(place[-1]), guess, known), "unknown_field", place, locate, at))
    for place, items in errors.items():
        kind = items[0]["type"]
        if kind == "extra_forbidden" or (kind == "missing" and place not in missing):
            continue
        texts = dict.fromkeys(_text(item) for item in items)
        code = "missing_field" if kind == "missing" else "bad_value"
        found.append(_problem(" or ".join(texts), code, place, locate, at))
    return sorted(found, key=lambda problem: problem.line or 0)


def unknown_field(name: str, guess: str | None, known: Iterable[str]) -> str:
    """The message for a field that is not there, with what may have been meant."""
    if guess:
        return f"unknown field '{name[:60]}'; did you mean '{guess}'?"
    names = ", ".join(known)
    return f"unknown field '{name[:60]}'" + (f"; other fields here: {names}" if names else "")


def closest(name: str, names: Iterable[str], least: float = 0.6) -> str | None:
    """The one of `names` most like `name`, if any is at least so much like it (0 to 1)."""
    lower = {known.casefold(): known for known in names}
    found = get_close_matches(name[:60].casefold(), lower, 1, least)
    return lower[found[0]] if found else None


def fields_at(model: Any, place: Sequence[Key]) -> list[str]:
    """Names of the fields that the model at `place` within `model` has."""
    types = [model]
    for key in place:
        types = [inner for kind in types for inner in _inner(kind, key)]
    names: dict[str, None] = {}
    for kind in types:
        for each in _models(kind):
            names.update(dict.fromkeys(info.alias or name for name, info in each.model_fields.items()))
    return list(names)


def _models(kind: Any) -> list[Any]:
    """The models that an annotation allows: itself, or the members of a union."""
    if hasattr(kind, "model_fields"):
        return [kind]
    origin = getattr(kind, "__origin__", None)
    if isinstance(origin, type) and issubclass(origin, (list, tuple, dict, set, frozenset)):
        return []
    return [model for part in get_args(kind) for model in _models(part)]


def _inner(kind: Any, key: Key) -> list[Any]:
    models = _models(kind)
    if models:
        fields = (info for model in models for name, info in model.model_fields.items() if key in (name, info.alias))
        return [info.annotation for info in fields]
    return [part for part in get_args(kind) if part is not Ellipsis]


def _place(loc: Sequence[Key], data: Any, *, is_missing: bool) -> Place:
    """The path in the data: pydantic's location without the names of union members and validators."""
    place: list[Key] = []
    for index, key in enumerate(loc):
        is_last = index == len(loc) - 1
        inner = step_into(data, key)
        if inner is not ABSENT:
            data = inner
        elif not (is_missing and is_last):
            continue
        place.append(key)
    return tuple(place)


def _holds(data: Any, place: Place) -> bool:
    for key in place:
        data = step_into(data, key)
    return data is not ABSENT


def _text(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _PLAIN:
        return _PLAIN[kind] if kind == "missing" else f"{_PLAIN[kind]}, not {_shown(item['input'])}"
    if kind == "literal_error":
        names = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        guess = closest(str(item["input"]), names)
        mended = f"; did you mean '{guess}'?" if guess else ""
        return f"must be {context['expected']}, not {_shown(item['input'])}{mended}"
    for sign, words in (
        ("greater_than_equal", "{} or more"),
        ("greater_than", "more than {}"),
        ("less_than_equal", "at most {}"),
    ):
        if kind == sign:
            bound = words.format(f"{context.get('ge', context.get('gt', context.get('le'))):,}")
            return f"must be {bound}, not {_shown(item['input'])}"
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        return f"must have {bound} of them, not {context['actual_length']}"
    text = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = text.replace("Input should be", "must be").replace("should have", "must have")
    return text[:1].lower() + text[1:] if text.startswith(("Value", "List", "Dict", "String", "Tuple")) else text


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:40]}...") if isinstance(value, str) else text[:40]


def _problem(message: str, code: str, place: Place, locate: Locate, at: Sequence[Key]) -> Problem:
    file, line = locate(place)
    path = ".".join(str(key) for key in (*at, *place)) or None
    return Problem(message, code, file, line, path)
