// micrograd's demo: two interleaving half circles, a small ReLU network, hinge loss, and the decision boundary as a
// picture.
//
//   moons --picture moons.svg
#include "program.h"

#include <fstream>

namespace tg = twingrad;
using namespace examples;

namespace {

struct Options : CommonOptions {
  std::int64_t rows = 100;
  double noise = 0.1;
  double l2 = 1e-4;
  std::string picture = "moons.svg";
};

// Scores in (-inf, inf) are trained to be at least 1 on the right side: mean hinge loss + l2 * sum of squares.
tg::Tensor loss_of(tg::nn::Mlp& model, const tg::Tensor& x, const tg::Tensor& sign, double l2) {
  tg::Tensor loss = tg::hinge_loss(model(x), sign);
  for (const tg::Tensor& parameter : model.parameters()) {
    loss = loss + tg::sum(tg::square(parameter)) * l2;
  }
  return loss;
}

struct Points {
  tg::Tensor x;     // (rows, 2)
  tg::Tensor sign;  // (rows, 1), -1 or +1
};

Points on_device(const tg::data::Dataset& set, tg::Device device, tg::Dtype dtype) {
  std::vector<double> coordinates;
  std::vector<double> signs;
  for (std::int64_t r = 0; r < set.rows; ++r) {
    coordinates.push_back(set.feature(r, 0));
    coordinates.push_back(set.feature(r, 1));
    signs.push_back(set.labels[static_cast<std::size_t>(r)] == 0 ? -1.0 : 1.0);
  }
  return {tg::tensor(coordinates, {set.rows, 2}, {.dtype = dtype, .device = device}),
          tg::tensor(signs, {set.rows, 1}, {.dtype = dtype, .device = device})};
}

tg::nn::Mlp make_model(const Options& options) {
  std::vector<std::int64_t> sizes = {2};
  sizes.insert(sizes.end(), options.hidden.begin(), options.hidden.end());
  sizes.push_back(1);
  return tg::nn::Mlp(sizes, {.seed = options.seed});
}

// Squares coloured by the score's sign and size, with the points on top. Written aside first, so that a failed run
// leaves no half picture.
void draw(const std::string& path, tg::nn::Mlp& model, const tg::data::Dataset& set, tg::Device device) {
  constexpr int cells = 120;
  constexpr double cell_size = 5;
  double low[2] = {1e300, 1e300};
  double high[2] = {-1e300, -1e300};
  for (std::int64_t r = 0; r < set.rows; ++r) {
    for (std::int64_t c = 0; c < 2; ++c) {
      low[c] = std::min(low[c], set.feature(r, c) - 0.5);
      high[c] = std::max(high[c], set.feature(r, c) + 0.5);
    }
  }
  std::vector<float> grid;
  for (int row = 0; row < cells; ++row) {
    for (int column = 0; column < cells; ++column) {
      grid.push_back(static_cast<float>(low[0] + (high[0] - low[0]) * (column + 0.5) / cells));
      grid.push_back(static_cast<float>(high[1] - (high[1] - low[1]) * (row + 0.5) / cells));
    }
  }
  const std::vector<float> scores = model(tg::tensor(grid, {cells * cells, 2}, {.device = device})).to_vector<float>();

  const double size = cells * cell_size;
  const std::string partial = path + ".part";
  std::ofstream out(partial);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << size << ' ' << size
      << "\" shape-rendering=\"crispEdges\">\n";
  for (int row = 0; row < cells; ++row) {
    for (int column = 0; column < cells; ++column) {
      const float score = scores[static_cast<std::size_t>(row * cells + column)];
      const int tint = 235 - static_cast<int>(std::min(std::abs(score), 2.0F) * 45);
      out << "<rect x=\"" << column * cell_size << "\" y=\"" << row * cell_size << "\" width=\"" << cell_size
          << "\" height=\"" << cell_size << "\" fill=\"rgb("
          << (score > 0 ? std::to_string(tint) + "," + std::to_string(tint) + ",245"
                        : "245," + std::to_string(tint) + "," + std::to_string(tint))
          << ")\"/>\n";
    }
  }
  for (std::int64_t r = 0; r < set.rows; ++r) {
    out << "<circle cx=\"" << (set.feature(r, 0) - low[0]) / (high[0] - low[0]) * size << "\" cy=\""
        << (high[1] - set.feature(r, 1)) / (high[1] - low[1]) * size << "\" r=\"6\" stroke=\"white\" fill=\""
        << (set.labels[static_cast<std::size_t>(r)] == 0 ? "#c0392b" : "#2c4fa3") << "\"/>\n";
  }
  out << "</svg>\n";
  out.close();
  if (!out || std::rename(partial.c_str(), path.c_str()) != 0) {
    std::remove(partial.c_str());
    throw tg::IoError("cannot write " + path + "; give --picture a path that can be written");
  }
  std::cout << "decision boundary: " << path << '\n';
}

void run(const Options& options) {
  const tg::Device device = open_device(options);
  const tg::data::Dataset set = tg::data::moons({.rows = options.rows, .noise = options.noise, .seed = options.seed});
  if (options.check) {
    check_gradients([&](tg::Device on, tg::Dtype dtype) {
      tg::nn::Mlp model = make_model(options);
      model.to(dtype);
      model.to(on);
      const Points points = on_device(set, on, dtype);
      tg::NamedTensors named = model.named_parameters();
      const std::vector<tg::Tensor> found =
          tg::gradients(loss_of(model, points.x, points.sign, options.l2), model.parameters());
      for (std::size_t p = 0; p < named.size(); ++p) {
        named[p].second = found[p];
      }
      return named;
    });
    return;
  }
  tg::nn::Mlp model = make_model(options);
  model.to(device);
  tg::data::Loader batches(set, {.batch = options.batch, .shuffle = true, .seed = options.seed, .device = device});
  tg::optim::SGD optimizer(model.parameters(), {.lr = options.lr});
  const Points all = on_device(set, device, tg::f32);
  double accuracy = 0;
  double loss_value = 0;
  const Stopwatch total;
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    const Stopwatch watch;
    // micrograd's schedule: from the full rate down to a tenth of it.
    optimizer.set_learning_rate(options.lr * (1 - 0.9 * epoch / options.epochs));
    for (auto [x, y] : batches) {
      const tg::Tensor sign = tg::reshape(y.to(tg::f32) * 2 - 1, {-1, 1});
      optimizer.step(tg::gradients(loss_of(model, x, sign, options.l2), model.parameters()));
    }
    const double seconds = watch.seconds();
    if ((epoch + 1) % 10 == 0 || epoch + 1 == options.epochs) {
      const tg::Tensor score = model(all.x);
      const tg::Tensor loss = loss_of(model, all.x, all.sign, options.l2);
      const tg::Tensor right = tg::mean(tg::greater(score * all.sign, 0).to(tg::f32));
      tg::eval({loss, right});
      loss_value = loss.item();
      accuracy = right.item();
      std::printf("epoch %3d  loss %.5f  accuracy %.1f %%  %.0f samples/s\n", epoch + 1, loss_value, 100 * accuracy,
                  static_cast<double>(set.rows) / seconds);
    }
  }
  draw(options.picture, model, set, device);
  Table table({"parameters", "epochs", "loss", "accuracy", "seconds"});
  table.add({std::to_string(model.parameter_count()), std::to_string(options.epochs), format("%.5f", loss_value),
             format("%.1f %%", 100 * accuracy), format("%.3f", total.seconds())});
  table.print(std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Separates two half moons with a small network");
  Options options;
  options.hidden = {16, 16};
  options.epochs = 100;
  options.lr = 1.0;
  options.batch = 100;
  add_common_options(app, options);
  app.add_option("--rows", options.rows, "Points to draw")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--noise", options.noise, "Deviation of the points from their circles")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--l2", options.l2, "Weight of the sum of squared parameters in the loss")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--picture", options.picture, "SVG file for the decision boundary")->capture_default_str();
  return run_program(app, argc, argv, [&] { run(options); });
}
