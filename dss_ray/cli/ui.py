"""The command that opens the records of sweeps in a browser."""

import sys
from contextlib import ExitStack, suppress

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
            from dss_ray.records.servers import check_port, serving
            from dss_ray.records.ui import addresses, mlflow_server

            if name is not None:
                require_sweep(RUNS, name)
            tracker, studies = mlflow_server(host, port), None
            if optuna:
                from dss_ray.tune.dashboard import dashboard_server

                studies = dashboard_server(RUNS, name, host, port + 1)
            servers = [server for server in (tracker, studies) if server]
            for server in servers:
                check_port(server)
            found = addresses(tracker, name or newest(RUNS))
            found |= {"studies": f"{studies.address}/dashboard/"} if studies else {}
            running = stack.enter_context(serving(servers))
        with suppress(KeyboardInterrupt):
            for what, address in found.items():
                sys.stderr.write(f"{what + ':':10} {address}\n")
            if servers:
                sys.stderr.write("Ctrl-C ends\n")
                running.watch()
