"""``python -m candil`` does what the command ``candil`` does."""

import sys

from candil.cli import main

if __name__ == "__main__":
    sys.exit(main())
