"""Three times what a server can answer: how long refusals and `/livez` take, and how soon all is as before."""

import os
import time

from paced import Paced, summary

_BEFORE, _AFTER = 8, 10
"""Seconds at less than what it can answer, before and after."""
_SHARE, _TIMES = 0.5, 3.0
_CONNECTIONS = 700


def overload(server, bodies, seconds):
    """Figures of one server: what it can answer, and by stage what callers met."""
    server.window(bodies, 1, 64, 2)
    windows = [server.window(bodies, 1, 64, 4) for _ in range(2)]
    most = max(one.texts / one.seconds for one in windows)
    stages = [(most * _SHARE, _BEFORE), (most * _TIMES, seconds), (most * _SHARE, _AFTER)]
    begun, before = time.monotonic(), server.cpu()
    answers, pages = Paced(server.port, bodies, stages, _CONNECTIONS).answers()
    found = {
        "answers_per_second": most,
        "load": os.getloadavg()[0],
        "processors": (server.cpu() - before) / (time.monotonic() - begun),
    }
    start = min(one[0] for one in answers)
    for name, (_, length) in zip(("before", "over", "after"), stages, strict=True):
        end = start + length
        own = [one for one in answers if start <= one[0] < end]
        found[name] = {
            "predict": summary(own),
            "livez": summary([one for one in pages if start <= one[0] < end]),
        }
        start = end
    found["recovered_seconds"] = _recovered(found, answers, start - _AFTER)
    return found


def _recovered(found, answers, end):
    """How long after it the last request came that was refused, or took more than twice as long as before."""
    slow = 2 * found["before"]["predict"]["200"]["p99"] / 1000
    late = [due - end for due, _, took, status in answers if due >= end and (status != 200 or took > slow)]
    return max(late, default=0.0)


def shown(found):
    """The figures in lines."""
    lines = [
        f"can answer {found['answers_per_second']:.0f}/s; it had {found['processors']:.2f} processors, "
        f"the load of the machine is {found['load']:.1f}; as before after {found['recovered_seconds']:.1f} s"
    ]
    for name in ("before", "over", "after"):
        for of, row in found[name].items():
            times = (f"{key}: {' '.join(f'{k} {v:.1f}' for k, v in own.items())}" for key, own in row.items())
            lines.append(f"{name:7} {of:8}" + " | ".join(times))
    return "\n".join(lines)
