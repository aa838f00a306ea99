"""Writes kubernetes.json: of Kubernetes' definitions those of pods and claims, undescribed.

Run by hand with the file that README.md names.
"""

import json
import sys
from pathlib import Path
from typing import Any

WANTED = ["io.k8s.api.core.v1.PodTemplateSpec", "io.k8s.api.core.v1.PersistentVolumeClaim"]


def bare(schema: Any, names: bool = False) -> Any:
    """Without descriptions; ``names`` says that the keys are those of properties."""
    if isinstance(schema, list):
        return [bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: bare(value, key == "properties" and not names)
        for key, value in schema.items()
        if names or (key != "description" and not key.startswith("x-kubernetes-"))
    }


definitions = json.loads(Path(sys.argv[1]).read_text())["$defs"]
found: dict[str, Any] = {}
while WANTED:
    name = WANTED.pop()
    if name not in found:
        found[name] = bare(definitions[name])
        WANTED += [part.split('"')[0] for part in json.dumps(found[name]).split("#/$defs/")[1:]]
lines = [f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)]
text = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {\n'
Path(__file__).with_name("kubernetes.json").write_text(text + ",\n".join(lines) + "\n}}\n")
