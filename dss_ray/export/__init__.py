"""Solvers in the forms of the tools that people sample with."""
