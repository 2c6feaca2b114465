"""Is the public API what `sim.__all__` says, documented, and free to import?"""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import sim


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_sim_loads_no_third_party_package() -> None:
    """Against the modules that an empty interpreter has: what site and .pth files load is not ours."""
    names = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    before = set(_run(names).split())
    after = set(_run("import sim; " + names).split())
    assert after - before - set(sys.stdlib_module_names) == {"sim"}


@pytest.mark.parametrize("name", sorted(set(sim.__all__) - {"__version__"}))
def test_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(sim, name)
    assert value.__doc__ not in (None, type(value).__doc__)
    assert inspect.cleandoc(value.__doc__)[0].isupper()


def test_all_is_sorted_and_listed() -> None:
    assert sim.__all__ == sorted(sim.__all__)
    assert set(sim.__all__) <= set(dir(sim))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sim' has no attribute 'nothing'"):
        sim.nothing  # noqa: B018  (looking it up is the test)
