"""What every Python peer of the training-step benchmark shares: the work, its data, and the protocol.

A peer is a process that gets the path of a work (JSON) and of its data (safetensors), prints one JSON line when it is
ready, and then answers each line on standard input with one JSON line (see bench/README.md, "A system"):

    serve(MySystem, MODES)   # MySystem(work, data, arguments) with the methods of class System
"""

import argparse
import json
import os
import sys
import time
import zlib

import numpy


class System:
    """One framework in one way of using it. `step_many` must leave nothing running after `synchronize`."""

    def describe(self):
        """A dict: version, flags."""
        raise NotImplementedError

    def reset(self):
        """Initial weights, optimizer without history, first batch."""
        raise NotImplementedError

    def step_many(self, count):
        """At least `count` steps, a fresh batch each; returns how many. Reads nothing back."""
        raise NotImplementedError

    def synchronize(self):
        """Waits for the last step."""

    def begin_turn(self):
        """Stands before the steps of a turn."""

    def end_turn(self):
        """Stands behind them, before the wait."""

    def turn_facts(self):
        """After the wait: {"device_seconds": of the last turn by the device's own clock}, or {} without one."""
        return {}

    def last_loss(self):
        """The loss that the last step started from."""
        raise NotImplementedError

    def losses(self, count):
        """The losses of `count` steps from reset."""
        found = []
        self.reset()
        for _ in range(count):
            self.step_many(1)
            found.append(self.last_loss())
        return found

    def weights(self):
        """All weights as float32 arrays, in the order of the data file."""
        raise NotImplementedError

    def outputs(self, rows):
        """The net's output for the first rows of batch 0, with the weights as they are."""
        raise NotImplementedError


def read_safetensors(path):
    """All tensors of the file by name, each in memory of its own."""
    types = {"F32": numpy.float32, "F64": numpy.float64, "I64": numpy.int64}
    raw = numpy.fromfile(path, dtype=numpy.uint8)
    header_bytes = int(raw[:8].view(numpy.uint64)[0])
    header = json.loads(raw[8 : 8 + header_bytes].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        data = numpy.frombuffer(raw[begin:end].tobytes(), dtype=types[entry["dtype"]])
        tensors[name] = data.reshape(entry["shape"])
    return tensors


def initial_weights(work, data):
    """[weight, bias, weight, bias, ...]; a weight is (out, in)."""
    layers = len(work["sizes"]) - 1
    return [data[f"layer{i}.{part}"] for i in range(layers) for part in ("weight", "bias")]


def batches(work, data):
    """[(x, y)]: what step t uses is entry t modulo their number."""
    rows = work["batch"]
    return [
        (data["x"][i * rows : (i + 1) * rows], data["y"][i * rows : (i + 1) * rows]) for i in range(work["batches"])
    ]


def serve(make, modes):
    """Parses the command line, makes the system, and answers commands until there are no more."""
    # Libraries print what they like: they get standard error, and the protocol keeps the real standard output.
    protocol = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(fields):
        protocol.write(json.dumps(fields) + "\n")
        protocol.flush()

    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("data")
    parser.add_argument("--mode", choices=modes, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    with open(arguments.work, encoding="utf-8") as file:
        work = json.load(file)
    system = make(work, read_safetensors(arguments.data), arguments)
    answer({"ready": True, "precision": work["precision"], "threads": arguments.threads, **system.describe()})

    # Caches and lazily made state settle in steps that are not timed.
    warm_up_steps = 2
    few_steps = 8  # slow works: one must do

    def warm_up(count):
        """Fresh weights, and the steps that come before `count` timed ones; returns how many these were."""
        system.reset()
        before = 0
        if count > 1:
            before = system.step_many(1 if count < few_steps else warm_up_steps)
        system.synchronize()
        return before

    for line in sys.stdin:
        command, *words = line.split()
        count = int(words[0]) if words else 0
        if command == "run":
            before = warm_up(count)
            cpu_start = time.process_time()  # of all threads
            start = time.perf_counter()
            system.begin_turn()
            steps = system.step_many(count)
            system.end_turn()
            system.synchronize()
            seconds = time.perf_counter() - start
            cpu_seconds = time.process_time() - cpu_start
            answer(
                {
                    "seconds": seconds,
                    "cpu_seconds": cpu_seconds,
                    "steps": steps,
                    "warm_up": before,
                    "loss": system.last_loss(),
                    **system.turn_facts(),
                }
            )
        elif command == "read":
            # The losses of all steps, each before the next step begins. A system that takes many steps at once has none.
            warm_up(count)
            steps = 0
            start = time.perf_counter()
            while steps < count:
                did = system.step_many(1)
                if did != 1:
                    steps = 0
                    break
                system.last_loss()
                steps += did
            seconds = time.perf_counter() - start
            answer({"seconds": seconds, "steps": steps})
        elif command == "losses":
            losses = system.losses(count)
            checksum = 0
            for weight in system.weights():
                checksum = zlib.crc32(numpy.ascontiguousarray(weight).tobytes(), checksum)
            answer({"losses": losses, "weights": f"{checksum:08x}"})
        elif command == "outputs":
            system.reset()
            answer({"outputs": numpy.asarray(system.outputs(count), dtype=numpy.float64).ravel().tolist()})
        elif command == "quit":
            break
        else:
            answer({"error": f"unknown command {command!r}; there are run, read, losses, outputs, quit"})
            sys.exit(1)
