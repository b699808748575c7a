"""The application with the certification scenario's policy beside the shipped one, and its fixture (§2 of it)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from app.config import Config
from app.domain.access import Principal
from app.kit import asgi
from app.main import create_app
from tests.fixtures import started
from tests.world import CREATE, Api, SteppableClock

SCENARIO = Path(__file__).resolve().parents[3] / "policies" / "examples" / "authzen-certification"
PUBLIC_URL = "https://pdp.example.test"
# A service that is believed about others, and one that may only ask.
PEP = Principal(id="pep", kind="service", tenant="acme", roles=("service",), scopes=("pdp:assert",), scoped=True)
READER = msgspec.structs.replace(PEP, id="reader", scopes=("pdp:read",))
FIXTURE = {
    "USER/alice": {"roles": ["editor"]},
    "USER/bob": {"role": "admin"},
    "ACCOUNT/record-1": {"status": "active"},
    "ACCOUNT/record-2": {"status": "archived"},
}


@pytest.fixture(scope="session")
def scenario_config(config: Config, app_url: str) -> Config:
    """How the decision point runs."""
    return msgspec.structs.replace(
        config, database_url=app_url, policies_dir=f"shipped,{SCENARIO}", public_url=PUBLIC_URL, max_evaluations=50
    )


@pytest.fixture(scope="session")
def scenario_application(scenario_config: Config, clock: SteppableClock) -> asgi.App:
    """The application, not started."""
    return create_app(scenario_config, clock=clock)


@pytest.fixture
async def pdp(
    db: object, scenario_application: asgi.App, scenario_config: Config, clock: SteppableClock
) -> AsyncIterator[Api]:
    """The running decision point."""
    del db
    async with started(scenario_application):
        api = Api(scenario_application, config=scenario_config, clock=clock)
        for path, attributes in FIXTURE.items():
            headers = {"If-Match": "*"} if path.startswith("USER") else CREATE
            response = await api.admin.put(f"/api/scopes/{path}", json={"attributes": attributes}, headers=headers)
            assert response.is_success, response.text
        yield api


@pytest.fixture
async def pep(pdp: Api) -> httpx.AsyncClient:
    """A client that is believed."""
    return pdp.of(PEP)
