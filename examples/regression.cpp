// Regression on a CSV file with a linear model or a multi-layer perceptron: the concrete set that ships with the
// examples by default.
//
//   regression                                                       # concrete, one split, MLP
//   regression --model linear                                        # trained to the closed-form solution
//   regression --data power-plant --splits published --tune          # mean error over the 20 published splits
//   regression --data houses.csv --target price --hidden 64,64
#include "program.h"

#include <filesystem>
#include <limits>
#include <optional>

namespace tg = twingrad;
using namespace examples;

namespace {

struct Options : CommonOptions {
  std::string data = "concrete";
  std::string target;
  char delimiter = ',';
  std::string model = "mlp";
  std::string splits;
  double test_fraction = 0.1;
  double weight_decay = 1e-3;
  double dropout = 0.0;
  bool tune = false;
  std::string save;
};

// What --tune chooses among.
struct Hyper {
  double lr = 0;
  double weight_decay = 0;
  double dropout = 0;
  int epochs = 0;
};

std::string shipped(const std::string& name, const char* ending) {
  return std::string(TWINGRAD_EXAMPLE_DATA) + "/" + name + ending;
}

tg::nn::Mlp make_model(const Options& options, const Hyper& hyper, const tg::data::Dataset& train, std::int64_t seed) {
  std::vector<std::int64_t> sizes = {train.columns};
  if (options.model == "mlp") {
    sizes.insert(sizes.end(), options.hidden.begin(), options.hidden.end());
  }
  sizes.push_back(train.outputs());
  return tg::nn::Mlp(sizes, {.dropout = hyper.dropout, .seed = seed});
}

// Root mean square error in the target's own unit.
double rmse(tg::nn::Module& model, tg::data::Loader& loader, const tg::data::Standardizer& scale) {
  return tg::metrics::rmse(model, loader) * scale.target_deviations()[0];
}

struct Trained {
  tg::nn::Mlp model;
  double train_rmse = 0;
  double seconds = 0;
  double samples_per_second = 0;
};

enum class Talk : std::uint8_t { quiet, progress };

// `data` is standardised already.
Trained train(const Options& options, const Hyper& hyper, const tg::data::Dataset& data,
              const tg::data::Standardizer& scale, tg::Device device, std::int64_t seed, Talk talk) {
  Trained result{make_model(options, hyper, data, seed)};
  result.model.to(device);
  tg::optim::AdamW optimizer(result.model.parameters(), {.lr = hyper.lr, .weight_decay = hyper.weight_decay});
  tg::data::Loader batches(data, {.batch = options.batch, .shuffle = true, .seed = seed, .device = device});
  const tg::optim::OneCycleSchedule schedule{.max_lr = hyper.lr, .total_steps = hyper.epochs * batches.size()};
  std::int64_t step = 0;
  const Stopwatch watch;
  for (int epoch = 1; epoch <= hyper.epochs; ++epoch) {
    result.model.train();
    const bool show = talk == Talk::progress && (epoch % std::max(1, hyper.epochs / 10) == 0 || epoch == hyper.epochs);
    const Stopwatch epoch_watch;
    tg::Tensor total = tg::zeros({}, {.device = device});
    for (auto [x, y] : batches) {
      optimizer.set_learning_rate(schedule(step++));
      const tg::Tensor loss = tg::mse_loss(result.model(x), y);
      tg::assign_later(total, total + loss.detach() * static_cast<double>(y.numel()));
      optimizer.step(tg::gradients(loss, result.model.parameters()));
    }
    if (show) {
      const double loss = total.item() / static_cast<double>(batches.rows());
      const double seconds = epoch_watch.seconds();
      std::printf("epoch %4d  loss %.5f  training rmse %.4f  %.0f samples/s\n", epoch, loss,
                  rmse(result.model, batches, scale), static_cast<double>(batches.rows()) / seconds);
      std::fflush(stdout);
    }
  }
  tg::synchronize(device);
  result.seconds = watch.seconds();
  result.samples_per_second = static_cast<double>(batches.rows()) * hyper.epochs / result.seconds;
  result.train_rmse = rmse(result.model, batches, scale);
  return result;
}

// Tries every candidate on a fifth of the training rows held out, trained on the other four fifths. The test rows take
// no part.
Hyper tune(const Options& options, const Hyper& base, const tg::data::Dataset& training, tg::Device device,
           std::int64_t seed) {
  Hyper best = base;
  double best_error = std::numeric_limits<double>::infinity();
  for (const double weight_decay : {1e-3, 3e-2}) {
    for (const double lr : {3e-3, 1e-2, 3e-2}) {
      const Hyper candidate{lr, weight_decay, base.dropout, base.epochs};
      tg::data::Split inner = tg::data::split(training, {.test_fraction = 0.2, .seed = seed});
      const tg::data::Standardizer scale = tg::data::standardize(inner);
      Trained trained = train(options, candidate, inner.train, scale, device, seed, Talk::quiet);
      tg::data::Loader validation(inner.test, {.batch = inner.test.rows, .device = device});
      const double error = rmse(trained.model, validation, scale);
      if (error < best_error) {
        best_error = error;
        best = candidate;
      }
    }
  }
  return best;
}

// Least squares by the normal equations in double precision, with a column of ones for the bias: the weights, then the
// bias.
std::vector<double> closed_form(const tg::data::Dataset& data) {
  const auto n = static_cast<std::size_t>(data.columns) + 1;
  std::vector<std::vector<double>> system(n, std::vector<double>(n + 1, 0.0));
  for (std::int64_t r = 0; r < data.rows; ++r) {
    std::vector<double> row(n, 1.0);
    for (std::int64_t c = 0; c < data.columns; ++c) {
      row[static_cast<std::size_t>(c)] = data.feature(r, c);
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        system[i][j] += row[i] * row[j];
      }
      system[i][n] += row[i] * data.targets[static_cast<std::size_t>(r)];
    }
  }
  // Gauss-Jordan with partial pivoting.
  for (std::size_t p = 0; p < n; ++p) {
    std::size_t pivot = p;
    for (std::size_t r = p + 1; r < n; ++r) {
      pivot = std::abs(system[r][p]) > std::abs(system[pivot][p]) ? r : pivot;
    }
    std::swap(system[p], system[pivot]);
    if (std::abs(system[p][p]) < 1e-9 * static_cast<double>(data.rows)) {
      throw tg::NumericError(
          "the features are linearly dependent: least squares has no single solution; drop a column");
    }
    for (std::size_t r = 0; r < n; ++r) {
      const double factor = r == p ? 0 : system[r][p] / system[p][p];
      for (std::size_t c = p; c <= n && factor != 0; ++c) {
        system[r][c] -= factor * system[p][c];
      }
    }
  }
  std::vector<double> solution;
  for (std::size_t p = 0; p < n; ++p) {
    solution.push_back(system[p][n] / system[p][p]);
  }
  return solution;
}

// Full-batch gradient descent with Nesterov's momentum on the standardised rows.
Trained train_linear(const Options& options, const tg::data::Dataset& data, const tg::data::Standardizer& scale,
                     tg::Device device) {
  Trained result{make_model(options, {}, data, options.seed)};
  result.model.to(device);
  tg::optim::SGD optimizer(result.model.parameters(), {.lr = options.lr, .momentum = 0.95, .nesterov = true});
  tg::data::Loader batches(data, {.batch = std::min(options.batch, data.rows), .device = device});
  const Stopwatch watch;
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    for (auto [x, y] : batches) {
      optimizer.step(tg::gradients(tg::mse_loss(result.model(x), y), result.model.parameters()));
    }
    if (epoch % std::max(1, options.epochs / 10) == 0) {
      std::printf("epoch %4d  training rmse %.6f  %.0f samples/s\n", epoch, rmse(result.model, batches, scale),
                  static_cast<double>(batches.rows()) * epoch / watch.seconds());
    }
  }
  result.seconds = watch.seconds();
  result.train_rmse = rmse(result.model, batches, scale);

  const std::vector<double> exact = closed_form(data);
  std::vector<double> found = result.model.parameters()[0].to_vector<double>();
  found.push_back(result.model.parameters()[1].item());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    difference += (found[i] - exact[i]) * (found[i] - exact[i]);
    size += exact[i] * exact[i];
  }
  std::printf("distance to the closed-form solution: %.2e relative\n", std::sqrt(difference / size));
  return result;
}

void check(const Options& options, const Hyper& hyper, const tg::data::Split& data) {
  check_gradients([&](tg::Device device, tg::Dtype dtype) {
    tg::nn::Mlp model = make_model(options, hyper, data.train, options.seed);
    model.to(dtype);
    model.to(device);
    tg::data::Loader batches(data.train, {.batch = std::min(options.batch, data.train.rows),
                                          .shuffle = true,
                                          .seed = options.seed,
                                          .device = device,
                                          .dtype = dtype});
    const auto [x, y] = *batches.begin();
    tg::NamedTensors named = model.named_parameters();
    const std::vector<tg::Tensor> found = tg::gradients(tg::mse_loss(model(x), y), model.parameters());
    for (std::size_t p = 0; p < named.size(); ++p) {
      named[p].second = found[p];
    }
    return named;
  });
}

void run(const Options& options) {
  const tg::Device device = open_device(options);
  const bool ships = options.data == "concrete" || options.data == "power-plant";
  const std::string path = ships ? shipped(options.data, ".csv") : options.data;
  tg::data::DatasetOptions columns;
  if (!options.target.empty()) {
    columns.targets = {options.target};
  }
  const tg::data::Dataset set =
      tg::data::make_dataset(tg::data::read_csv(path, {.delimiter = options.delimiter}), columns);
  std::cout << options.data << ": " << set.rows << " rows, " << set.columns << " features, target '"
            << set.target_names[0] << "'\n";
  const Hyper hyper{options.lr, options.weight_decay, options.dropout, options.epochs};

  std::vector<tg::data::Split> splits;
  if (options.splits.empty()) {
    splits.push_back(tg::data::split(set, {.test_fraction = options.test_fraction, .seed = options.seed}));
  } else {
    const std::string file = options.splits == "published" ? shipped(options.data, ".test_rows.txt") : options.splits;
    for (const std::vector<std::int64_t>& rows : tg::data::read_splits(file, set.rows)) {
      splits.push_back(tg::data::split(set, rows));
    }
  }

  Table table({"split", "test rmse", "training rmse", "lr", "weight decay", "seconds"});
  std::vector<double> errors;
  for (std::size_t s = 0; s < splits.size(); ++s) {
    const Hyper chosen =
        options.tune ? tune(options, hyper, splits[s].train, device, options.seed + static_cast<std::int64_t>(s))
                     : hyper;
    const tg::data::Standardizer scale = tg::data::standardize(splits[s]);
    if (options.check) {
      check(options, hyper, splits[s]);
      return;
    }
    const Talk talk = splits.size() == 1 ? Talk::progress : Talk::quiet;
    Trained trained = options.model == "linear" ? train_linear(options, splits[s].train, scale, device)
                                                : train(options, chosen, splits[s].train, scale, device,
                                                        options.seed + static_cast<std::int64_t>(s), talk);
    tg::data::Loader test(splits[s].test, {.batch = splits[s].test.rows, .device = device});
    errors.push_back(rmse(trained.model, test, scale));
    if (talk == Talk::quiet) {
      std::printf("split %2zu of %zu  test rmse %.4f  %.0f samples/s\n", s + 1, splits.size(), errors.back(),
                  trained.samples_per_second);
      std::fflush(stdout);
    }
    table.add({std::to_string(s), format("%.4f", errors.back()), format("%.4f", trained.train_rmse),
               format("%g", chosen.lr), format("%g", chosen.weight_decay), format("%.2f", trained.seconds)});
    if (!options.save.empty() && s + 1 == splits.size()) {
      tg::io::save(options.save, trained.model);
      std::cout << "saved " << options.save << '\n';
    }
  }
  if (errors.size() > 1) {
    table.add({"mean", format("%.4f", mean(errors)) + format(" +- %.4f", standard_error(errors)), "", "", "", ""});
  }
  table.print(std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a regression on a CSV file");
  Options options;
  options.hidden = {50};
  options.epochs = 400;
  options.lr = 1e-2;
  options.batch = 32;
  add_common_options(app, options);
  app.add_option("--data", options.data, "concrete, power-plant, or a CSV file")->capture_default_str();
  app.add_option("--target", options.target, "The column to learn (default: the last)");
  app.add_option("--delimiter", options.delimiter, "Between the file's fields")->capture_default_str();
  app.add_option("--model", options.model, "mlp or linear")
      ->check(CLI::IsMember({"mlp", "linear"}))
      ->capture_default_str();
  app.add_option("--splits", options.splits,
                 "File with one line of test rows per split, or 'published' for the sets that ship");
  app.add_option("--test-fraction", options.test_fraction, "Share of the rows kept for testing, without --splits")
      ->capture_default_str();
  app.add_option("--weight-decay", options.weight_decay, "AdamW's decoupled decay")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--dropout", options.dropout, "Probability to drop a hidden unit")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_flag("--tune", options.tune, "Choose lr and weight decay on a fifth of each split's training rows");
  app.add_option("--save", options.save, "Write the last model to this safetensors file");
  return run_program(app, argc, argv, [&] {
    // The linear model is trained on all rows at once, to the end, unless the user says otherwise.
    if (options.model == "linear") {
      options.epochs = app.count("--epochs") == 0 ? 2000 : options.epochs;
      options.lr = app.count("--lr") == 0 ? 0.1 : options.lr;
      options.batch = app.count("--batch") == 0 ? std::numeric_limits<std::int64_t>::max() : options.batch;
    }
    run(options);
  });
}
