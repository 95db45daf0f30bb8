"""The outside: transport, processes and the command line. No mathematics."""
