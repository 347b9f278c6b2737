"""LitServe around a graph: a worker for each processor, up to 16 texts a run, for `bench_serve.py`."""

import sys

import litserve
from peer_graph import Graph


class Api(litserve.LitAPI):
    """Its requests have the shape of ours: {"inputs": text}."""

    def __init__(self, folder: str, file: str) -> None:
        super().__init__(max_batch_size=16, batch_timeout=0.005)
        self.folder, self.file = folder, file

    def setup(self, device):
        self.graph = Graph(self.folder, self.file)

    def decode_request(self, request):
        return request["inputs"]

    def predict(self, texts):
        return self.graph.answers(texts)

    def encode_response(self, answer):
        return [answer]


if __name__ == "__main__":
    folder, file, port, workers = sys.argv[1:]
    server = litserve.LitServer(Api(folder, file), accelerator="cpu", workers_per_device=int(workers))
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
