"""dss_ray finds fast solvers for diffusion and flow models.

``load_model``, ``load_solver``, ``search``, ``sample`` and ``evaluate`` are the commands' verbs as
functions; they load on first use, so that importing the package costs nothing.
"""

import sys
from importlib import metadata
from types import ModuleType
from typing import Any

__version__ = metadata.version("dss_ray")
VERBS = ("evaluate", "load_model", "load_solver", "sample", "search")


class Package(ModuleType):
    """The module itself, with verbs that import what they need when they are first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name not in VERBS:
            raise AttributeError(f"module 'dss_ray' has no attribute '{name}'")
        from dss_ray import api

        return getattr(api, name)

    @property
    def search(self) -> Any:
        """The verb, which shares its name with the subpackage that does the work."""
        return self.__getattr__("search")

    @search.setter
    def search(self, module: ModuleType) -> None:
        """The import system offers the subpackage here; ``sys.modules`` keeps it anyway."""

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *VERBS]


sys.modules[__name__].__class__ = Package
