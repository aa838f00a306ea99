"""The command that opens the records of sweeps in a browser."""

import sys
from contextlib import ExitStack

from dss_ray.cli import options
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import verb


@verb
def ui(
    name: options.Opened = None,
    *,
    optuna: options.Optuna = False,
    port: options.Port = 5000,
    host: options.Host = "127.0.0.1",
) -> None:
    """Serve MLflow's pages on the sweeps' records, and optuna-dashboard's, until Ctrl-C."""
    with ExitStack() as stack:
        with stage("starting the servers"):
            from dss_ray.records.runs import RUNS, newest, require_sweep
            from dss_ray.records.servers import serving
            from dss_ray.records.ui import mlflow_server, pages

            if name is not None:
                require_sweep(RUNS, name)
            sweep = name or newest(RUNS)
            server = mlflow_server(host, port)
            found, servers = pages(server, sweep), [server] if server else []
            if optuna:
                from dss_ray.tune.dashboard import dashboard_server

                servers.append(dashboard_server(RUNS, sweep, host, port + 1))
                found["studies"] = f"{servers[-1].address}/dashboard/"
            running = stack.enter_context(serving(servers))
        for what, address in found.items():
            sys.stderr.write(f"{what + ':':10} {address}\n")
        if servers:
            sys.stderr.write("Ctrl-C ends\n")
            running.wait()
