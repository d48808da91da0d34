"""A compiled detector in ONNX Runtime behind FastAPI and uvicorn: `fastapi_server.py MODEL PORT RUNS THREADS`.

One process; each request is decoded and judged by itself, so many at a time as RUNS says, each on THREADS. More runs and
threads than cores make threads of ONNX Runtime wait for each other, and everything many times slower.
"""

import asyncio
import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

MODEL, PORT, RUNS, THREADS = sys.argv[1], *map(int, sys.argv[2:])
app = FastAPI()
options = ort.SessionOptions()
options.intra_op_num_threads = THREADS
session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
pool = ThreadPoolExecutor(RUNS)
outputs = ["prediction", "odin", "is_in_distribution"]


def judge(png):
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[None]
    prediction, odin, inside = session.run(outputs, {name: pixels})
    return {"prediction": int(prediction[0]), "odin": float(odin[0]), "is_in_distribution": bool(inside[0])}


@app.post("/score")
async def score(request: Request):
    return await asyncio.get_running_loop().run_in_executor(pool, judge, await request.body())


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
