"""The files that exports write, as modules of a one-step Euler solver in place of the user's."""
