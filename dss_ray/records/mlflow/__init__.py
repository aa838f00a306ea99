"""All that knows MLflow: the store, a sweep's runs, the registry of champions."""
