"""Operating system services of a loop: clock, signals, real-time scheduling, garbage collection, systemd."""
