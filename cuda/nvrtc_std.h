// The few pieces of the standard library that formulas.h and the kernels use, for kernels that are compiled at run
// time: NVRTC brings no standard headers, and a user's machine has no toolkit. The backend gives NVRTC this file under
// the name of each header; no other compiler sees it.
#pragma once

namespace std {

using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
using size_t = decltype(sizeof(0));

template <class T, T v>
struct integral_constant {
  static constexpr T value = v;
};
using true_type = integral_constant<bool, true>;
using false_type = integral_constant<bool, false>;

template <class A, class B>
struct is_same : false_type {};
template <class A>
struct is_same<A, A> : true_type {};
template <class A, class B>
inline constexpr bool is_same_v = is_same<A, B>::value;

template <class T>
struct remove_const {
  using type = T;
};
template <class T>
struct remove_const<const T> {
  using type = T;
};
template <class T>
using remove_const_t = typename remove_const<T>::type;

template <bool condition, class A, class B>
struct conditional {
  using type = A;
};
template <class A, class B>
struct conditional<false, A, B> {
  using type = B;
};
template <bool condition, class A, class B>
using conditional_t = typename conditional<condition, A, B>::type;

template <class T>
inline constexpr bool is_floating_point_v = is_same_v<remove_const_t<T>, float> || is_same_v<remove_const_t<T>, double>;

template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

constexpr int bit_width(unsigned value) noexcept {
  return value == 0 ? 0 : 1 + bit_width(value >> 1);
}
constexpr int bit_width(unsigned long long value) noexcept {
  return value == 0 ? 0 : 1 + bit_width(value >> 1);
}

template <class... T>
class tuple;

/// A formula's name is never looked at on the device.
class string_view {
 public:
  constexpr string_view(const char*) {}
};

// The overloads for float, which are what <cmath> chooses for it.
inline float cos(float x) {
  return ::cosf(x);
}
inline float erf(float x) {
  return ::erff(x);
}
inline float exp(float x) {
  return ::expf(x);
}
inline float expm1(float x) {
  return ::expm1f(x);
}
inline float log(float x) {
  return ::logf(x);
}
inline float log1p(float x) {
  return ::log1pf(x);
}
inline float pow(float x, float y) {
  return ::powf(x, y);
}
inline float sin(float x) {
  return ::sinf(x);
}
inline float sqrt(float x) {
  return ::sqrtf(x);
}
inline float tanh(float x) {
  return ::tanhf(x);
}
inline double cos(double x) {
  return ::cos(x);
}
inline double erf(double x) {
  return ::erf(x);
}
inline double exp(double x) {
  return ::exp(x);
}
inline double expm1(double x) {
  return ::expm1(x);
}
inline double log(double x) {
  return ::log(x);
}
inline double log1p(double x) {
  return ::log1p(x);
}
inline double pow(double x, double y) {
  return ::pow(x, y);
}
inline double sin(double x) {
  return ::sin(x);
}
inline double sqrt(double x) {
  return ::sqrt(x);
}
inline double tanh(double x) {
  return ::tanh(x);
}

}  // namespace std
