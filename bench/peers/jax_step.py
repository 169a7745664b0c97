"""JAX as a peer: the whole step under jit with donated state, one call per step or a scan over many.

    jit     one compiled call per step
    scan    lax.scan over the batches, inside a loop over as many rounds as are asked for: one call for all steps
"""

import os
import sys


def cpus_core_by_core(cpus):
    """CPUs of different cores first, so that threads share a core only where there are more of them than cores."""
    places, seen = [], []
    for cpu in sorted(cpus):
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", encoding="utf-8") as file:
            siblings = file.read()
        places.append((seen.count(siblings), cpu))
        seen.append(siblings)
    return [cpu for _, cpu in sorted(places)]


# Read when JAX starts: on a CPU its products run on one thread, or on as many as the process has CPUs.
device = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cpu"
threads = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
available = os.sched_getaffinity(0)
if threads < 1 or threads > len(available):
    sys.exit(f"--threads {threads}: JAX can have 1 to {len(available)}, as many as this process may use CPUs")
if 1 < threads < len(available):
    os.sched_setaffinity(0, cpus_core_by_core(available)[:threads])
if threads == 1 and device == "cpu":
    os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false").strip()
os.environ["JAX_PLATFORMS"] = device

import jax
import jax.numpy as jnp
import numpy

import peer

MODES = ["jit", "scan"]


def forward(parameters, x, dtype):
    """The net with products and activations in `dtype`; the output is float32."""
    x = x.astype(dtype)
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i].astype(dtype).T + parameters[i + 1].astype(dtype)
        if i + 2 < len(parameters):
            x = jax.nn.relu(x)
    return x.astype(jnp.float32)


def mse(output, y):
    return jnp.mean((output - y) ** 2)


def cross_entropy(output, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))


def binary_cross_entropy(output, y):
    return jnp.mean(jnp.maximum(output, 0) - output * y + jnp.log1p(jnp.exp(-jnp.abs(output))))


LOSSES = {"mse": mse, "cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy}


class Jax(peer.System):
    def __init__(self, work, data, arguments):
        # Without a word JAX takes TF32 on GPUs that have it.
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if work["precision"] == "tf32" else "highest")
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        adam = work["adam"]
        beta1, beta2, lr, eps = adam["beta1"], adam["beta2"], adam["lr"], adam["eps"]
        loss_of = LOSSES[work["loss"]]
        dtype = {"float32": jnp.float32, "tf32": jnp.float32, "bfloat16": jnp.bfloat16}[work["precision"]]
        self.forward = lambda parameters, x: forward(parameters, x, dtype)

        def step(state, x, y):
            parameters, first, second, t = state
            loss, gradients = jax.value_and_grad(lambda p: loss_of(self.forward(p, x), y))(parameters)
            t = t + 1
            correction1 = 1 - beta1**t
            correction2 = jnp.sqrt(1 - beta2**t)
            first = [beta1 * m + (1 - beta1) * g for m, g in zip(first, gradients)]
            second = [beta2 * v + (1 - beta2) * g * g for v, g in zip(second, gradients)]
            parameters = [
                p - lr / correction1 * m / (jnp.sqrt(v) / correction2 + eps)
                for p, m, v in zip(parameters, first, second)
            ]
            return (parameters, first, second, t), loss

        def rounds(count, state, xs, ys):
            def one(_, carry):
                after, losses = jax.lax.scan(lambda s, batch: step(s, *batch), carry[0], (xs, ys))
                return after, losses[-1]

            return jax.lax.fori_loop(0, count, one, (state, jnp.float32(0)))

        self.step = jax.jit(step, donate_argnums=0)
        self.initial = [numpy.asarray(w) for w in peer.initial_weights(work, data)]
        pairs = peer.batches(work, data)
        # Labels are int32 to JAX unless its 64-bit mode is on.
        narrow = lambda y: y.astype(numpy.int32) if y.dtype == numpy.int64 else y
        self.batches = [(jnp.asarray(x), jnp.asarray(narrow(y))) for x, y in pairs]
        self.mode = arguments.mode
        if self.mode == "scan":
            self.rounds = jax.jit(rounds, donate_argnums=1)
            self.xs = jnp.asarray(numpy.stack([x for x, _ in pairs]))
            self.ys = jnp.asarray(numpy.stack([narrow(y) for _, y in pairs]))
        self.reset()

    def describe(self):
        flags = [os.environ.get("XLA_FLAGS", ""), jax.devices()[0].device_kind]
        return {"version": "JAX " + jax.__version__, "flags": " ".join(flags).strip()}

    def reset(self):
        parameters = [jnp.array(w) for w in self.initial]
        zeros = lambda: [jnp.zeros_like(w) for w in parameters]
        self.state = (parameters, zeros(), zeros(), jnp.float32(0))
        self.t = 0

    def step_many(self, count):
        if self.mode == "scan":
            rounds = -(-count // len(self.batches))
            self.state, self.loss = self.rounds(rounds, self.state, self.xs, self.ys)
            return rounds * len(self.batches)
        step, state, batches = self.step, self.state, self.batches
        for t in range(self.t, self.t + count):
            state, loss = step(state, *batches[t % len(batches)])
        self.t += count
        self.state, self.loss = state, loss
        return count

    def synchronize(self):
        jax.block_until_ready(self.state)

    def last_loss(self):
        return float(self.loss)

    def losses(self, count):
        found = []
        self.reset()
        for t in range(count):
            self.state, loss = self.step(self.state, *self.batches[t % len(self.batches)])
            found.append(float(loss))
        return found

    def weights(self):
        return [numpy.asarray(parameter) for parameter in self.state[0]]

    def outputs(self, rows):
        return numpy.asarray(self.forward(self.state[0], self.batches[0][0])[:rows])


if __name__ == "__main__":
    peer.serve(Jax, MODES)
