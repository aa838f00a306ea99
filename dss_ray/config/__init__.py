"""YAML becomes frozen settings here, and strings objects, and nowhere else."""
