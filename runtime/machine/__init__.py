"""The program on the machine: `boot`, `check`, `status`; standard library and contract only."""
