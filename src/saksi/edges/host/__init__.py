"""What the kernel says about processes, from outside them."""
