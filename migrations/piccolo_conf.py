"""Where Piccolo connects: `SETPOINT_DATABASE_URL`, which `setpoint migrate` sets."""

import os

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

DB = PostgresEngine(
    config={"dsn": os.environ["SETPOINT_DATABASE_URL"]},
    extensions=(),  # the embedded PostgreSQL has none, and we need none
)

APP_REGISTRY = AppRegistry(apps=["migrations.piccolo_app"])
