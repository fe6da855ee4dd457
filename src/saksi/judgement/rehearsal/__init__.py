"""The rehearsal: what a clean process of the approved command looked like in its first steps."""
