"""Fashion-MNIST epochs as PyTorch users write them: TensorDataset, DataLoader, AdamW, one cycle of the learning rate.

The net and the settings are those of `scripts/train` without options. Prints one line an epoch and the median:

    scripts/train --device cpu --epochs 10
    .peers/bin/python bench/peers/torch_epoch.py --epochs 10
"""

import argparse
import gzip
import statistics
import time

import torch


def read(path, header):
    with gzip.open(path) as file:
        return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)


def load(folder, part):
    labels = read(f"{folder}/{part}-labels-idx1-ubyte.gz", 8).long()
    images = read(f"{folder}/{part}-images-idx3-ubyte.gz", 16).view(len(labels), 784).float() / 255
    return images, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist", help="folder of the four IDX files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=0, help="DataLoader's processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    images, labels = load(options.data, "train")
    mean, deviation = images.mean(), images.std()
    test_images, test_labels = load(options.data, "t10k")
    images, test_images = (images - mean) / deviation, (test_images - mean) / deviation
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels),
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
    )
    model = torch.nn.Sequential(
        torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10)
    )
    adam = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, options.lr, total_steps=options.epochs * len(batches))

    seconds = []
    for epoch in range(options.epochs):
        start = time.perf_counter()
        for x, y in batches:
            adam.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            adam.step()
            schedule.step()
        seconds.append(time.perf_counter() - start)
        with torch.no_grad():
            right = (model(test_images).argmax(1) == test_labels).float().mean().item()
        print(f"epoch {epoch + 1:3d}  {seconds[-1]:.2f} s  test accuracy {100 * right:.2f} %", flush=True)
    print(f"median {statistics.median(seconds):.3f} s an epoch, torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
