"""Tells Piccolo which tables are ours and where their migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig, table_finder

APP_CONFIG = AppConfig(
    app_name="setpoint",
    migrations_folder_path=str(Path(__file__).parent / "versions"),
    table_classes=table_finder(modules=["app.log.tables", "app.settings.tables"]),
)
