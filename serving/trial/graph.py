"""A graph of texts on trial: opened, and run for rows of several numbers and lengths."""

from pathlib import Path

import numpy as np

from tunewright.serving.errors import BundleError
from tunewright.serving.runtime.session import Session
from tunewright.serving.text.encoding import check_inputs
from tunewright.serving.trial.verdicts import Verdict

_SHAPES = ((1, 4), (3, 7), (2, 5))
"""Rows, and tokens of each."""


def judge(path: str) -> Verdict:
    """Whether it answers each token, and how many numbers it gives. BundleError where it is not from rows of token ids
    to float32 logits, whatever their number and length."""
    session = Session(Path(path))
    check_inputs(session.inputs)
    for node in session.onnx.get_inputs():
        if node.type != "tensor(int64)":
            raise BundleError(f"the graph wants {node.name} as {node.type}; expected tensor(int64)")
    outputs = {node.name: node.type for node in session.onnx.get_outputs()}
    if outputs != {"logits": "tensor(float)"}:
        given = ", ".join(f"{name} ({kind})" for name, kind in list(outputs.items())[:8])
        raise BundleError(f"the graph gives {given}; expected logits (tensor(float)) and nothing else")
    found = [_answered(session, rows, tokens) for rows, tokens in _SHAPES]
    if len(set(found)) > 1:
        raise BundleError(f"the graph gives other numbers of logits for rows of other lengths ({found})")
    per_token, labels = found[0]
    return {"per_token": int(per_token), "labels": labels}


def _answered(session: Session, rows: int, tokens: int) -> tuple[bool, int]:
    """Whether each token is answered, and with how many numbers."""
    values = {"attention_mask": 1, "input_ids": 1, "token_type_ids": 0}
    given = {name: np.full((rows, tokens), values[name], dtype=np.int64) for name in session.inputs}
    try:
        (logits,) = session.run(given)
    except Exception as error:  # ONNX Runtime has no common class for what it cannot run
        raise BundleError(
            f"the graph does not take {rows} rows of {tokens} tokens ({str(error).splitlines()[0][:300]}); export it "
            "with axes that may vary, as `optimum-cli export onnx` does"
        ) from error
    if logits.shape[:-1] not in ((rows,), (rows, tokens)):
        raise BundleError(
            f"the graph gives logits of the shape {list(logits.shape)} for {rows} rows of {tokens} tokens; expected "
            f"[{rows}, labels] or [{rows}, {tokens}, labels]"
        )
    return logits.ndim == 3, logits.shape[-1]
