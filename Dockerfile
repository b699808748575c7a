# linux/amd64 only: oso has no wheel for Linux on ARM (docs/decisions/0007).
FROM python:3.11-slim

WORKDIR /srv/setpoint
COPY requirements/server.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/server.txt

COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
COPY policies policies
# The data folder holds the local development key; PostgreSQL and Redis are services of their own here.
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/setpoint

USER 65532:65532
ENV PYTHONUNBUFFERED=1 SETPOINT_HOST=0.0.0.0 SETPOINT_DATA_DIR=/var/lib/setpoint
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('SETPOINT_PORT', '8080') + '/api/health/ready', timeout=2)"]
CMD ["setpoint", "serve"]
