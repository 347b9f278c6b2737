"""A process that is stopped, killed or cheated of an answer at any call of its store; a store in which time passes."""

import threading
from dataclasses import replace

from tunewright.registry.errors import Unreachable


class Killed(BaseException):
    """The process ends here."""


class Process:
    """A process that stands still before each call of its store until it may go on, and may be killed there.

    `may_raise`: errors with which it may end; then `refused` holds it. Any other is raised by whoever lets it go on.
    """

    def __init__(self, store, work, may_raise=()):
        self._store, self._turn, self._stood = store, threading.Semaphore(0), threading.Semaphore(0)
        self._may_raise = may_raise
        self._dies = self._loses = False
        self.ended = self.killed = self.has_lost = False
        self.result = self.error = self.refused = self.next = None
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        self._stood.acquire()

    def _run(self, work):
        try:
            self.result = work(self)
        except Killed:
            pass
        except BaseException as error:
            if isinstance(error, self._may_raise) or (self.has_lost and isinstance(error, Unreachable)):
                self.refused = error
            else:
                self.error = error
        self.ended = True
        self._stood.release()

    def step(self, times=1):
        for _ in range(times):
            if not self.ended:
                self._turn.release()
                self._stood.acquire()
        if self.error:
            raise self.error

    def finish(self):
        while not self.ended:
            self.step()

    def kill(self, *, after=False):
        """End it before the call at which it stands, or once that is done."""
        self._dies, self.killed = after, not after
        self.finish()
        self.killed = True

    def lose(self):
        """The call at which it stands is carried out, and the process is told that nobody has answered."""
        self._loses = True
        self.step()

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*words, **more):
            self.next = (name, *words)
            self._stood.release()
            self._turn.acquire()
            if self.killed:
                raise Killed
            answer = found(*words, **more)
            answer = list(answer) if name in ("list", "leftovers") else answer
            if self._loses:
                self._loses, self.has_lost = False, True
                raise Unreachable("the answer was lost")
            if self._dies:
                self.killed = True
                raise Killed
            return answer

        return call


class Calendar:
    """A store of any kind in which time passes when it is told to: what was written before is that much older then."""

    def __init__(self, store):
        self._store, self._passed, self._written = store, 0.0, {}

    def __getattr__(self, name):
        return getattr(self._store, name)

    def let_pass(self, seconds):
        self._passed += seconds

    def create(self, key, data):
        made = self._store.create(key, data)
        if made:
            self._written[key] = self._passed
        return made

    def upload(self, key, path, *, sha256=None):
        self._store.upload(key, path, sha256=sha256)
        self._written[key] = self._passed

    def copy(self, key, target):
        self._store.copy(key, target)
        self._written[target] = self._passed

    def stat(self, key):
        return self._aged(self._store.stat(key))

    def list(self, prefix, **more):
        return map(self._aged, self._store.list(prefix, **more))

    def leftovers(self, prefix):
        return map(self._aged, self._store.leftovers(prefix))

    def _aged(self, found):
        return replace(found, modified=found.modified - self._passed + self._written.get(found.key, 0.0))
