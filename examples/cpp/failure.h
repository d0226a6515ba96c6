#pragma once

#include <stdexcept>

/// The user's to mend: what is wrong, where, and what was allowed, in one sentence.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
