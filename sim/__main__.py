"""`python -m sim` is the `sparksim` command."""

from sim.cli import entry

if __name__ == "__main__":
    entry()
