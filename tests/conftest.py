"""What tests of several folders share lies in tests/fixtures."""

pytest_plugins = ["made_rows", "servers", "tiny_pipelines"]
