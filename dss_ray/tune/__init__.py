"""The outer search: Ray Tune runs the jobs, one Optuna study per model chooses them."""
