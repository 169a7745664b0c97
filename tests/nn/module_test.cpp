// Modules: names, modes, moving, state, and errors that name the user's line.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class Block : public nn::Module {
 public:
  nn::Linear& inner = register_module<nn::Linear>("inner", 3, 2, nn::LinearOptions{.seed = Seed{.key = 1}});
  Tensor scale = register_parameter("scale", ones({2}));
  Tensor seen = register_buffer("seen", tensor(std::vector<std::int64_t>{5}));
  Tensor forward(const Tensor& x) override { return inner(x) * scale; }
};

class Net : public nn::Module {
 public:
  Block& body = register_module<Block>("body");
  nn::Linear& head =
      register_module<nn::Linear>("head", 2, 1, nn::LinearOptions{.bias = false, .seed = Seed{.key = 2}});
  Tensor forward(const Tensor& x) override { return head(body(x)); }

  using nn::Module::register_buffer;
  using nn::Module::register_module;
  using nn::Module::register_parameter;
};

std::vector<std::string> names(const NamedTensors& tensors) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : tensors) {
    result.push_back(name);
  }
  return result;
}

std::vector<std::vector<double>> values(const NamedTensors& tensors) {
  std::vector<std::vector<double>> result;
  for (const auto& [name, tensor] : tensors) {
    result.push_back(tensor.to_vector<double>());
  }
  return result;
}

// The message of the Exception that `call` throws; a failure when it throws none.
template <class Exception, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class ModuleTest : public tests::DeviceTest {};
INSTANTIATE_ON_DEVICES(ModuleTest);

TEST(ModuleNamesTest, AreNestedAndInOrderOfRegistration) {
  const Net net;
  EXPECT_EQ(names(net.named_parameters()),
            (std::vector<std::string>{"body.scale", "body.inner.weight", "body.inner.bias", "head.weight"}));
  EXPECT_EQ(names(net.named_buffers()), (std::vector<std::string>{"body.seen"}));
  EXPECT_EQ(names(net.state()), (std::vector<std::string>{"body.scale", "body.inner.weight", "body.inner.bias",
                                                          "head.weight", "body.seen"}));
  EXPECT_EQ(net.parameters().size(), 4U);
  EXPECT_EQ(net.parameter_count(), 2 + 6 + 2 + 2);
  EXPECT_EQ(net.body.inner.weight.label(), "body.inner.weight");
}

TEST(ModuleNamesTest, SequentialNumbersItsModules) {
  nn::Sequential net(nn::Linear(2, 3), nn::Relu(), nn::Linear(3, 1));
  net.add<nn::Sigmoid>();
  EXPECT_EQ(names(net.named_parameters()), (std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"}));
  EXPECT_EQ(net.size(), 4U);
  EXPECT_NO_THROW(net[3]);
  EXPECT_THROW(net[4], ArgumentError);
}

TEST(ModuleNamesTest, ASharedParameterCountsOnce) {
  Net net;
  net.register_parameter("tied", net.head.weight);
  EXPECT_EQ(net.parameters().size(), 4U);
  EXPECT_EQ(net.parameter_count(), 12);
}

TEST(ModuleNamesTest, BadRegistrationsThrow) {
  Net net;
  EXPECT_THROW(net.register_parameter("", ones({1})), ArgumentError);
  EXPECT_THROW(net.register_parameter("a.b", ones({1})), ArgumentError);
  EXPECT_THROW(net.register_parameter("body", ones({1})), ArgumentError);
  EXPECT_THROW(net.register_buffer("head", ones({1})), ArgumentError);
  EXPECT_THROW(net.register_module<nn::Relu>("head"), ArgumentError);
  EXPECT_THROW(net.register_module<nn::Relu>("none", std::unique_ptr<nn::Relu>()), ArgumentError);
  EXPECT_THROW(net.register_parameter("count", tensor(std::vector<std::int64_t>{1})), DtypeError);
  EXPECT_THROW(net.register_parameter("undefined", Tensor()), ArgumentError);
  EXPECT_EQ(net.parameters().size(), 4U);
}

TEST(ModuleNamesTest, AParameterIsALeafWithAValueAndAGradient) {
  Net net;
  const Tensor made = net.register_parameter("made", ones({2, 3}) * 4.0);
  EXPECT_TRUE(made.evaluated());
  EXPECT_TRUE(made.requires_grad());
  sum(made * 2.0).backward();
  EXPECT_EQ(made.grad().to_vector<float>(), std::vector<float>(6, 2.0F));
}

TEST(ModuleModeTest, ReachesEveryChild) {
  Net net;
  EXPECT_TRUE(net.training());
  net.eval();
  EXPECT_FALSE(net.training());
  EXPECT_FALSE(net.body.inner.training());
  net.train();
  EXPECT_TRUE(net.body.inner.training());
  {
    const nn::EvalScope scope(net);
    EXPECT_FALSE(net.head.training());
  }
  EXPECT_TRUE(net.head.training());
  net.eval();
  { const nn::EvalScope scope(net); }
  EXPECT_FALSE(net.head.training());
}

TEST(ModuleErrorTest, NamesTheLineThatCalledTheModule) {
  Net net;
  const Tensor wrong = ones({4, 7});
  const std::string here = "module_test.cpp:" + std::to_string(__LINE__ + 1);
  const std::string message = message_of<ShapeError>([&] { net(wrong); });
  EXPECT_NE(message.find(here), std::string::npos) << message;
  EXPECT_NE(message.find("(4, 7)"), std::string::npos) << message;
}

TEST_P(ModuleTest, MovesToADeviceWithItsGradients) {
  Net net;
  const Tensor handle = net.head.weight;
  const auto before = values(net.state());
  sum(net(ones({2, 3}))).backward();
  const auto gradient = handle.grad().to_vector<float>();
  net.to(device());
  EXPECT_EQ(net.device(), device());
  for (const auto& [name, tensor] : net.state()) {
    EXPECT_EQ(tensor.device(), device()) << name;
  }
  EXPECT_EQ(handle.device(), device());
  EXPECT_EQ(handle.label(), "head.weight");
  EXPECT_TRUE(handle.requires_grad());
  EXPECT_EQ(handle.grad().device(), device());
  EXPECT_EQ(handle.grad().to_vector<float>(), gradient);
  EXPECT_EQ(values(net.state()), before);
  sum(net(ones({2, 3}, {.device = device()}))).backward();
  net.to(Device::cpu());
  EXPECT_EQ(net.body.seen.device(), Device::cpu());
  EXPECT_EQ(values(net.state()), before);
}

TEST_P(ModuleTest, ConvertsFloatsAndLeavesIntegersAlone) {
  Net net;
  net.to(device());
  net.to(f64);
  EXPECT_EQ(net.head.weight.dtype(), f64);
  EXPECT_EQ(net.body.seen.dtype(), i64);
  EXPECT_EQ(net(ones({2, 3}, {.dtype = f64, .device = device()})).dtype(), f64);
  EXPECT_THROW(net.to(i32), DtypeError);
  EXPECT_EQ(net.head.weight.dtype(), f64);
}

TEST_P(ModuleTest, ForgetsGradients) {
  Net net;
  net.to(device());
  sum(net(ones({2, 3}, {.device = device()}))).backward();
  EXPECT_TRUE(net.head.weight.grad().defined());
  net.zero_grad();
  for (const Tensor& parameter : net.parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST_P(ModuleTest, StateIsASnapshotThatTrainingDoesNotTouch) {
  Net net;
  net.to(device());
  optim::SGD sgd(net.parameters(), {.lr = 0.5});
  const auto train_step = [&] { sgd.step(gradients(sum(net(ones({2, 3}, {.device = device()}))), net.parameters())); };
  train_step();
  const NamedTensors snapshot = net.state();
  const auto before = values(snapshot);
  train_step();
  train_step();
  EXPECT_NE(values(net.state()), before);
  EXPECT_EQ(values(snapshot), before);
  net.load_state(snapshot);
  EXPECT_EQ(values(net.state()), before);
  // What was loaded is not the snapshot's memory: training on leaves the snapshot as it is.
  train_step();
  EXPECT_NE(values(net.state()), before);
  EXPECT_EQ(values(snapshot), before);
}

TEST(ModuleStateTest, EveryMismatchIsNamedAndNothingChanges) {
  Net net;
  const auto before = values(net.state());
  NamedTensors other = net.state();
  other[0].second = ones({3});                     // body.scale: another shape
  other[1].second = ones({2, 3}, {.dtype = f64});  // body.inner.weight: another dtype
  other[2].first = "body.inner.offset";            // body.inner.bias: missing, another one unexpected
  other.push_back(other[3]);                       // head.weight: twice
  const std::string message = message_of<ArgumentError>([&] { net.load_state(other); });
  for (const char* part :
       {"'body.scale' is (3) float32, expected (2) float32",
        "'body.inner.weight' is (2, 3) float64, expected (2, 3) float32", "'body.inner.bias' ((2) float32) is missing",
        "'body.inner.offset' ((2) float32) is not expected", "'head.weight' is there twice"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
  EXPECT_EQ(values(net.state()), before);
}

TEST(ModuleMoveTest, AMovedModuleKeepsItsChildren) {
  nn::Sequential net(nn::Linear(2, 3), nn::Tanh());
  const Tensor x = ones({1, 2});
  const auto before = net(x).to_vector<float>();
  nn::Sequential moved = std::move(net);
  EXPECT_EQ(moved(x).to_vector<float>(), before);
  nn::Sequential outer(std::move(moved), nn::Linear(3, 1));
  EXPECT_EQ(names(outer.named_parameters()),
            (std::vector<std::string>{"0.0.weight", "0.0.bias", "1.weight", "1.bias"}));
  EXPECT_EQ(outer.parameters()[0].label(), "0.0.weight");
}

}  // namespace
}  // namespace twingrad
