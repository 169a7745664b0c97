// Saves and loads named tensors in the safetensors format: eight bytes with the header's length, a JSON header with
// dtype, shape and place of every tensor, then the data (https://huggingface.co/docs/safetensors, "Format"). Values
// come back bit for bit. All integers and floats are little-endian.
//
//   tg::io::save("model.safetensors", model);
//   tg::io::load("model.safetensors", model);
//   tg::io::save("adam.safetensors", adam.state());
//   adam.load_state(tg::io::load("adam.safetensors"));
#pragma once

#include <twingrad/device.h>
#include <twingrad/io/named_tensors.h>

#include <filesystem>

namespace twingrad::nn {
class Module;
}

namespace twingrad::io {

/// Writes the tensors' values, in this order. The file appears whole or not at all: it is written beside `path` and
/// then renamed. Evaluates the tensors. Throws IoError when it cannot be written, ArgumentError for a name that is
/// there twice, is "__metadata__" or is not UTF-8.
void save(const std::filesystem::path& path, const NamedTensors& tensors);
/// The same for a module's parameters and buffers.
void save(const std::filesystem::path& path, const nn::Module& module);

/// All tensors of the file in the order of its header, as leaves on `device`. Throws IoError for a file that is
/// missing, truncated, corrupt or holds a dtype this library does not have.
NamedTensors load(const std::filesystem::path& path, Device device = {});
/// Reads a file into a module's parameters and buffers, on the devices where they are. Names, shapes and dtypes must be
/// those of the module, else IoError names every difference and the module stays as it is.
void load(const std::filesystem::path& path, nn::Module& module);

}  // namespace twingrad::io
