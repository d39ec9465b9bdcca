"""The bench step: the first iterations of one training, looked at from outside its process."""
