"""Solvers as tables: grids, classical and published tables, the one loop, the reference."""
