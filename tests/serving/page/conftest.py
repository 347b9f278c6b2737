"""The browser of the tests of the page, and a server of each kind of model."""

import importlib.util
from pathlib import Path

import pytest
from chromium import PROGRAMS, Browser, program

_CLIENTS = Path(__file__).parents[1] / "protocols/conftest.py"
_spec = importlib.util.spec_from_file_location("clients", _CLIENTS)
_clients = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_clients)
# A server of each kind of model, as the tests of the protocols have it.
served, bundle = _clients.served, _clients.bundle


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The tab of a Chromium that runs as long as the tests."""
    found = program()
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is installed")
    opened = Browser(found, tmp_path_factory.mktemp("browser") / "profile")
    yield opened
    opened.close()
