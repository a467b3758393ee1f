# udaseg in a container; docs/reliability.md says how it is used. Nothing needs it.
FROM python:3.11-slim

WORKDIR /opt/udaseg
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY udaseg udaseg
COPY stages stages
RUN python -m pip install --no-cache-dir --constraint constraints.txt '.[export,tensorboard]'

WORKDIR /mnt
ENTRYPOINT ["udaseg"]
CMD ["--help"]
