"""PyTorch as a peer: eager with each form of its Adam, and torch.compile in three ways.

    eager, eager-foreach, eager-fused   nn.Module, loss.backward(), torch.optim.Adam
    compile                             forward and backward compiled, fused Adam
    compile-overhead, compile-autotune  the same with mode="reduce-overhead" or "max-autotune"
    compile-step                        forward, backward and Adam as one compiled function of all state
    graph                               on a GPU: the eager step with fused Adam captured as one CUDA graph, which also
                                        picks its batch; one launch per step
    graph-epoch                         the same with the steps of all batches in one graph: nothing is copied
"""

import torch
import torch.nn.functional as F

import peer

MODES = [
    "eager",
    "eager-foreach",
    "eager-fused",
    "compile",
    "compile-overhead",
    "compile-autotune",
    "compile-step",
    "graph",
    "graph-epoch",
]
COMPILE_MODES = {"compile": None, "compile-overhead": "reduce-overhead", "compile-autotune": "max-autotune"}
LOSSES = {
    "mse": F.mse_loss,
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
}


def autocast(work, device):
    """Products in the work's precision; does nothing for float32 and TF32."""
    enabled = {"float32": False, "tf32": False, "bfloat16": True}[work["precision"]]
    return torch.autocast(device, dtype=torch.bfloat16, enabled=enabled)


class Torch(peer.System):
    def __init__(self, work, data, arguments):
        torch.set_num_threads(arguments.threads)
        torch.set_float32_matmul_precision("high" if work["precision"] == "tf32" else "highest")
        self.mode = arguments.mode
        self.device = arguments.device
        tensor = lambda array: torch.from_numpy(array.copy()).to(self.device)
        self.adam = work["adam"]
        self.loss_of = LOSSES[work["loss"]]
        self.initial = [tensor(w) for w in peer.initial_weights(work, data)]
        self.batches = [(tensor(x), tensor(y)) for x, y in peer.batches(work, data)]
        sizes = work["sizes"]
        layers = []
        for i in range(len(sizes) - 1):
            layers += [torch.nn.Linear(sizes[i], sizes[i + 1]), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1]).to(self.device)
        self.autocast = autocast(work, self.device)

        def forward(x, y):
            with self.autocast:
                return self.loss_of(self.model(x), y)

        self.forward = forward
        if self.mode in COMPILE_MODES:
            self.forward = torch.compile(self.forward, mode=COMPILE_MODES[self.mode])
        self.reset()

    def describe(self):
        if self.device == "cuda":
            flags = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
        else:
            build = torch.__config__.show().splitlines()[2].strip(" -")
            flags = f"set_num_threads({torch.get_num_threads()}), {build}"
        return {"version": "PyTorch " + torch.__version__, "flags": flags}

    def reset(self):
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), self.initial):
                parameter.copy_(value)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=self.adam["lr"],
            betas=(self.adam["beta1"], self.adam["beta2"]),
            eps=self.adam["eps"],
            foreach=True if self.mode == "eager-foreach" else None,
            fused=True if self.mode == "eager-fused" or self.mode in COMPILE_MODES else None,
        )
        self.t = 0

    def step_many(self, count):
        forward, optimizer, batches = self.forward, self.optimizer, self.batches
        for t in range(self.t, self.t + count):
            x, y = batches[t % len(batches)]
            if self.mode == "compile-overhead":
                torch.compiler.cudagraph_mark_step_begin()
            loss = forward(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.t += count
        self.loss = loss
        return count

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def begin_turn(self):
        if self.device == "cuda":
            self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self.begin.record()

    def end_turn(self):
        if self.device == "cuda":
            self.end.record()

    def turn_facts(self):
        return {"device_seconds": 1e-3 * self.begin.elapsed_time(self.end)} if self.device == "cuda" else {}

    def last_loss(self):
        return self.loss.item()

    def weights(self):
        return [parameter.detach().cpu().numpy() for parameter in self.model.parameters()]

    def outputs(self, rows):
        with torch.no_grad(), self.autocast:
            return self.model(self.batches[0][0])[:rows].float().cpu().numpy()


class TorchGraph(Torch):
    """The eager step with fused Adam, captured by hand: what a PyTorch user who wants the last microsecond writes."""

    def __init__(self, work, data, arguments):
        super().__init__(work, data, arguments)
        self.epoch = self.mode == "graph-epoch"
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=self.adam["lr"],
            betas=(self.adam["beta1"], self.adam["beta2"]),
            eps=self.adam["eps"],
            fused=True,
            capturable=True,
        )
        # Which batch comes next is known on the device alone, so that a launch takes nothing from the host.
        self.next = torch.zeros(1, dtype=torch.int64, device=self.device)
        if not self.epoch:
            self.xs = torch.stack([x for x, _ in self.batches])
            self.ys = torch.stack([y for _, y in self.batches])
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # capture wants everything to have run before, and not on the default stream
            for _ in range(3):
                self.captured_step(*self.next_batch(0))
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            steps = len(self.batches) if self.epoch else 1
            self.step_losses = [self.captured_step(*self.next_batch(t)) for t in range(steps)]
        self.loss = self.step_losses[-1]
        self.reset()

    def next_batch(self, t):
        if self.epoch:
            return self.batches[t]
        batch = self.xs.index_select(0, self.next)[0], self.ys.index_select(0, self.next)[0]
        self.next.add_(1).remainder_(len(self.batches))
        return batch

    def captured_step(self, x, y):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast:
            loss = self.loss_of(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def reset(self):
        if not hasattr(self, "graph"):
            return super().reset()
        with torch.no_grad():  # in the memory that the graph knows
            for parameter, value in zip(self.model.parameters(), self.initial):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()
            self.next.zero_()

    def step_many(self, count):
        launches = -(-count // len(self.step_losses))
        for _ in range(launches):
            self.graph.replay()
        return launches * len(self.step_losses)

    def losses(self, count):
        found = []
        self.reset()
        while len(found) < count:
            self.graph.replay()
            found += [loss.item() for loss in self.step_losses]
        return found[:count]


class TorchStep(Torch):
    """The whole step as one function of parameters, moments and step count, so that one compiled graph holds it."""

    def __init__(self, work, data, arguments):
        loss_of = LOSSES[work["loss"]]
        adam = work["adam"]
        beta1, beta2, lr, eps = adam["beta1"], adam["beta2"], adam["lr"], adam["eps"]

        def loss_of_parameters(parameters, x, y):
            with autocast(work, arguments.device):
                for i in range(0, len(parameters), 2):
                    x = F.linear(x, parameters[i], parameters[i + 1])
                    if i + 2 < len(parameters):
                        x = F.relu(x)
                return loss_of(x, y)

        def step(parameters, first, second, t, x, y):
            gradients, loss = torch.func.grad_and_value(loss_of_parameters)(parameters, x, y)
            t.add_(1)
            correction1 = 1 - beta1**t
            correction2 = torch.sqrt(1 - beta2**t)
            for p, m, v, g in zip(parameters, first, second, gradients):
                m.mul_(beta1).add_(g, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                p.sub_(lr / correction1 * m / (v.sqrt() / correction2 + eps))
            return loss

        self.compiled = torch.compile(step)
        super().__init__(work, data, arguments)

    def reset(self):
        self.parameters = [w.clone() for w in self.initial]
        self.first = [torch.zeros_like(w) for w in self.initial]
        self.second = [torch.zeros_like(w) for w in self.initial]
        self.steps = torch.zeros((), dtype=torch.float32, device=self.device)
        self.t = 0

    def step_many(self, count):
        with torch.no_grad():
            for t in range(self.t, self.t + count):
                x, y = self.batches[t % len(self.batches)]
                loss = self.compiled(self.parameters, self.first, self.second, self.steps, x, y)
        self.t += count
        self.loss = loss
        return count

    def weights(self):
        return [parameter.cpu().numpy() for parameter in self.parameters]

    def outputs(self, rows):
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), self.parameters):
                parameter.copy_(value)
        return super().outputs(rows)


if __name__ == "__main__":
    special = {"compile-step": TorchStep, "graph": TorchGraph, "graph-epoch": TorchGraph}
    peer.serve(lambda work, data, arguments: special.get(arguments.mode, Torch)(work, data, arguments), MODES)
