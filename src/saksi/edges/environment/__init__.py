"""What a command would run with, looked up before it runs: interpreter, repository, distributions, machine."""
