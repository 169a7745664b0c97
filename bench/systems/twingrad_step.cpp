// Our own systems as a program.
#include "bench/systems/twingrad_step.h"

int main(int argc, char** argv) {
  return bench::serve(
      argc, argv, {"plain", "compile", "unfused", "uncaptured", "op-by-op", "float64"},
      [](const bench::Arguments& arguments) { return std::make_unique<bench::TwingradStep>(arguments); });
}
