"""An object store behind fsspec: opened by its address, read with time-outs and retries."""

import errno
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import IO, Any, TypeVar

from udaseg.errors import UdasegError
from udaseg.io.addresses import is_address

Result = TypeVar("Result")

ATTEMPTS = 6  # at a request, before it is an error
FIRST_WAIT = 0.5  # seconds before the second attempt; twice as long before each further one, half of it at random
LONGEST_WAIT = 16.0  # seconds
CONNECT_TIMEOUT = 10  # seconds to reach the store
READ_TIMEOUT = 60  # seconds without a byte of the answer
_VERSIONS = ("etag", "md5hash", "blob_id", "oid")  # what stores call the version of an object, in lower case
_TRANSIENT = {errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE, errno.EIO,
              getattr(errno, "EREMOTEIO", errno.EIO)}  # fmt: skip
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PACKAGES = {"s3": "s3fs", "http": "aiohttp", "https": "aiohttp", "gs": "gcsfs", "gcs": "gcsfs"}


class Store:
    """The objects below an address. Names of objects are relative to it."""

    def __init__(self, address: str):
        self.address = address
        self.protocol = address.partition("://")[0]
        self._fs, self._base = _connect(address)

    def locate(self, name: str) -> str:
        """Return the path of an object in the file system of the store."""
        return f"{self._base}/{name}" if name else self._base

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object, or its bytes from `start` up to `end`; raise UdasegError where it cannot be read."""
        if start is None:
            return self.attempt(name, lambda: self._fs.cat_file(self.locate(name)))
        data = self.attempt(name, lambda: self._fs.cat_file(self.locate(name), start=start, end=end))
        if end is not None and len(data) > end - start:  # some servers give the whole file
            raise UdasegError(
                f"{self.address}/{name}: expected {end - start} bytes of it, found {len(data)}: the server gives no "
                "parts of a file",
                "shards need a server that answers range requests; copy them to one, or to this machine",
            )
        return data

    def status(self, name: str) -> dict[str, Any]:
        """Ask for the size and version of an object; raise UdasegError where it is not there."""
        self._fs.invalidate_cache()
        return self.attempt(name, lambda: self._fs.info(self.locate(name)))

    def list(self, folder: str) -> list[dict[str, Any]]:
        """List what lies directly in a folder, as fsspec describes it."""
        return self.attempt(folder, lambda: self._fs.ls(self.locate(folder), detail=True, refresh=True))

    def page(self, after: str, token: str | None) -> dict[str, Any]:
        """Return a page of S3's own listing of all objects: the next one of a token, else those after a name."""
        bucket, _, prefix = self._base.partition("/")
        prefix = f"{prefix}/" if prefix else ""
        place = {"ContinuationToken": token} if token else {"StartAfter": prefix + after} if after else {}
        call = {"Bucket": bucket, "Prefix": prefix, **place}
        return self.attempt("", lambda: self._fs.call_s3("list_objects_v2", **call))

    def relative(self, path: str) -> str:
        """Return the name of an object from its path in the file system."""
        base = self._fs._strip_protocol(self._base).strip("/")
        return self._fs._strip_protocol(path).strip("/")[len(base) :].strip("/")

    def open(self, name: str, block: int) -> IO[bytes]:
        """Open an object to read it from its beginning, in blocks of so many bytes."""
        return _Stream(self, name, block)

    def attempt(self, name: str, request: Callable[[], Result]) -> Result:
        """Make a request; make it again, after a while, where the failure may pass. Raises UdasegError."""
        wait = FIRST_WAIT
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return request()
            except UdasegError:
                raise
            except Exception as error:  # each store has its own exceptions
                if not _is_transient(error) or attempt == ATTEMPTS:
                    raise self._explain(name, error, attempt) from None
            time.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LONGEST_WAIT)
        raise AssertionError

    def _explain(self, name: str, error: Exception, attempts: int) -> UdasegError:
        place = f"{self.address}/{name}" if name else self.address
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, FileNotFoundError) or _status(error) == 404:
            return AbsentObjectError(
                f"{place}: expected an object, found none",
                "check the address, and what lies there",
            )
        if isinstance(error, PermissionError) or _status(error) in (401, 403) or "Credentials" in type(error).__name__:
            return UdasegError(
                f"{place}: expected credentials that may read it, found none, or others: {text}",
                "give them in the environment or in the files of the store's own tools: for S3 AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or ~/.aws/credentials; AWS_ENDPOINT_URL for a store of your own",
            )
        if attempts > 1:
            return UdasegError(
                f"{place}: expected an answer, found after {attempts} attempts: {text}",
                "the store is slow or refuses so many requests; the same command goes on from where it was",
            )
        return UdasegError(f"{place}: cannot read it: {text}", "check the address, and the settings of the store")


class AbsentObjectError(UdasegError):
    """Report an object that is not there."""


class _Stream:
    """An object that is read once from its beginning, a block for each request, so that a failed block is tried again.

    tarfile reads it as a stream; `seek` and `tell` are for pyarrow.
    """

    def __init__(self, store: Store, name: str, block: int):
        self._store, self._name, self._block = store, name, block
        self.size = int(store.status(name)["size"])
        self._data, self._start, self._position = b"", 0, 0
        self.closed = False

    def read(self, count: int = -1) -> bytes:
        end = self.size if count is None or count < 0 else min(self.size, self._position + count)
        parts = []
        while self._position < end:
            if not self._start <= self._position < self._start + len(self._data):
                self._start = self._position
                stop = min(self.size, max(end, self._position + self._block))
                self._data = self._store.read(self._name, self._position, stop)
                if len(self._data) != stop - self._position:
                    raise UdasegError(
                        f"{self._store.address}/{self._name}: expected {stop - self._position} bytes from byte "
                        f"{self._position} on, found {len(self._data)}",
                        "it was changed while it was read; the same command goes on from where it was",
                    )
            offset = self._position - self._start
            part = self._data[offset : offset + end - self._position]
            self._position += len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@lru_cache(maxsize=8)
def open_store(address: str) -> Store:
    """Open a store, once in a process; raise UdasegError where the package that reads it is not installed."""
    return Store(address)


def version_of(status: dict[str, Any]) -> str | None:
    """Return what the store calls the version of an object, such as its ETag; None where it says nothing."""
    by_name = {key.lower(): value for key, value in status.items()}
    found = next((by_name[key] for key in _VERSIONS if by_name.get(key)), None)
    return None if found is None else str(found).strip('"')


def _connect(address: str) -> tuple[Any, str]:
    protocol = address.partition("://")[0]
    assert is_address(address)
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(protocol)
    except ImportError:
        package = _PACKAGES.get(protocol)
        extra = "pip install 'udaseg[remote]'"
        hint = extra if package in (None, "s3fs", "aiohttp") else f"{extra} {package}"
        raise UdasegError(f"{address}: reading it needs the package {package or 'fsspec'}", hint) from None
    except ValueError:
        raise UdasegError(
            f"{address}: no store has addresses that begin with {protocol}://", "s3://, gs://, https://, hf://, file://"
        ) from None
    fs = kind(skip_instance_cache=True, **_options(protocol))  # `retries` is set below
    if protocol == "s3":
        fs.retries = 1  # the attempts are counted here
    return fs, fs._strip_protocol(address).rstrip("/")


def _options(protocol: str) -> dict[str, Any]:
    """Return what a store is opened with; credentials and the endpoint it finds in the environment by itself."""
    if protocol == "s3":
        limits = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT, "retries": {"max_attempts": 0}}
        return {"config_kwargs": limits, "use_listings_cache": False, "max_concurrency": 1}
    if protocol in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
        return {"client_kwargs": {"timeout": timeout}, "use_listings_cache": False}
    return {}


def _is_transient(error: Exception) -> bool:
    if isinstance(error, TimeoutError | ConnectionError) or _status(error) in _TRANSIENT_STATUS:
        return True
    if isinstance(error, OSError) and error.errno in _TRANSIENT:
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    # Of aiohttp and botocore: a connection that fails, or an answer that is cut off.
    return bool(names & {"ClientConnectionError", "ClientPayloadError", "HTTPClientError", "IncompleteRead"})


def _status(error: Exception) -> int | None:
    """Return the status of an HTTP answer that an error of a store carries."""
    response = getattr(error, "response", None)
    found = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    return found or getattr(error, "status", None)
