"""Serve the runs of an output folder in a browser: python -m tracking.dashboard OUTPUT PORT."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

from tracking.mlflow_store import EVERY_RUN, VIEW, open_store, store_uri, view_address
from utils.scripts import exit_status
from utils.types import ConfigError

HOST = "127.0.0.1"


def addresses(output: str, server: str) -> Iterator[str]:
    """Yield a line for each experiment of an output folder's SQLite store, and one for each of its sweeps."""
    with open_store(SimpleNamespace(output_path=output, mlflow_uri=None)) as store:
        for experiment in reversed(store.client.search_experiments()):
            views = [tag.removeprefix(VIEW) for tag in experiment.tags if tag.startswith(VIEW)]
            for name in sorted(views, key=lambda name: (name != EVERY_RUN, name)):
                shown = f"all runs of {experiment.name}" if name == EVERY_RUN else f"sweep {name}"
                yield f"{shown}\n  {view_address(server, experiment.experiment_id, name)}"


def server_command(output: str, port: int, secret: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of MLflow's server, and its environment.

    It has no login, and every user of the machine can reach 127.0.0.1. So all its pages are below a secret path, which
    no command line shows. MLflow's default server has further routes outside of that path, so only the Flask
    application is served.
    """
    flask_only = ["--gunicorn-opts", "--threads 8"] if os.name == "posix" else ["--waitress-opts", ""]
    uri = store_uri(SimpleNamespace(output_path=output, mlflow_uri=None))
    place = ["--host", HOST, "--port", str(port), "--workers", "1", "--no-serve-artifacts", "--backend-store-uri", uri]
    return [sys.executable, "-W", "ignore", "-m", "mlflow", "server", *place, *flask_only], {
        "MLFLOW_STATIC_PREFIX": f"/{secret}",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST}:{port},localhost:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def serve(words: Sequence[str]) -> None:
    """Print the addresses of the prepared tables, and become MLflow's server. Raises: ConfigError."""
    output, port = words
    if not port.isdecimal() or not 0 < int(port[:6]) < 2**16:
        raise ConfigError(f"PORT={port}: must be a whole number from 1 to 65535")
    if not (Path(output) / "mlflow.db").is_file():
        raise ConfigError(f"no runs in {output} yet; python train.py creates one")
    secret = secrets.token_hex(16)
    command, environment = server_command(output, int(port), secret)
    print("\n".join(addresses(output, f"http://{HOST}:{port}/{secret}")))
    print("Anyone with such an address can change and delete the runs that it shows.", flush=True)
    os.execve(command[0], command, os.environ | environment)


if __name__ == "__main__":
    sys.exit(exit_status(lambda: serve(sys.argv[1:])))
