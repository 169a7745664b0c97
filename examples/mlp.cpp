// Classification with a multi-layer perceptron: Fashion-MNIST by default, or the digits that ship with the examples, or
// any IDX or CSV file.
//
//   mlp                                              # Fashion-MNIST from Debian's package, else the digits
//   mlp --data digits --hidden 64 --epochs 20
//   mlp --precision bf16                             # products in bfloat16, float32 master weights
//   mlp --streaming                                  # the training rows stay on the host
//   mlp --data iris.csv --target species --hidden 16 --epochs 100
//   mlp --images train-images.idx3 --labels train-labels.idx1 --test-images t10k.idx3 --test-labels t10k.idx1
#include "program.h"

#include <filesystem>
#include <optional>

namespace tg = twingrad;
using namespace examples;

namespace {

struct Options : CommonOptions {
  std::string data = "auto";
  std::string target;
  char delimiter = ',';
  double test_fraction = 0.2;
  std::string images, labels, test_images, test_labels;
  double dropout = 0.0;
  double weight_decay = 0.05;
  std::string precision = "fp32";
  bool streaming = false;
  int runs = 1;
  std::string save;
};

constexpr const char* fashion_directory = "/usr/share/datasets/fashion-mnist";

// The data's name for the reader, with training and test rows standardised on the training rows.
std::pair<std::string, tg::data::Split> load(const Options& options) {
  const bool idx = !options.images.empty() || !options.labels.empty() || !options.test_images.empty() ||
                   !options.test_labels.empty();
  if (idx) {
    if (options.images.empty() || options.labels.empty() || options.test_images.empty() ||
        options.test_labels.empty()) {
      throw tg::ArgumentError("IDX data takes all of --images, --labels, --test-images and --test-labels");
    }
    tg::data::Split split = tg::data::read_idx_split({.images = options.images, .labels = options.labels},
                                                     {.images = options.test_images, .labels = options.test_labels});
    tg::data::standardize(split, {.features = tg::data::StandardizeOptions::Features::together});
    return {options.images, std::move(split)};
  }
  std::string data = options.data;
  if (data == "auto") {
    data = std::filesystem::exists(fashion_directory) ? "fashion-mnist" : "digits";
    if (data == "digits") {
      std::cout
          << "Fashion-MNIST is not installed (Debian: apt-get install dataset-fashion-mnist); taking the digits\n";
    }
  }
  if (data == "fashion-mnist") {
    return {"Fashion-MNIST", tg::data::fashion_mnist(fashion_directory)};
  }
  const std::string path = data == "digits" ? std::string(TWINGRAD_EXAMPLE_DATA) + "/digits.csv.gz" : data;
  tg::data::DatasetOptions columns{.task = tg::data::Task::classification};
  if (!options.target.empty()) {
    columns.targets = {options.target};
  }
  const tg::data::Dataset set =
      tg::data::make_dataset(tg::data::read_csv(path, {.delimiter = options.delimiter}), columns);
  tg::data::Split split = tg::data::split(set, {.test_fraction = options.test_fraction, .seed = options.seed});
  tg::data::standardize(split);
  return {data, std::move(split)};
}

tg::nn::Mlp make_model(const Options& options, const tg::data::Dataset& train, std::int64_t seed) {
  std::vector<std::int64_t> sizes = {train.columns};
  sizes.insert(sizes.end(), options.hidden.begin(), options.hidden.end());
  sizes.push_back(train.outputs());
  return tg::nn::Mlp(sizes, {.dropout = options.dropout, .seed = seed});
}

struct Result {
  double accuracy = 0;
  double best_epoch_seconds = 0;
};

Result train(const Options& options, const tg::data::Split& data, tg::Device device, tg::Precision precision,
             std::int64_t seed) {
  tg::nn::Mlp model = make_model(options, data.train, seed);
  model.to(device);
  model.set_precision(precision);
  tg::optim::AdamW optimizer(model.parameters(), {.lr = options.lr, .weight_decay = options.weight_decay});
  tg::optim::LossScaler scaler;
  tg::data::Loader batches(
      data.train,
      {.batch = options.batch, .shuffle = true, .seed = seed, .device = device, .streaming = options.streaming});
  tg::data::Loader test(data.test, {.batch = 1000, .device = device});
  const tg::optim::OneCycleSchedule schedule{.max_lr = options.lr, .total_steps = options.epochs * batches.size()};

  Result result;
  std::int64_t step = 0;
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const Stopwatch watch;
    model.train();
    tg::Tensor total = tg::zeros({}, {.device = device});
    for (auto [x, y] : batches) {
      optimizer.set_learning_rate(schedule(step++));
      const tg::Tensor loss = tg::cross_entropy(model(x), y);
      // The running sum stays on the device; nothing is read back before the epoch ends.
      tg::assign_later(total, total + loss.detach() * static_cast<double>(y.numel()));
      if (precision == tg::Precision::mixed_fp16) {
        scaler.step(optimizer, tg::gradients(scaler.scale(loss), model.parameters()));
      } else {
        optimizer.step(tg::gradients(loss, model.parameters()));
      }
    }
    const double loss = total.item() / static_cast<double>(batches.rows());
    const double seconds = watch.seconds();
    result.accuracy = tg::metrics::accuracy(model, test);
    result.best_epoch_seconds = epoch == 1 ? seconds : std::min(result.best_epoch_seconds, seconds);
    std::printf("epoch %3d  loss %.4f  test accuracy %.2f %%  %.0f samples/s\n", epoch, loss, 100 * result.accuracy,
                static_cast<double>(batches.rows()) / seconds);
    std::fflush(stdout);
  }
  if (precision == tg::Precision::mixed_fp16) {
    std::cout << "loss scale " << scaler.current_scale() << ", " << scaler.skipped_steps() << " of " << step
              << " steps skipped\n";
  }
  if (!options.save.empty()) {
    tg::io::save(options.save, model);
    std::cout << "saved " << options.save << '\n';
  }
  return result;
}

void check(const Options& options, const tg::data::Split& data) {
  const tg::nn::Mlp start = make_model(options, data.train, options.seed);
  check_gradients([&](tg::Device device, tg::Dtype dtype) {
    tg::nn::Mlp model = make_model(options, data.train, options.seed);
    model.to(dtype);
    model.to(device);
    tg::data::Loader batches(
        data.train, {.batch = options.batch, .shuffle = true, .seed = options.seed, .device = device, .dtype = dtype});
    const auto [x, y] = *batches.begin();
    tg::NamedTensors named = model.named_parameters();
    const std::vector<tg::Tensor> found = tg::gradients(tg::cross_entropy(model(x), y), model.parameters());
    for (std::size_t p = 0; p < named.size(); ++p) {
      named[p].second = found[p];
    }
    return named;
  });
}

void run(const Options& options) {
  const tg::Device device = open_device(options);
  const tg::Precision precision = open_precision(options.precision, device);
  const auto [name, data] = load(options);
  std::cout << name << ": " << data.train.rows << " training and " << data.test.rows << " test rows, "
            << data.train.columns << " features, " << data.train.classes() << " classes\n";
  if (options.check) {
    if (precision != tg::Precision::fp32) {
      throw tg::ArgumentError("--check compares float32 gradients; leave out --precision");
    }
    check(options, data);
    return;
  }
  Table table({"seed", "test accuracy", "fastest epoch"});
  std::vector<double> accuracies;
  for (int r = 0; r < options.runs; ++r) {
    const std::int64_t seed = options.seed + r;
    const Result result = train(options, data, device, precision, seed);
    accuracies.push_back(100 * result.accuracy);
    table.add(
        {std::to_string(seed), format("%.2f %%", 100 * result.accuracy), format("%.2f s", result.best_epoch_seconds)});
  }
  if (options.runs > 1) {
    table.add({"median", format("%.2f %%", median(accuracies)), ""});
  }
  table.print(std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a multi-layer perceptron to classify");
  Options options;
  options.hidden = {512, 256};
  options.lr = 1e-3;
  add_common_options(app, options);
  app.add_option("--data", options.data, "fashion-mnist, digits, a CSV file, or auto")->capture_default_str();
  app.add_option("--target", options.target, "The column to learn of a CSV file (default: the last)");
  app.add_option("--delimiter", options.delimiter, "Of a CSV file")->capture_default_str();
  app.add_option("--test-fraction", options.test_fraction, "Share of a CSV file's rows kept for testing")
      ->capture_default_str();
  app.add_option("--images", options.images, "IDX file to train on");
  app.add_option("--labels", options.labels, "IDX file of its labels");
  app.add_option("--test-images", options.test_images, "IDX file to test on");
  app.add_option("--test-labels", options.test_labels, "IDX file of its labels");
  app.add_option("--dropout", options.dropout, "Probability to drop a hidden unit")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--weight-decay", options.weight_decay, "AdamW's decoupled decay")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_precision_option(app, options.precision);
  app.add_flag(
      "--streaming", options.streaming,
      "Keep the training rows on the host, and gather and copy the next batches while the device trains on one");
  app.add_option("--runs", options.runs, "Train so often, with seeds from --seed on, and give the median")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--save", options.save, "Write the model to this safetensors file");
  return run_program(app, argc, argv, [&] { run(options); });
}
