"""A runtime of mlserver around a graph: a worker for each processor, up to 16 texts a run, for `bench_serve.py`.

`peer_mlserver.py folder file port workers` writes its settings into a new folder and becomes mlserver there.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from peer_graph import Graph


class Runtime(MLModel):
    """Texts of the Open Inference Protocol to answers as JSON."""

    async def load(self) -> bool:
        self.graph = Graph(*self.settings.parameters.extra["graph"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = [json.dumps(answer) for answer in self.graph.answers(texts)]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("answers", answers)])


def main() -> None:
    folder, file, port, workers = sys.argv[1:]
    server = {"debug": False, "http_port": int(port), "grpc_port": int(port) + 1, "metrics_port": int(port) + 2}
    os.chdir(tempfile.mkdtemp())
    Path("settings.json").write_text(json.dumps(server | {"host": "127.0.0.1", "parallel_workers": int(workers)}))
    model = {"name": "reviews", "implementation": "peer_mlserver.Runtime", "max_batch_size": 16}
    model |= {"max_batch_time": 0.005, "parameters": {"extra": {"graph": [folder, file]}}}
    Path("model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(sys.executable, [sys.executable, "-m", "mlserver.cli.main", "start", "."])


if __name__ == "__main__":
    main()
