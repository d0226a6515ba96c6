#pragma once

#include <stdexcept>

/// Mistake that the user can correct; the message names the place, the value and the allowed values.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
