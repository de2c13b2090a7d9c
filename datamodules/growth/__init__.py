"""Which training examples there are in which stage."""
