"""The sabotage benchmark: harmless toys whose truth is known, honest programs that look alike, and who can tell.

Rules: what is judged runs under the installed command, as a user's training does, and is judged by what that command
prints; nothing here is known to the checks. Each case draws its step, tensor, size and guard anew from a seed. A toy
acts in the process that it is put into and in a folder made for it, and ends no process that it did not start.
"""
