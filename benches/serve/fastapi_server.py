"""A compiled detector in ONNX Runtime behind FastAPI and uvicorn: `fastapi_server.py MODEL PORT THREADS`.

One process; each request is decoded and judged by itself on a thread of the pool, and the run of the network is shared out
over THREADS.
"""

import io
import sys

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image

MODEL, PORT, THREADS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
app = FastAPI()
options = ort.SessionOptions()
options.intra_op_num_threads = THREADS
session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
outputs = ["prediction", "odin", "is_in_distribution"]


def judge(png):
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[None]
    prediction, odin, inside = session.run(outputs, {name: pixels})
    return {"prediction": int(prediction[0]), "odin": float(odin[0]), "is_in_distribution": bool(inside[0])}


@app.post("/score")
async def score(request: Request):
    return await run_in_threadpool(judge, await request.body())


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
