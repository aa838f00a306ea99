"""A found solver with all that is needed to use it and to find it again, as one JSON file."""

from dss_ray.bundle.bundle import Bundle, json_schema, software_versions
from dss_ray.bundle.conventions import LINEAR, Conventions, ModelConventions, conventions_of
from dss_ray.bundle.file import (
    bundle_text,
    content_hash,
    load_bundle,
    save_bundle,
    write_bundle,
    write_whole,
)
from dss_ray.bundle.fit import fitted_to
from dss_ray.bundle.parts import Measured, SearchProvenance, SweepProvenance

__all__ = [
    "LINEAR",
    "Bundle",
    "Conventions",
    "Measured",
    "ModelConventions",
    "SearchProvenance",
    "SweepProvenance",
    "bundle_text",
    "content_hash",
    "conventions_of",
    "fitted_to",
    "json_schema",
    "load_bundle",
    "save_bundle",
    "software_versions",
    "write_bundle",
    "write_whole",
]
