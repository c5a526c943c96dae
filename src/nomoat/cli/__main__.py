"""`python -m nomoat.cli`: the same as the `nomoat` command."""

from nomoat.cli.root import main

if __name__ == "__main__":
    main()
