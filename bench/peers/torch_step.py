"""PyTorch as a peer: eager with each form of its Adam, and torch.compile in three ways.

    eager, eager-foreach, eager-fused   nn.Module, loss.backward(), torch.optim.Adam
    compile                             forward and backward compiled, fused Adam
    compile-autotune                    the same with mode="max-autotune"
    compile-step                        forward, backward and Adam as one compiled function of all state
"""

import torch
import torch.nn.functional as F

import peer

MODES = ["eager", "eager-foreach", "eager-fused", "compile", "compile-autotune", "compile-step"]
LOSSES = {
    "mse": F.mse_loss,
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
}


def autocast(work):
    """Products in the work's precision; does nothing for float32."""
    enabled = {"float32": False, "bfloat16": True}[work["precision"]]
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)


def tensor(array):
    return torch.from_numpy(array.copy())


class Torch(peer.System):
    def __init__(self, work, data, arguments):
        torch.set_num_threads(arguments.threads)
        torch.set_float32_matmul_precision("highest")
        self.mode = arguments.mode
        self.adam = work["adam"]
        self.loss_of = LOSSES[work["loss"]]
        self.initial = [tensor(w) for w in peer.initial_weights(work, data)]
        self.batches = [(tensor(x), tensor(y)) for x, y in peer.batches(work, data)]
        sizes = work["sizes"]
        layers = []
        for i in range(len(sizes) - 1):
            layers += [torch.nn.Linear(sizes[i], sizes[i + 1]), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.autocast = autocast(work)

        def forward(x, y):
            with self.autocast:
                return self.loss_of(self.model(x), y)

        self.forward = forward
        if self.mode == "compile":
            self.forward = torch.compile(self.forward)
        elif self.mode == "compile-autotune":
            self.forward = torch.compile(self.forward, mode="max-autotune")
        self.reset()

    def describe(self):
        return {
            "version": "PyTorch " + torch.__version__,
            "flags": f"set_num_threads({torch.get_num_threads()}), {torch.__config__.show().splitlines()[2].strip(' -')}",
        }

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
            fused=True if self.mode in ("eager-fused", "compile", "compile-autotune") else None,
        )
        self.t = 0

    def step_many(self, count):
        forward, optimizer, batches = self.forward, self.optimizer, self.batches
        for t in range(self.t, self.t + count):
            x, y = batches[t % len(batches)]
            loss = forward(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.t += count
        self.loss = loss
        return count

    def last_loss(self):
        return self.loss.item()

    def weights(self):
        return [parameter.detach().numpy() for parameter in self.model.parameters()]

    def outputs(self, rows):
        with torch.no_grad(), self.autocast:
            return self.model(self.batches[0][0])[:rows].float().numpy()


class TorchStep(Torch):
    """The whole step as one function of parameters, moments and step count, so that one compiled graph holds it."""

    def __init__(self, work, data, arguments):
        loss_of = LOSSES[work["loss"]]
        adam = work["adam"]
        beta1, beta2, lr, eps = adam["beta1"], adam["beta2"], adam["lr"], adam["eps"]

        def loss_of_parameters(parameters, x, y):
            with autocast(work):
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
        self.steps = torch.zeros((), dtype=torch.float32)
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
        return [parameter.numpy() for parameter in self.parameters]

    def outputs(self, rows):
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), self.parameters):
                parameter.copy_(value)
        return super().outputs(rows)


if __name__ == "__main__":
    peer.serve(lambda work, data, a: (TorchStep if a.mode == "compile-step" else Torch)(work, data, a), MODES)
