"""dss_ray finds fast solvers for diffusion and flow models."""
