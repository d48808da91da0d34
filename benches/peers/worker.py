"""Runs ODIN with one peer: `worker.py PEER NETWORK DETECTOR IMAGES THREADS`.

Reads lines `BATCH COUNT` from standard input, scores the first COUNT images in batches of BATCH,
and answers each with the seconds and the scores as JSON: what `odin_bench serve` does.
"""

import json
import resource
import sys
import time

import numpy as np

TEMPERATURE, MAGNITUDE = 1000.0, 0.0014


class Torch:
    """Weights frozen, gradient for the input only."""

    def __init__(self, network, threads, compiled=False, channels_last=False):
        import torch
        import networks

        torch.set_num_threads(threads)
        self.torch, self.network = torch, networks.NETWORKS[network]
        self.normalize = lambda x: networks.normalize(self.network, x)
        std = torch.tensor(self.network.normalization[1]).view(1, 3, 1, 1)
        self.step = MAGNITUDE / std
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.module = networks.build(network).to(memory_format=self.format)
        if compiled:
            torch._dynamo.config.recompile_limit = 64
            self.module = torch.compile(self.module, dynamic=False)

    def __call__(self, images):
        torch, F = self.torch, self.torch.nn.functional
        x = self.normalize(torch.from_numpy(images)).contiguous(memory_format=self.format)
        logits = self.module(x.requires_grad_())
        prediction = logits.detach().argmax(1)
        loss = F.cross_entropy(logits / TEMPERATURE, prediction, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            perturbed = self.module(self.perturb(x, gradient))
        return prediction.numpy(), self.score(perturbed)

    def perturb(self, x, gradient):
        sign = self.torch.where(gradient >= 0, 1.0, -1.0)
        return (x - self.step * sign).detach()

    def score(self, logits):
        return (logits.detach().double() / TEMPERATURE).softmax(1).amax(1).numpy()


class Authors(Torch):
    """As the first programs were written: the loss is sent back to the weights as well, and the
    second pass, too, records what a gradient would need."""

    def __init__(self, network, threads):
        super().__init__(network, threads)
        self.module.requires_grad_(True)

    def __call__(self, images):
        torch = self.torch
        x = self.normalize(torch.from_numpy(images)).requires_grad_()
        logits = self.module(x)
        prediction = logits.detach().argmax(1)
        torch.nn.functional.cross_entropy(logits / TEMPERATURE, prediction).backward()
        perturbed = self.module(self.perturb(x.detach(), x.grad))
        return prediction.numpy(), self.score(perturbed)


class OnnxRuntime:
    """The compiled detector, a session for each size of the batch."""

    def __init__(self, detector, threads):
        self.detector, self.threads, self.sessions = detector, threads, {}

    def session(self, batch):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        options.add_free_dimension_override_by_name("N", batch)
        return onnxruntime.InferenceSession(self.detector, options, providers=["CPUExecutionProvider"])

    def __call__(self, images):
        batch = len(images)
        if batch not in self.sessions:
            self.sessions[batch] = self.session(batch)
        return self.sessions[batch].run(["prediction", "odin"], {"images": images})


class OpenVino:
    """The compiled detector, compiled again for each size of the batch: the threads work on one
    batch together, or each on its part of it. Unless a precision is given, it is the one that OpenVINO
    takes by itself: bf16 on processors with instructions for it."""

    def __init__(self, detector, threads, streams=1, precision=None):
        self.detector, self.threads, self.streams, self.queues = detector, threads, streams, {}
        self.precision = precision

    def queue(self, batch):
        import openvino

        core = openvino.Core()
        model = core.read_model(self.detector)
        model.reshape([batch, *model.inputs[0].partial_shape[1:]])
        settings = {"INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": self.streams}
        if self.precision:
            settings["INFERENCE_PRECISION_HINT"] = self.precision
        return openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings), self.streams)

    def __call__(self, images):
        parts = np.array_split(images, min(self.streams, len(images)))
        for size in {len(part) for part in parts} - self.queues.keys():
            self.queues[size] = self.queue(size)
        results = [None] * len(parts)

        def keep(request, i):
            results[i] = [request.get_tensor(name).data.copy() for name in ("prediction", "odin")]

        queues = [self.queues[len(part)] for part in parts]
        for queue in queues:
            queue.set_callback(keep)
        for i, (queue, part) in enumerate(zip(queues, parts)):
            queue.start_async({"images": part}, i)
        for queue in queues:
            queue.wait_all()
        return [np.concatenate(outputs) for outputs in zip(*results)]


PEERS = {
    "PyTorch eager": lambda n, d, t: Torch(n, t),
    "PyTorch eager, channels-last": lambda n, d, t: Torch(n, t, channels_last=True),
    "torch.compile": lambda n, d, t: Torch(n, t, compiled=True),
    "torch.compile, channels-last": lambda n, d, t: Torch(n, t, compiled=True, channels_last=True),
    "as the authors' program": lambda n, d, t: Authors(n, t),
    "OpenVINO f32": lambda n, d, t: OpenVino(d, t, precision="f32"),
    "OpenVINO f32, streams": lambda n, d, t: OpenVino(d, t, streams=t, precision="f32"),
    "OpenVINO as it comes": lambda n, d, t: OpenVino(d, t),
    "OpenVINO as it comes, streams": lambda n, d, t: OpenVino(d, t, streams=t),
    "ONNX Runtime": lambda n, d, t: OnnxRuntime(d, t),
}


def main():
    name, network, detector, file, threads = sys.argv[1:]
    peer = PEERS[name](network, detector, int(threads))
    images = np.load(file)
    answer = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({"peer": name}), file=answer, flush=True)
    for line in sys.stdin:
        batch, count = map(int, line.split())
        begun = time.perf_counter()
        outputs = [peer(images[i : i + batch]) for i in range(0, count, batch)]
        seconds = time.perf_counter() - begun
        prediction, odin = (np.concatenate(parts) for parts in zip(*outputs))
        resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {"prediction": prediction.tolist(), "odin": odin.tolist()}
        found |= {"seconds": seconds, "peak_resident_bytes": resident}
        print(json.dumps(found), file=answer, flush=True)


if __name__ == "__main__":
    main()
