"""All of it: `make reliability`, or `python -m tests.reliability`."""

import sys

from . import fuzz, kills
from .tiny import finished

with finished() as run:
    sound = fuzz.table(fuzz.fuzz(2000, run))
    sound = kills.table(run, 20) and sound
sys.exit(not sound)
