"""What is installed on this machine, what is wrong with it, and the command that repairs it."""
