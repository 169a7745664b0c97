// Uses a product (oneDNN), threads (OpenMP) and autograd of the installed library; fails when a number is off.
#include <twingrad/twingrad.h>

#include <iostream>
#include <vector>

namespace tg = twingrad;

int main() {
  const tg::Tensor x = tg::tensor(std::vector<float>{1, 2, 3, 4}, {2, 2});
  const tg::Tensor w = tg::tensor(std::vector<float>(6, 1.0F), {2, 3}, {.requires_grad = true});
  const tg::Tensor loss = tg::sum(tg::square(tg::matmul(x, w)));
  const std::vector<float> gradient = tg::gradients(loss, {w})[0].to_vector<float>();
  // x w has rows of 3 and 7: the sum of squares is 3 (9 + 49), its gradient 2 x^T x w = 48, 68 in each column.
  const std::vector<float> expected = {48, 48, 48, 68, 68, 68};
  if (loss.item() != 174 || gradient != expected) {
    std::cerr << "the installed library computes something else: " << loss.item() << '\n';
    return 1;
  }
  std::cout << "twingrad found, linked and right on " << tg::Device::cpu().description() << '\n';
}
