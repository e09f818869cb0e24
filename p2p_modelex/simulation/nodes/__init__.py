"""Nodes: cores as processes on machines, with their disks, timers and streams."""
