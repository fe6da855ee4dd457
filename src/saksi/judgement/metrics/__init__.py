"""What a program reports to a tracker, beside the losses that were witnessed. A tracker shows what it is given."""
