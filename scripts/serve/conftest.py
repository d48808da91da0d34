import pytest
from support import DETECTOR, RESIZING, Service


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="what takes minutes, too")


@pytest.fixture
def long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def service():
    """A service of one detector that tests share."""
    with Service(DETECTOR) as service:
        yield service


@pytest.fixture(scope="session")
def two():
    """A service of two detectors; the second takes images of any size."""
    with Service(DETECTOR, RESIZING) as service:
        yield service
