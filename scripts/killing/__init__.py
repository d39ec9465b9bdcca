"""The parts of check_kills.py: which moments, how they are hit, and what is looked at after."""
