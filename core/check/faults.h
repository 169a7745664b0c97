// Who checks the checker: a backend that wraps any other one and plants one named fault, at every call it applies to or
// at chosen ones. The score table (score.h) and the tests use it to prove that each fault is found where it was
// planted.
//
//   auto [device, faulty] = make_faulty_device(make_cpu_backend());
//   faulty.plant(find_fault("matmul_drop_last_term"), {.nth = 3});       // the fourth product is wrong
//   Report report = step(train_step, {.devices = {device}});
#pragma once

#include <twingrad/backend.h>
#include <twingrad/check/reference.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace twingrad {
struct Plan;
}

namespace twingrad::check {

/// One call as a fault sees it: everything on the host, row-major, widened.
struct FaultCall {
  const KernelCall& call;
  std::vector<Array<double>> inputs;
  std::vector<double> before;  ///< what the output's memory held
  std::vector<double> output;  ///< what the right kernel gave; the fault changes it
  int written_input = -1;      ///< set by a fault that writes its output over this input as well
  std::uint64_t turn = 0;      ///< how many calls the fault changed before

  double rounded(double x) const;  ///< to the output's dtype
};

struct Fault {
  enum class Kind : std::uint8_t {
    values,      ///< a kernel computes something else
    overwrites,  ///< a kernel writes where it should only read: its own result is right
    late,        ///< a kernel's result arrives after the next kernel ran: nobody waited for it
    plan,        ///< the plan is wrong, every kernel is right
  };

  std::string_view name;
  std::string_view family;
  std::string_view description;
  Kind kind = Kind::values;
  /// Whether the fault can show at a call; looks at op, dtypes and shapes.
  bool (*applies)(const KernelCall& call) = nullptr;
  void (*plant)(FaultCall& call) = nullptr;
  /// Kind::plan only: spoils the plan and gives the number of the node that reads wrong values, -1 when the plan has no
  /// place for it.
  int (*tamper)(Plan& plan) = nullptr;
};

/// All faults, family by family.
const std::vector<Fault>& all_faults();
/// Throws ArgumentError that lists the names when there is none.
const Fault& find_fault(std::string_view name);

/// Which of the calls a fault applies to it is planted at; by default every one.
struct FaultSite {
  std::optional<std::int64_t> nth = {};                ///< only this one, counted from plant()
  std::function<bool(const KernelCall&)> chosen = {};  ///< only those
};

class FaultyBackend final : public Backend {
 public:
  explicit FaultyBackend(std::unique_ptr<Backend> inner);

  /// Throws ArgumentError for a fault of the plan, which no backend can plant.
  void plant(const Fault& fault, FaultSite site = {});
  void remove();
  /// Calls that the fault applied to and was planted at, and those of them whose bits it changed, since plant().
  std::int64_t planted() const { return planted_; }
  std::int64_t changed() const { return changed_; }

  /// Notes every call from now on (views without memory that can be relied on).
  void record();
  std::vector<KernelCall> recorded();

  std::string description() const override;
  void* allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void deallocate(void* memory, std::size_t bytes) noexcept override;
  void copy_from_host(void* target, const void* source, std::size_t bytes) override;
  void copy_to_host(void* target, const void* source, std::size_t bytes) override;
  void copy(void* target, const void* source, std::size_t bytes) override;
  void run(const KernelCall& call) override;
  ErrorModel error_model(const KernelCall& call) const override { return inner_->error_model(call); }
  void synchronize() override;

 private:
  bool strikes(const KernelCall& call);
  void run_faulty(const KernelCall& call);
  void release_late();

  std::unique_ptr<Backend> inner_;
  const Fault* fault_ = nullptr;
  FaultSite site_;
  std::int64_t seen_ = 0;
  std::int64_t planted_ = 0;
  std::int64_t changed_ = 0;
  std::optional<KernelCall> late_;
  bool recording_ = false;
  std::vector<KernelCall> recorded_;
};

struct FaultyDevice {
  Device device;
  FaultyBackend& backend;
};

/// Registers a plugin device around `inner`. It lives until the end of the program.
FaultyDevice make_faulty_device(std::unique_ptr<Backend> inner);

}  // namespace twingrad::check
