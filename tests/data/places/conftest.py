"""The store of the tests, and an environment in which nothing else is asked for credentials."""

import pytest

from .object_store import ENVIRONMENT, ObjectStore, start


@pytest.fixture(scope="session")
def running_store() -> ObjectStore:
    """Start the store once."""
    return start()


@pytest.fixture
def store(running_store, monkeypatch) -> ObjectStore:
    """Name the store in the environment, as a user does; forget connections of other tests."""
    from udaseg.data.places import store as module

    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": running_store.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    module.open_store.cache_clear()
    running_store.faults.clear()
    running_store.requests.clear()
    return running_store
