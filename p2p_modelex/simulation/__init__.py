"""Runs the cores of many nodes under virtual time: a seed and a scenario repeat a run exactly.

The same `core/node.py` that serves real peers is driven here by one event queue over modelled
links, engines, disks and a modelled chain. docs/simulation.md walks through it.
"""
