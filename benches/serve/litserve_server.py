"""A compiled detector in ONNX Runtime behind LitServe, which gathers batches: `litserve_server.py MODEL PORT WORKERS THREADS WAIT`.

LitServe hands forms and JSON on, no other bodies: images are Base64 in JSON. A batch waits WAIT seconds for up to 32 images. So many processes as
WORKERS says judge, each on THREADS.
"""

import base64
import io
import sys

import litserve
import numpy as np
import onnxruntime as ort
from PIL import Image

MODEL, PORT, WORKERS, THREADS, WAIT = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
OUTPUTS = ["prediction", "odin", "is_in_distribution"]


class Detector(litserve.LitAPI):
    def setup(self, device):
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def decode_request(self, request):
        png = base64.b64decode(request["image"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, pixels):
        return self.session.run(OUTPUTS, {self.name: pixels})

    def unbatch(self, found):
        return list(zip(*found))

    def encode_response(self, found):
        prediction, odin, inside = found
        return {"prediction": int(prediction), "odin": float(odin), "is_in_distribution": bool(inside)}


if __name__ == "__main__":
    api = Detector(max_batch_size=32, batch_timeout=WAIT, api_path="/score")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, timeout=60, fast_queue=True)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, log_level="warning", access_log=False, generate_client_file=False)
