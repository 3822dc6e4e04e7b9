"""moto with a data plane: tasks and instances that run, targets that are checked, a load balancer that forwards."""
