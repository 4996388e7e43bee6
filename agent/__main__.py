"""`python -m agent` is `sbcwatch`."""

from agent.cli import main

raise SystemExit(main())
