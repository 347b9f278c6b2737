"""What is sent to a bucket while the run goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tunewright.job.progress.events import warn
from tunewright.registry.errors import RegistryError


class Sender:
    """One thing after the other; what cannot be sent ends no run, as it lies on the disk too."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pool: ThreadPoolExecutor | None = None
        self._sent: list[Future[None]] = []

    def submit(self, send: Callable[[], None]) -> None:
        """Send it after what was submitted before."""
        self._pool = self._pool or ThreadPoolExecutor(1, "sender")
        self._sent.append(self._pool.submit(self._try, send))

    def wait(self, *, cancel: bool = False) -> None:
        """Until all is sent; with `cancel`, until what is being sent is."""
        if self._pool:
            self._pool.shutdown(cancel_futures=cancel)
            self._pool = None
        for one in self._sent:
            if not one.cancelled():
                one.result()
        self._sent.clear()

    def _try(self, send: Callable[[], None]) -> None:
        try:
            send()
        except (OSError, RegistryError) as error:
            warn("checkpoint", f"{self._what} was not sent: {error}; the run goes on, and it lies on the disk")
