"""`python -m udaseg`, which is how torchrun starts a stage."""

from udaseg.stages.cli import main

if __name__ == "__main__":
    main()
