"""The parts of scripts/measure_gpu.py."""
