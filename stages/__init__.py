"""The shell: one command a file. It installs as udaseg.stages."""

if __name__ != "udaseg.stages":
    raise ImportError("import udaseg.stages, or run `python -m udaseg <command>`: stages/ installs as udaseg.stages")
