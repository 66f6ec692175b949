"""Analysis of networks: accuracy by task, comparison, stability over long runs, sensitivity to inputs."""
