// Every exception the library throws. All derive from Error; a message says what was asked, what was
// found and what to do. Library code never aborts, exits or prints.
//
//   try { loss.backward(); } catch (const twingrad::Error& error) { std::cerr << error.what() << '\n'; }
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace twingrad {

/// Base of all exceptions of this library.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes or axes that do not fit the op.
class ShapeError : public Error {
 public:
  using Error::Error;
};
/// A dtype the op does not take, or two dtypes that differ.
class DtypeError : public Error {
 public:
  using Error::Error;
};
/// A device that is not there, operands on different devices, or a failed device call.
class DeviceError : public Error {
 public:
  using Error::Error;
};
/// An allocation that the device refused. Names the bytes wanted, held and cached.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};
/// A file that is missing, truncated, corrupt or of another format. Names file and position.
class IoError : public Error {
 public:
  using Error::Error;
};
/// Values out of their range: an index or label out of range, NaN where it is not allowed.
class NumericError : public Error {
 public:
  using Error::Error;
};
/// An option or argument outside its documented range, or a graph used after it was spent.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

/// "file.cpp:12" of a source location; the file's name without its folders.
std::string to_string(const std::source_location& where);

}  // namespace twingrad
