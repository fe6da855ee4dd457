"""What an optimizer's step makes of a parameter, its gradient and its state: recomputed from samples, without torch."""
