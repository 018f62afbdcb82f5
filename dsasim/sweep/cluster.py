"""Workers of a dask cluster (extra `cluster`): the same loop, on other machines."""

from concurrent.futures import Executor
from typing import cast

from dsasim.errors import ConfigError

TIMEOUT_SECONDS = 20


class ClusterWorkers:
    """The workers behind a dask scheduler. dask itself runs a job again elsewhere when a worker dies.

    Every worker needs dsasim of this version, and the trace files at the same paths.
    """

    def __init__(self, address: str) -> None:
        """Connect; ConfigError if the extra is not installed, or nobody answers."""
        try:
            from distributed import Client, KilledWorker
        except ImportError:
            raise ConfigError("--scheduler needs the extra cluster: pip install 'dsasim[cluster]'") from None
        try:
            self._client = Client(address, timeout=TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            raise ConfigError(f"--scheduler {address}: {error}") from None
        self.lost: type[Exception] = KilledWorker
        self.num_workers = sum(self._client.nthreads().values())
        if not self.num_workers:
            raise ConfigError(f"--scheduler {address}: has no workers")

    def start(self) -> Executor:
        """Return a view of the cluster as an executor."""
        # pure: an equal job would not be run again; ours are never equal, and a crash must not be remembered
        return cast("Executor", self._client.get_executor(pure=False))

    def stop(self, executor: Executor) -> None:
        """Drop what is still to be run, and leave the cluster to its owner."""
        executor.shutdown(wait=False)
        self._client.close()
